"""Errors in the words of the caller: one `Fault` in, one status, body and headers out.

Pure functions. Three bodies exist: OpenAI's `{"error": {...}}`; Mistral's error object for
inference and models, whose `detail` on a 422 is always a list because those clients parse it; and
Mistral's `{"detail": ...}` for files, jobs and everything that is ours. All problems of a request
travel in one answer.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from modiste.actions.guarded import Blocked
from modiste.api.dialect import MOUNTS, Dialect
from modiste.errors import (
    BadRequest,
    Conflict,
    InvalidInput,
    ModisteError,
    NotFound,
    NotYetSupported,
    StorageFull,
    Unauthorized,
)
from modiste.types import Problem

INFERENCE = (
    *("/chat/", "/fim/", "/completions", "/embeddings", "/classifications", "/moderations"),
    *("/tokenize", "/detokenize"),
)
MODELS = ("/models", "/fine_tuning/models")
VENDOR_CODES = {
    "invalid_model": "1500",
    "rate_limited": "1300",
    "invalid_request_message_order": "3230",
    "invalid_request_invalid_args": "3051",
    "invalid_function_call": "3280",
}
"""Mistral's error types that carry a number; the number goes into `code`."""
SECRET = (("api_key",), ("token",))
"""Ends of paths whose values are never said back."""
RETRIED_BY_MISTRAL_0 = frozenset({429, 500, 502, 503, 504})


@dataclass(frozen=True)
class Fault:
    """What went wrong, before it is said in a dialect."""

    status: int
    message: str
    code: str
    param: str | None = None
    detail: tuple[Mapping[str, Any], ...] = ()
    """One entry per problem: type, loc, msg, input."""
    headers: Mapping[str, str] = field(default_factory=dict)
    guardrails: Mapping[str, Any] | None = None
    """What policies decided, where they blocked."""


class Refusal(NamedTuple):
    status: int
    body: dict[str, Any]
    headers: Mapping[str, str]


def fault_of(error: ModisteError) -> Fault:
    headers = {}
    if error.retry_after_s is not None:
        headers["retry-after"] = str(max(1, math.ceil(error.retry_after_s)))
    if isinstance(error, Conflict | StorageFull):
        headers["x-should-retry"] = "false"  # The openai client would try twice more.
    return Fault(
        status=error.http_status,
        message=error.message,
        code=error.error_code,
        param=error.param,
        detail=tuple(_detail_of(problem) for problem in error.problems),
        headers=headers,
        guardrails=error.guardrails if isinstance(error, Blocked) else None,
    )


def fault_of_fields(errors: Sequence[Mapping[str, Any]]) -> Fault:
    """Fields with wrong names, types or values, as pydantic lists them."""
    detail = tuple(
        {
            "type": error["type"],
            "loc": [part if isinstance(part, int) else str(part) for part in error["loc"]],
            "msg": error["msg"],
            "input": None if error["loc"][-1:] in SECRET else _showable(error.get("input")),
        }
        for error in errors
    )
    message = "; ".join(f"{_path(entry['loc'])}: {entry['msg']}" for entry in detail)
    first = _path(detail[0]["loc"]) if detail else None
    return Fault(422, message, InvalidInput.code, param=first, detail=detail)


def refuse(fault: Fault, *, dialect: Dialect, path: str, request_id: str) -> Refusal:
    """The answer to a request for `path` (as sent, mount included)."""
    route = _without_mount(path)
    if route.startswith(INFERENCE) and fault.status == NotFound.http_status:
        fault = _unknown_chat_model(fault, dialect)
    if fault.guardrails is not None:
        return _blocked(fault, dialect)
    if dialect is Dialect.OPENAI:
        return _openai(fault)
    if fault.status == Unauthorized.http_status:
        body = {"detail": "Unauthorized", "message": fault.message, "request_id": request_id}
        return Refusal(fault.status, body, fault.headers)
    if route.startswith(INFERENCE + MODELS):
        return _mistral_object(fault)
    return _mistral_detail(fault)


def no_route(status: int, *, dialect: Dialect, message: str) -> Refusal:
    """Unknown path (404) or a path that does not know this method (405)."""
    if dialect is Dialect.OPENAI:
        return _openai(Fault(status, message, "unknown_url"))
    return Refusal(status, {"message": "no Route matched with those values", "detail": message}, {})


def softened_for_mistral_0(refusal: Refusal) -> Refusal:
    """A status that the 0.x client does not retry.

    Its retry drops query, files and form: a repeated upload arrives empty and a repeated dry run
    would start a real job, so those calls are told "no" instead of "later".
    """
    if refusal.status not in RETRIED_BY_MISTRAL_0:
        return refusal
    return refusal._replace(status=BadRequest.http_status)


def _mistral_object(fault: Fault) -> Refusal:
    kind = fault.code if fault.code in VENDOR_CODES else _general_type(fault)
    code = VENDOR_CODES.get(fault.code) or (fault.code if fault.status != 422 else None)
    body: dict[str, Any] = {
        "object": "error",
        "message": fault.message,
        "type": kind,
        "param": fault.param,
        "code": code,
        "raw_status_code": fault.status,
    }
    if fault.status == InvalidInput.http_status:
        body["detail"] = list(fault.detail) or [
            {
                "type": fault.code,
                "loc": ["body", fault.param] if fault.param else ["body"],
                "msg": fault.message,
                "input": None,
            }
        ]
    return Refusal(fault.status, body, fault.headers)


def _blocked(fault: Fault, dialect: Dialect) -> Refusal:
    """Mistral's own body of a guardrail that hit, with what else each dialect's clients read."""
    plain = _mistral_object(fault) if dialect is Dialect.MISTRAL else _openai(fault)
    error = {**plain.body.get("error", {}), "message": fault.message, "status": fault.status}
    body = {**plain.body, "error": error, "guardrails": dict(fault.guardrails or {})}
    return Refusal(fault.status, body, fault.headers)


def _mistral_detail(fault: Fault) -> Refusal:
    body: dict[str, Any] = {"detail": list(fault.detail) or fault.message}
    if fault.detail:
        body["message"] = fault.message
    return Refusal(fault.status, {**body, "code": fault.code}, fault.headers)


def _openai(fault: Fault) -> Refusal:
    status, code = fault.status, fault.code
    if status == InvalidInput.http_status and code != NotYetSupported.code:
        status = BadRequest.http_status  # OpenAI says 400 where Mistral says 422.
    if status == Unauthorized.http_status:
        code = "invalid_api_key"
    body: dict[str, dict[str, Any]] = {
        "error": {
            "message": fault.message,
            "type": _general_type(fault),
            "param": fault.param,
            "code": code,
        }
    }
    if fault.detail:
        body["error"]["detail"] = list(fault.detail)
    return Refusal(status, body, fault.headers)


def _general_type(fault: Fault) -> str:
    match fault.status:
        case 401:
            return "authentication_error"
        case 403:
            return "permission_error"
        case 429:
            return "rate_limit_error"
        case status if status >= 500:
            return "server_error"
    return "invalid_request_error"


def _unknown_chat_model(fault: Fault, dialect: Dialect) -> Fault:
    if dialect is Dialect.OPENAI:
        return Fault(404, fault.message, "model_not_found", param="model")
    message = f"Invalid model: {fault.message}"
    return Fault(BadRequest.http_status, message, "invalid_model", param=None)


def _detail_of(problem: Problem) -> dict[str, Any]:
    loc: list[str | int] = ["file", problem.file]
    loc += [] if problem.line is None else [problem.line]
    loc += [problem.path] if problem.path else []
    return {"type": problem.code, "loc": loc, "msg": str(problem), "input": problem.value}


def _path(loc: Sequence[str | int]) -> str:
    """`messages[2].role` out of `("body", "messages", 2, "role")`."""
    text = ""
    for part in loc[1:] if loc and loc[0] in ("body", "query", "path") else loc:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text or "body"


def _showable(value: Any) -> Any:
    """The offending value if it is short and plain; what holds others may hold secrets."""
    if isinstance(value, bool | int | None):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if not isinstance(value, str):
        return None
    return value if len(value) <= 200 else value[:199] + "…"


def _without_mount(path: str) -> str:
    mount = max((m for m in MOUNTS if path.startswith(f"{m}/")), key=len, default="")
    return path.removeprefix(mount)
