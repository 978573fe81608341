"""Routes of parity certificates: what proves that a model is served as it was trained.

Ids of models hold `:` and may hold `/`, so these routes stand before those that match the rest of
a path.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter
from pydantic import BaseModel, BeforeValidator, ConfigDict
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from modiste.actions import certificates
from modiste.actions.certificates import Certificate
from modiste.api.door import Asker, Body, act, checked, documents, json_body, look
from modiste.api.shapes import seconds
from modiste.types import FormStatus

router = APIRouter(tags=["models"])
Seconds = Annotated[
    int | None, BeforeValidator(lambda at: seconds(at) if isinstance(at, datetime) else at)
]


class _Out(BaseModel):
    model_config = ConfigDict(from_attributes=True)


class PartingOut(_Out):
    """The first token in which two greedy answers to one prompt differ."""

    row: int
    token: int
    trained_id: int
    found_id: int | None
    margin: float
    """By how much training preferred its own token to the second best, in nats."""
    by_rounding: bool


class GreedyOut(_Out):
    n_prompts: int
    n_tokens: int
    partings: list[PartingOut]


class LossOut(_Out):
    """Mean negative log-likelihood of the trained tokens, nats."""

    trained: float
    found: float
    n_tokens: int
    tolerance: float


class FormOut(_Out):
    name: str
    """`fp32`, `bf16`, `int8`, `vllm`, `transformers`, `merged`, `export: gguf f16`, …"""
    status: FormStatus
    message: str
    live: bool
    """It was asked as clients ask."""
    mean_abs_logprob_diff: float | None
    max_abs_logprob_diff: float | None
    mean_tolerance: float | None
    tolerance: float | None
    greedy: GreedyOut | None
    loss: LossOut | None
    at: Seconds
    """Exports: when it was reported."""


class CertificateOut(BaseModel):
    object: Literal["parity_certificate"] = "parity_certificate"
    model: str
    passed: bool
    served: bool
    """False where the built-in engine cannot compute the model."""
    message: str
    n_rows: int
    n_tokens: int
    max_abs_logprob_diff: float
    mean_abs_logprob_diff: float
    tolerance: float
    base_gap: float
    """Mean difference between the model and its bare base: what a lost adapter would show."""
    forms: list[FormOut]
    """First the one that decided."""
    warning: str | None
    """Why the model as it is served now is not what was proved."""


class ExportProofIn(Body):
    """What was found in the files of an export."""

    form: Literal["peft", "mistral", "merged", "merged-mistral", "gguf"]
    numbers: Literal["f32", "f16", "bf16", "q8_0"] | None = None
    """Of GGUF."""
    status: Literal["passed", "apart", "not_checked"]
    note: str


@router.get("/models/{model_id:path}/parity", responses={200: {"model": CertificateOut}})
async def parity_certificate(request: Request, actor: Asker, model_id: str) -> Response:
    """The proof that a tuned model is served as it was trained, form by form."""
    return _answer(await look(request, certificates.get, actor, model_id))


@router.post(
    "/models/{model_id:path}/parity/exports",
    responses={200: {"model": CertificateOut}},
    openapi_extra=documents(ExportProofIn),
)
async def record_export_proof(request: Request, actor: Asker, model_id: str) -> Response:
    """Keep what was found in an export of the model."""
    told = checked(ExportProofIn, await json_body(request))
    found = await act(
        request,
        certificates.record_export,
        actor,
        model_id,
        form=told.form,
        numbers=told.numbers,
        status=FormStatus(told.status),
        note=told.note,
    )
    return _answer(found)


def _answer(found: Certificate) -> JSONResponse:
    parity = found.parity
    out = CertificateOut(
        model=found.model.id,
        passed=parity.passed,
        served=parity.served,
        message=parity.message,
        n_rows=parity.n_rows,
        n_tokens=parity.n_tokens,
        max_abs_logprob_diff=parity.max_abs_logprob_diff,
        mean_abs_logprob_diff=parity.mean_abs_logprob_diff,
        tolerance=parity.tolerance,
        base_gap=parity.base_gap,
        forms=[FormOut.model_validate(form) for form in parity.forms],
        warning=found.warning,
    )
    return JSONResponse(out.model_dump(mode="json"))
