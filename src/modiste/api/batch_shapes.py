"""Batches in the words of both vendors, and the lines of their results: pure functions.

Mistral's clients know seven statuses and those before 1.11 need a `model`; what is validated is
still QUEUED to them, what makes its files RUNNING. OpenAI counts a request that failed as failed
and not as completed, Mistral as both. Ids are UUIDs for everyone.
"""

from __future__ import annotations

import uuid
from typing import Annotated, Any, Literal

import orjson
from pydantic import BaseModel, Field, model_validator

from modiste.actions.batches import MAX_INLINE, MAX_TIMEOUT_H, Wanted
from modiste.api.dialect import Dialect
from modiste.api.door import Body
from modiste.api.shapes import seconds, seconds_or_none
from modiste.errors import InvalidInput, NotYetSupported
from modiste.types import Batch, BatchStatus, Page

MistralStatus = Literal[
    "QUEUED",
    "RUNNING",
    "SUCCESS",
    "FAILED",
    "TIMEOUT_EXCEEDED",
    "CANCELLATION_REQUESTED",
    "CANCELLED",
]
OpenAIStatus = Literal[
    "validating",
    "failed",
    "in_progress",
    "finalizing",
    "completed",
    "expired",
    "cancelling",
    "cancelled",
]
S = BatchStatus
TO_MISTRAL: dict[BatchStatus, MistralStatus] = {
    S.QUEUED: "QUEUED",
    S.VALIDATING: "QUEUED",
    S.RUNNING: "RUNNING",
    S.FINALIZING: "RUNNING",
    S.SUCCESS: "SUCCESS",
    S.FAILED: "FAILED",
    S.EXPIRED: "TIMEOUT_EXCEEDED",
    S.CANCELLATION_REQUESTED: "CANCELLATION_REQUESTED",
    S.CANCELLED: "CANCELLED",
}
TO_OPENAI: dict[BatchStatus, OpenAIStatus] = {
    S.QUEUED: "validating",
    S.VALIDATING: "validating",
    S.RUNNING: "in_progress",
    S.FINALIZING: "finalizing",
    S.SUCCESS: "completed",
    S.FAILED: "failed",
    S.EXPIRED: "expired",
    S.CANCELLATION_REQUESTED: "cancelling",
    S.CANCELLED: "cancelled",
}
NOT_RUN = {
    "batch_cancelled": "This request did not run before the batch was cancelled.",
    "batch_expired": "This request did not run before the time of the batch was over.",
}


class BatchRequestIn(Body):
    custom_id: str | None = None
    body: dict[str, Any]

    @property
    def line(self) -> dict[str, Any]:
        named = {} if self.custom_id is None else {"custom_id": self.custom_id}
        return {**named, "body": self.body}


class BatchJobIn(Body):
    endpoint: str
    input_files: list[str] | None = None
    requests: Annotated[list[BatchRequestIn], Field(max_length=MAX_INLINE)] | None = None
    model: str | None = None
    agent_id: str | None = None
    metadata: dict[str, str] | None = None
    timeout_hours: Annotated[int, Field(ge=1, le=MAX_TIMEOUT_H)] = 24


class ExpiresAfter(Body):
    anchor: Literal["created_at"]
    seconds: Annotated[int, Field(ge=3600, le=2_592_000)]


class OpenAIBatchIn(Body):
    endpoint: str
    input_file_id: str
    completion_window: Annotated[str, Field(pattern=r"^[1-9][0-9]{0,3}h$")]
    """OpenAI knows `24h`; here it may be any number of hours, up to a week."""
    metadata: dict[str, str] | None = None
    output_expires_after: ExpiresAfter | None = None

    @model_validator(mode="after")
    def _within_a_week(self) -> OpenAIBatchIn:
        if self.hours > MAX_TIMEOUT_H:
            raise ValueError(f"completion_window is at most {MAX_TIMEOUT_H}h")
        return self

    @property
    def hours(self) -> int:
        return int(self.completion_window.removesuffix("h"))


class BatchError(BaseModel):
    message: str
    count: int = 1


class BatchJob(BaseModel):
    id: str
    object: Literal["batch"] = "batch"
    input_files: list[str]
    metadata: dict[str, str]
    endpoint: str
    model: str | None
    agent_id: None = None
    output_file: str | None
    error_file: str | None
    errors: list[BatchError]
    outputs: list[dict[str, Any]] | None = None
    """Every result, where `inline` asks for them."""
    status: MistralStatus
    created_at: int
    total_requests: int
    completed_requests: int
    succeeded_requests: int
    failed_requests: int
    started_at: int | None
    completed_at: int | None
    expires_at: int
    """Ours: when what has not run by then will not."""


class BatchJobList(BaseModel):
    object: Literal["list"] = "list"
    data: list[BatchJob]
    total: int
    has_more: bool


class BatchDeleted(BaseModel):
    id: str
    object: Literal["batch"] = "batch"
    deleted: Literal[True] = True


class OpenAIBatchError(BaseModel):
    code: str
    line: int | None
    message: str
    param: str | None


class OpenAIBatchErrors(BaseModel):
    object: Literal["list"] = "list"
    data: list[OpenAIBatchError]


class RequestCounts(BaseModel):
    total: int
    completed: int
    """Answered with 200."""
    failed: int


class InputDetails(BaseModel):
    cached_tokens: int = 0


class OutputDetails(BaseModel):
    reasoning_tokens: int = 0


class BatchUsage(BaseModel):
    input_tokens: int
    input_tokens_details: InputDetails = InputDetails()
    output_tokens: int
    output_tokens_details: OutputDetails = OutputDetails()
    total_tokens: int


class OpenAIBatch(BaseModel):
    id: str
    object: Literal["batch"] = "batch"
    endpoint: str
    model: str | None
    errors: OpenAIBatchErrors | None
    input_file_id: str
    completion_window: str
    status: OpenAIStatus
    output_file_id: str | None
    error_file_id: str | None
    created_at: int
    in_progress_at: int | None
    expires_at: int
    finalizing_at: int | None
    completed_at: int | None
    failed_at: int | None
    expired_at: int | None
    cancelling_at: int | None
    cancelled_at: int | None
    request_counts: RequestCounts
    usage: BatchUsage
    metadata: dict[str, str]


class OpenAIBatchList(BaseModel):
    object: Literal["list"] = "list"
    data: list[OpenAIBatch]
    first_id: str | None
    last_id: str | None
    has_more: bool


def wanted_of_mistral(body: BatchJobIn) -> Wanted:
    """What the action is asked for.

    Raises:
        NotYetSupported: an agent.
    """
    if body.agent_id is not None:
        raise NotYetSupported("agent_id: there are no agents here; name a model", param="agent_id")
    return Wanted(
        endpoint=body.endpoint,
        dialect="mistral",
        input_files=body.input_files or [],
        requests=[line.line for line in body.requests or ()],
        model=body.model,
        metadata=body.metadata,
        timeout_h=body.timeout_hours,
    )


def wanted_of_openai(body: OpenAIBatchIn) -> Wanted:
    expires = body.output_expires_after
    return Wanted(
        endpoint=body.endpoint,
        dialect="openai",
        input_files=[body.input_file_id],
        metadata=body.metadata,
        timeout_h=body.hours,
        results_expire_s=None if expires is None else expires.seconds,
    )


def statuses_behind(shown: list[str]) -> list[BatchStatus]:
    """The statuses that are shown as one of these.

    Raises:
        InvalidInput: no such status.
    """
    known = set(TO_MISTRAL.values())
    for each in shown:
        if each not in known:
            said = f"status is {each!r:.60}, expected one of {', '.join(sorted(known))}"
            raise InvalidInput(said, param="status")
    return [status for status, name in TO_MISTRAL.items() if name in shown]


def batch_job(
    batch: Batch, *, needs_model: bool, outputs: list[dict[str, Any]] | None = None
) -> BatchJob:
    """In Mistral's words.

    Args:
        needs_model: the client cannot read a batch without one; requests that name their own leave
            it empty.
    """
    counts = batch.counts
    return BatchJob(
        id=batch.id,
        input_files=list(batch.input_files),
        metadata=dict(batch.metadata),
        endpoint=batch.endpoint,
        model=(batch.model or "") if needs_model else batch.model,
        output_file=batch.output_file,
        error_file=batch.error_file,
        errors=_errors(batch),
        outputs=outputs,
        status=TO_MISTRAL[batch.status],
        created_at=seconds(batch.created_at),
        total_requests=counts.total,
        completed_requests=counts.completed,
        succeeded_requests=counts.succeeded,
        failed_requests=counts.failed,
        started_at=seconds_or_none(batch.started_at),
        completed_at=seconds_or_none(batch.finished_at),
        expires_at=seconds(batch.expires_at),
    )


def batch_job_list(page: Page, *, needs_model: bool) -> BatchJobList:
    data = [batch_job(batch, needs_model=needs_model) for batch in page.items]
    return BatchJobList(data=data, total=page.total, has_more=page.has_more)


def openai_batch(batch: Batch) -> OpenAIBatch:
    counts, status = batch.counts, batch.status
    ended = seconds_or_none(batch.finished_at)
    hours = round((batch.expires_at - batch.created_at).total_seconds() / 3600)
    return OpenAIBatch(
        id=batch.id,
        endpoint=batch.endpoint,
        model=batch.model,
        errors=_openai_errors(batch),
        input_file_id=next(iter(batch.input_files), ""),
        completion_window=f"{hours}h",
        status=TO_OPENAI[status],
        output_file_id=batch.output_file,
        error_file_id=batch.error_file,
        created_at=seconds(batch.created_at),
        in_progress_at=seconds_or_none(batch.started_at),
        expires_at=seconds(batch.expires_at),
        finalizing_at=seconds_or_none(batch.finalizing_at),
        completed_at=ended if status is S.SUCCESS else None,
        failed_at=ended if status is S.FAILED else None,
        expired_at=ended if status is S.EXPIRED else None,
        cancelling_at=seconds_or_none(batch.cancel_requested_at),
        cancelled_at=ended if status is S.CANCELLED else None,
        request_counts=RequestCounts(
            total=counts.total, completed=counts.succeeded, failed=counts.failed
        ),
        usage=BatchUsage(
            input_tokens=counts.input_tokens,
            output_tokens=counts.output_tokens,
            total_tokens=counts.input_tokens + counts.output_tokens,
        ),
        metadata=dict(batch.metadata),
    )


def openai_batch_list(page: Page) -> OpenAIBatchList:
    data = [openai_batch(batch) for batch in page.items]
    return OpenAIBatchList(
        data=data,
        first_id=data[0].id if data else None,
        last_id=data[-1].id if data else None,
        has_more=page.has_more,
    )


def result_line(
    dialect: Dialect,
    batch_id: str,
    place: int,
    custom_id: str,
    *,
    status: int,
    body: Any,
    request_id: str,
) -> bytes:
    """What a request was answered, as a line of a file of results."""
    response: dict[str, Any] = {"status_code": status, "body": body}
    if dialect is Dialect.OPENAI:
        response = {"status_code": status, "request_id": request_id, "body": body}
    return _line(dialect, batch_id, place, custom_id, response=response, error=None)


def not_run_line(
    dialect: Dialect, batch_id: str, place: int, custom_id: str, *, code: str
) -> bytes:
    """A request that did not run; `code` is one of NOT_RUN."""
    error = {"code": code, "message": NOT_RUN[code]}
    return _line(dialect, batch_id, place, custom_id, response=None, error=error)


def _line(
    dialect: Dialect,
    batch_id: str,
    place: int,
    custom_id: str,
    *,
    response: dict[str, Any] | None,
    error: dict[str, str] | None,
) -> bytes:
    named = uuid.uuid5(uuid.UUID(batch_id), str(place))
    line_id = f"batch-{batch_id[:8]}-{place}-{named}"
    if dialect is Dialect.OPENAI:
        line_id = f"batch_req_{named.hex}"
    return orjson.dumps(
        {"id": line_id, "custom_id": custom_id, "response": response, "error": error}
    )


def _errors(batch: Batch) -> list[BatchError]:
    if batch.error is None:
        return []
    told = [BatchError(message=str(problem)) for problem in batch.error.problems]
    return told or [BatchError(message=batch.error.message)]


def _openai_errors(batch: Batch) -> OpenAIBatchErrors | None:
    if batch.error is None:
        return None
    error = batch.error
    told = [
        OpenAIBatchError(
            code=problem.code, line=problem.line, message=str(problem), param=problem.path or None
        )
        for problem in error.problems
    ]
    whole = OpenAIBatchError(code=error.code, line=None, message=error.message, param=error.param)
    return OpenAIBatchErrors(data=told or [whole])
