"""Fine-tuning jobs in OpenAI's words: pure functions theirs → ours → theirs.

An OpenAI job always starts by itself. Beside their hyperparameters all of ours are read.
`learning_rate_multiplier` multiplies the usual rate, `batch_size` is packed sequences per step,
"auto" leaves the choice to the plan. A paused job says `paused`, which the service itself uses
although its client's list of statuses lacks it.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from modiste.actions.job_requests import Wanted
from modiste.api.door import Body
from modiste.api.hyperparameters import NativeHyperparameters, chosen
from modiste.api.shapes import seconds, seconds_or_none
from modiste.errors import InvalidInput, NotYetSupported
from modiste.tune import effort
from modiste.types import (
    Checkpoint,
    Hyperparameters,
    Job,
    JobEvent,
    JobStatus,
    Page,
    TrainingFile,
)

DEFAULT_LEARNING_RATE = Hyperparameters().learning_rate
Auto = Literal["auto"]
Status = Literal[
    "validating_files", "queued", "running", "succeeded", "failed", "cancelled", "paused"
]
STATUS: dict[JobStatus, Status] = {
    JobStatus.QUEUED: "queued",
    JobStatus.VALIDATING: "validating_files",
    JobStatus.VALIDATED: "queued",
    JobStatus.STARTED: "running",
    JobStatus.RUNNING: "running",
    JobStatus.CANCELLATION_REQUESTED: "running",
    JobStatus.SUCCESS: "succeeded",
    JobStatus.FAILED: "failed",
    JobStatus.FAILED_VALIDATION: "failed",
    JobStatus.CANCELLED: "cancelled",
}


class OpenAIHyperparameters(NativeHyperparameters):
    """OpenAI's three, and every field of ours: stock clients pass on what they do not know."""

    n_epochs: Auto | Annotated[int, Field(ge=1)] = "auto"
    batch_size: Auto | Annotated[int, Field(ge=1)] = "auto"
    learning_rate_multiplier: Auto | Annotated[float, Field(gt=0)] = "auto"

    @property
    def given(self) -> frozenset[str]:
        theirs = {"n_epochs": "epochs", "learning_rate_multiplier": "learning_rate"}
        said = {name for name in self.model_fields_set if getattr(self, name) != "auto"}
        return frozenset(theirs.get(name, name) for name in said)


class Supervised(Body):
    hyperparameters: OpenAIHyperparameters | None = None


class DpoHyperparameters(OpenAIHyperparameters):
    beta: Auto | Annotated[float, Field(gt=0, le=2)] = "auto"


class DpoIn(Body):
    hyperparameters: DpoHyperparameters | None = None


class MethodIn(Body):
    type: Literal["supervised", "dpo", "reinforcement"]
    supervised: Supervised | None = None
    dpo: DpoIn | None = None
    reinforcement: dict[str, Any] | None = None


class WandbSettings(Body):
    project: str
    name: str | None = None
    entity: str | None = None
    tags: list[str] | None = None


class OpenAIIntegration(Body):
    type: Literal["wandb"]
    wandb: WandbSettings


class OpenAIJobIn(Body):
    model: str
    training_file: str
    validation_file: str | None = None
    suffix: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    seed: Annotated[int, Field(ge=0, lt=2**63)] | None = None
    metadata: dict[str, str] | None = None
    integrations: list[OpenAIIntegration] | None = None
    method: MethodIn | None = None
    hyperparameters: OpenAIHyperparameters | None = None


class OpenAIHyperparametersOut(BaseModel):
    n_epochs: Auto | int | float
    batch_size: Auto | int
    learning_rate_multiplier: float


class SupervisedOut(BaseModel):
    hyperparameters: OpenAIHyperparametersOut


class DpoHyperparametersOut(OpenAIHyperparametersOut):
    beta: float


class DpoOut(BaseModel):
    hyperparameters: DpoHyperparametersOut


class MethodOut(BaseModel):
    type: Literal["supervised"] = "supervised"
    supervised: SupervisedOut


class DpoMethodOut(BaseModel):
    type: Literal["dpo"] = "dpo"
    dpo: DpoOut


class ErrorOut(BaseModel):
    code: str
    message: str
    param: str | None


class FineTuningJob(BaseModel):
    id: str
    object: Literal["fine_tuning.job"] = "fine_tuning.job"
    created_at: int
    finished_at: int | None
    estimated_finish: int | None
    error: ErrorOut | None
    fine_tuned_model: str | None
    hyperparameters: OpenAIHyperparametersOut
    method: MethodOut | DpoMethodOut
    integrations: list[dict[str, Any]]
    metadata: dict[str, str]
    model: str
    organization_id: str
    result_files: list[str] = []
    seed: int
    status: Status
    suffix: str | None
    trained_tokens: int | None
    training_file: str
    validation_file: str | None


class FineTuningJobList(BaseModel):
    object: Literal["list"] = "list"
    data: list[FineTuningJob]
    total: int
    has_more: bool


class FineTuningEvent(BaseModel):
    id: str
    object: Literal["fine_tuning.job.event"] = "fine_tuning.job.event"
    created_at: int
    level: Literal["info", "warn", "error"]
    message: str
    type: Literal["message"] = "message"
    data: dict[str, str]


class FineTuningEventList(BaseModel):
    object: Literal["list"] = "list"
    data: list[FineTuningEvent]
    has_more: bool


class FineTuningMetrics(BaseModel):
    step: int
    train_loss: float | None
    train_mean_token_accuracy: None = None
    valid_loss: float | None
    valid_mean_token_accuracy: float | None
    full_valid_loss: float | None
    full_valid_mean_token_accuracy: float | None


class FineTuningCheckpoint(BaseModel):
    id: str
    object: Literal["fine_tuning.job.checkpoint"] = "fine_tuning.job.checkpoint"
    created_at: int
    fine_tuned_model_checkpoint: str | None
    """The job's model at its last step; steps in between are states to resume from, not models."""
    fine_tuning_job_id: str
    step_number: int
    metrics: FineTuningMetrics


class FineTuningCheckpointList(BaseModel):
    object: Literal["list"] = "list"
    data: list[FineTuningCheckpoint]
    first_id: str | None
    last_id: str | None
    has_more: bool


def wanted(body: OpenAIJobIn) -> Wanted:
    """What the action is asked for.

    Raises:
        NotYetSupported: a method other than supervised and dpo.
        InvalidInput: one field in two words, or where nobody reads it.
    """
    return Wanted(
        model=body.model,
        training_files=[TrainingFile(body.training_file)],
        validation_files=[] if body.validation_file is None else [body.validation_file],
        hyperparameters=_hyperparameters(
            _asked(body), seed=body.seed, evaluates=body.validation_file is not None
        ),
        suffix=body.suffix,
        auto_start=True,
        integrations=[_wandb(item.wandb) for item in body.integrations or ()],
        metadata=body.metadata,
    )


def _asked(body: OpenAIJobIn) -> OpenAIHyperparameters:
    """Where this generation of the client puts them."""
    method = body.method
    if method is not None and method.type == "reinforcement":
        raise NotYetSupported(
            "method.type is 'reinforcement'; this version tunes with 'supervised' and 'dpo'",
            param="method.type",
        )
    supervised = method and method.supervised and method.supervised.hyperparameters
    compared = method and method.dpo and method.dpo.hyperparameters
    is_dpo = method is not None and method.type == "dpo"
    unread = {
        "method.supervised.hyperparameters": supervised is not None and is_dpo,
        "method.dpo.hyperparameters": compared is not None and not is_dpo,
        "hyperparameters": body.hyperparameters is not None and (is_dpo or supervised is not None),
    }
    for place, there in unread.items():
        if there:
            where = "method.dpo" if is_dpo else "method.supervised"
            raise InvalidInput(
                f"{place} is not read in this job: give all in {where}.hyperparameters", param=place
            )
    if is_dpo:
        return compared or DpoHyperparameters()
    return supervised or body.hyperparameters or OpenAIHyperparameters()


def _wandb(settings: WandbSettings) -> dict[str, Any]:
    """Tags are taken and not passed on; an entity would decide who sees the run, so it is refused.

    Raises:
        InvalidInput: an entity is named.
    """
    if settings.entity:
        raise InvalidInput(
            "integrations: wandb.entity is not passed on: leave it out; the entity is that of the "
            "key, or WANDB_ENTITY where the server runs",
            param="integrations",
        )
    return {"type": "wandb", "project": settings.project, "name": settings.name}


def job_out(job: Job) -> FineTuningJob:
    hyperparameters = _hyperparameters_out(job.hyperparameters)
    return FineTuningJob(
        id=job.id,
        created_at=seconds(job.created_at),
        finished_at=seconds_or_none(job.finished_at),
        estimated_finish=seconds_or_none(_estimated_finish(job)),
        error=_error(job),
        fine_tuned_model=job.fine_tuned_model,
        hyperparameters=hyperparameters,
        method=_method(job.hyperparameters, hyperparameters),
        integrations=[_integration(dict(item)) for item in job.integrations],
        metadata=dict(job.metadata),
        model=job.model,
        organization_id=f"org-{job.org}",
        seed=job.hyperparameters.seed,
        status="paused" if job.paused else STATUS[job.status],
        suffix=job.suffix,
        trained_tokens=job.trained_tokens,
        training_file=job.training_files[0].file_id,
        validation_file=next(iter(job.validation_files), None),
    )


def job_list(page: Page) -> FineTuningJobList:
    data = [job_out(job) for job in page.items]
    return FineTuningJobList(data=data, total=page.total, has_more=page.has_more)


def event_list(page: Page) -> FineTuningEventList:
    return FineTuningEventList(data=[_event(event) for event in page.items], has_more=page.has_more)


def checkpoint_list(page: Page, job: Job) -> FineTuningCheckpointList:
    data = [_checkpoint(checkpoint, job) for checkpoint in page.items]
    return FineTuningCheckpointList(
        data=data,
        first_id=data[0].id if data else None,
        last_id=data[-1].id if data else None,
        has_more=page.has_more,
    )


def _hyperparameters(
    asked: OpenAIHyperparameters, *, seed: int | None, evaluates: bool
) -> Hyperparameters:
    theirs = {"n_epochs", "learning_rate_multiplier", "batch_size", "beta"}
    values = chosen(asked, asked.model_dump(exclude=theirs), evaluates=evaluates)
    said = asked.model_fields_set
    for name, ours in (("n_epochs", "epochs"), ("learning_rate_multiplier", "learning_rate")):
        if {name, ours} <= said:
            raise InvalidInput(f"{name} and {ours} are both given; keep one", param=name)
    compared = isinstance(asked, DpoHyperparameters)
    if asked.learning_rate_multiplier != "auto":
        values["learning_rate"] = _usual_rate(compared) * asked.learning_rate_multiplier
    elif compared and "learning_rate" not in asked.given and asked.effort is None:
        values["learning_rate"] = _usual_rate(compared)
    if asked.n_epochs != "auto":
        values["epochs"] = float(asked.n_epochs)
    values["batch_size"] = None if asked.batch_size == "auto" else asked.batch_size
    if isinstance(asked, DpoHyperparameters):
        values["objective"] = "dpo"
        if asked.beta != "auto":
            values["dpo_beta"] = asked.beta
    if seed is not None:
        values["seed"] = seed
    return Hyperparameters(**values)


def _usual_rate(compared: bool) -> float:
    return effort.RATES[("dpo", "adapter")] if compared else DEFAULT_LEARNING_RATE


def _hyperparameters_out(kept: Hyperparameters) -> OpenAIHyperparametersOut:
    epochs = kept.epochs
    if epochs is not None and epochs == int(epochs):
        epochs = int(epochs)
    return OpenAIHyperparametersOut(
        n_epochs="auto" if epochs is None else epochs,
        batch_size="auto" if kept.batch_size is None else kept.batch_size,
        learning_rate_multiplier=round(
            kept.learning_rate / _usual_rate(kept.objective == "dpo"), 9
        ),
    )


def _method(kept: Hyperparameters, shown: OpenAIHyperparametersOut) -> MethodOut | DpoMethodOut:
    if kept.objective != "dpo":
        return MethodOut(supervised=SupervisedOut(hyperparameters=shown))
    told = DpoHyperparametersOut(**shown.model_dump(), beta=kept.dpo_beta)
    return DpoMethodOut(dpo=DpoOut(hyperparameters=told))


def _estimated_finish(job: Job) -> datetime | None:
    """While it runs: from its last word on; None before anything is known and after the end."""
    if job.status.final or job.paused:
        return None
    if job.progress is not None:
        return job.modified_at + timedelta(seconds=job.progress.eta_s)
    if job.started_at is None or job.estimate.expected_duration_s is None:
        return None
    return job.started_at + timedelta(seconds=job.estimate.expected_duration_s)


def _error(job: Job) -> ErrorOut | None:
    if job.error is None:
        return None
    return ErrorOut(code=job.error.code, message=job.error.message, param=job.error.param)


def _integration(kept: dict[str, Any]) -> dict[str, Any]:
    kind = kept.pop("type")
    return {"type": kind, kind: kept}


def _event(event: JobEvent) -> FineTuningEvent:
    level: Literal["info", "warn", "error"] = "info"
    if event.level != "info":
        level = "error" if event.level == "error" else "warn"
    return FineTuningEvent(
        id=event.id,
        created_at=seconds(event.created_at),
        level=level,
        message=event.message or f"The job is {STATUS[event.status]}.",
        data={"status": STATUS[event.status]},
    )


def _checkpoint(checkpoint: Checkpoint, job: Job) -> FineTuningCheckpoint:
    newest = max((each.step for each in job.checkpoints), default=checkpoint.step)
    return FineTuningCheckpoint(
        id=checkpoint.id,
        created_at=seconds(checkpoint.created_at),
        fine_tuned_model_checkpoint=job.fine_tuned_model if checkpoint.step == newest else None,
        fine_tuning_job_id=job.id,
        step_number=checkpoint.step,
        metrics=FineTuningMetrics(
            step=checkpoint.step,
            train_loss=checkpoint.train_loss,
            valid_loss=checkpoint.valid_loss,
            valid_mean_token_accuracy=checkpoint.valid_token_accuracy,
            full_valid_loss=checkpoint.valid_loss,
            full_valid_mean_token_accuracy=checkpoint.valid_token_accuracy,
        ),
    )
