"""The OpenAPI document: complete (every route, every body, every refusal) and true.

Bodies that routes read by themselves are described from the same models that check them, answers
from the models that build them; tests hold real answers against this document.
"""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from modiste.api import (
    aliases,
    batch_shapes,
    certificates,
    chat_answers,
    chat_shapes,
    classifications,
    datasets,
    embeddings,
    evals,
    fim,
    lineage,
    mistral,
    models,
    moderations,
    native,
    openai,
    policies,
    promotions,
    texts,
    tokens,
)
from modiste.api import upstreams as upstream_routes
from modiste.api.dialect import Dialect

BODIES: tuple[type[BaseModel], ...] = (
    chat_shapes.ChatRequest,
    fim.FimRequest,
    embeddings.EmbeddingRequest,
    moderations.ModerationIn,
    moderations.ChatModerationIn,
    classifications.ClassificationRequest,
    classifications.ChatClassificationRequest,
    texts.TextRequest,
    tokens.TokenizeIn,
    tokens.DetokenizeIn,
    mistral.JobIn,
    batch_shapes.BatchJobIn,
    batch_shapes.OpenAIBatchIn,
    openai.OpenAIJobIn,
    models.ModelUpdate,
    native.KeyIn,
    native.BaseIn,
    aliases.AliasIn,
    certificates.ExportProofIn,
    upstream_routes.HostedIn,
    lineage.ForgetIn,
    datasets.DatasetIn,
    datasets.VersionIn,
    evals.EvalRunIn,
    evals.RescoreIn,
    evals.ImportIn,
    policies.PolicyIn,
    policies.AttachIn,
    promotions.PromotionIn,
    promotions.RollbackIn,
)
STREAMED: tuple[type[BaseModel], ...] = (chat_answers.ChatCompletionChunk,)
DESCRIPTION = """Fine-tune and serve language models on your own machines.

The paths under `/v1` speak Mistral's or OpenAI's dialect, chosen by the request's `User-Agent`, its
`x-stainless-*` headers or its body; `/mistral/v1` and `/openai/v1` settle it by the path."""


class MistralRefusal(BaseModel):
    """Inference and models. `detail` is a list on a 422."""

    object: str = "error"
    message: str
    type: str
    param: str | None = None
    code: str | None = None
    raw_status_code: int
    detail: list[dict[str, Any]] | None = None


class DetailRefusal(BaseModel):
    """Files, jobs, keys, a missing key and an unknown route."""

    detail: str | list[dict[str, Any]]
    message: str | None = None
    code: str | None = None
    request_id: str | None = None


class OpenAIError(BaseModel):
    message: str
    type: str
    param: str | None
    code: str | None
    detail: list[dict[str, Any]] | None = None


class OpenAIRefusal(BaseModel):
    error: OpenAIError


def refusals_of(dialect: Dialect | None) -> dict[int | str, dict[str, Any]]:
    """What a route of this mount may answer instead of 200."""
    kinds = {
        Dialect.MISTRAL: MistralRefusal | DetailRefusal,
        Dialect.OPENAI: OpenAIRefusal,
        None: MistralRefusal | DetailRefusal | OpenAIRefusal,
    }
    said = {"model": kinds[dialect]}
    return {
        "4XX": {**said, "description": "Refused; the message says what to do"},
        "5XX": {**said, "description": "Failed here; 503 and 429 name a Retry-After"},
    }


def install(app: FastAPI) -> None:
    """Let the app describe the bodies that its routes read by themselves."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _document(app: FastAPI) -> dict[str, Any]:
    document = get_openapi(
        title=app.title, version=app.version, description=DESCRIPTION, routes=app.routes
    )
    _, definitions = models_json_schema(
        [
            *((body, "validation") for body in BODIES),
            *((streamed, "serialization") for streamed in STREAMED),
        ],
        ref_template="#/components/schemas/{model}",
    )
    document["components"]["schemas"] |= definitions.get("$defs", {})
    for item in document["paths"].values():
        for operation in item.values():
            _say_refusals_in_json(operation)
    return document


def _say_refusals_in_json(operation: dict[str, Any]) -> None:
    """Refusals are JSON, also where the answer is a page or a stream of bytes."""
    for status, said in operation["responses"].items():
        if status.startswith(("4", "5")) and (content := said.get("content")):
            said["content"] = {"application/json": next(iter(content.values()))}
