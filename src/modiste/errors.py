"""Every error that Modiste raises on purpose: one tree, each with code, HTTP status and exit code.

A message says what happened, with the value, and what to do. Doors translate these into their
dialect; nothing else may reach a caller.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from modiste.types import Problem


class ModisteError(Exception):
    """Root of the tree. `param` names the offending field; `problems` lists everything found."""

    code: ClassVar[str] = "error"
    http_status: ClassVar[int] = 500
    exit_code: ClassVar[int] = 1

    def __init__(
        self,
        message: str,
        *,
        param: str | None = None,
        code: str | None = None,
        problems: Iterable[Problem] = (),
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.param = param
        self.error_code = code or self.code
        self.problems = tuple(problems)
        self.retry_after_s = retry_after_s


class InvalidInput(ModisteError):
    """A field or a file breaks its contract."""

    code = "invalid_input"
    http_status = 422
    exit_code = 2


class BadRequest(ModisteError):
    """Well-formed, but cannot be done as asked (unknown chat model, message order)."""

    code = "bad_request"
    http_status = 400
    exit_code = 2


class Unauthorized(ModisteError):
    code = "unauthorized"
    http_status = 401


class Forbidden(ModisteError):
    code = "forbidden"
    http_status = 403


class NotFound(ModisteError):
    code = "not_found"
    http_status = 404


class Conflict(ModisteError):
    code = "conflict"
    http_status = 409


class TooLarge(ModisteError):
    code = "too_large"
    http_status = 413


class NotYetSupported(ModisteError):
    """A part of the contract that this version refuses by name."""

    code = "not_supported"
    http_status = 422


class Busy(ModisteError):
    """Full at the moment; `retry_after_s` says when to come back."""

    code = "rate_limited"
    http_status = 429


class Unavailable(ModisteError):
    """A part that is needed is down (engine restarting, database locked)."""

    code = "unavailable"
    http_status = 503


class UpstreamFailed(Unavailable):
    """A server that answers for one of our models refuses us, fails, or speaks nonsense."""

    code = "upstream_error"
    http_status = 502


class UpstreamTimeout(Unavailable):
    """It did not answer in time."""

    code = "upstream_timeout"
    http_status = 504


class StorageFull(ModisteError):
    code = "storage_full"
    http_status = 507


class Corrupt(ModisteError):
    """Stored bytes do not match their hash or cannot be read."""

    code = "corrupt"
    http_status = 500


class LeaseLost(ModisteError):
    """Another worker holds this job now; whoever sees this must stop touching it."""

    code = "lease_lost"
    http_status = 409


class TuningFailed(ModisteError):
    """Training ended without a model (NaN loss, no trainable token, stall, out of memory)."""

    code = "tuning_failed"
    http_status = 500


class ProcessLost(ModisteError):
    """One of several processes that train a model together is gone; none can go on without it."""

    code = "process_lost"
    http_status = 500


class ExportFailed(ModisteError):
    """Exported files compute something else than the model they were made from."""

    code = "export_failed"
    http_status = 500


class ParityFailed(TuningFailed):
    """The served model does not compute what training computed."""

    code = "parity_failed"
