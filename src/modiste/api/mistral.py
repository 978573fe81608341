"""Fine-tuning jobs in Mistral's words: pure functions theirs → ours → theirs.

The status that a client sees is projected, the events keep the true history. Loops such as
`while status in ["RUNNING", "QUEUED"]` right after `create(auto_start=True)` must not fall through,
so a job that will start by itself is QUEUED while it is validated, and STARTED is RUNNING. The 0.x
client knows seven statuses and needs `training_steps`; it fails on a whole list for one job that it
cannot parse, so everything else is mapped to what it knows.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, SecretStr, model_validator

from modiste.actions.job_requests import Wanted
from modiste.api.door import Body
from modiste.api.hyperparameters import HyperparametersIn
from modiste.api.shapes import ClassifierTargetOut, seconds, seconds_or_none, targets_out
from modiste.errors import InvalidInput
from modiste.tune import effort
from modiste.tune.asked import tracker
from modiste.types import (
    Checkpoint,
    ClassifierTarget,
    Hyperparameters,
    Job,
    JobEstimate,
    JobEvent,
    JobStatus,
    JobType,
    LossFunction,
    Page,
    TrainingFile,
)

MAX_SUFFIX = 18
STEPS_OF_MISTRAL_0 = (1, 10_000)
"""What the 0.x client accepts; a job outside is shown at the nearest end."""
SHOWN_TO_MISTRAL_0 = {
    JobStatus.VALIDATING: JobStatus.QUEUED,
    JobStatus.VALIDATED: JobStatus.QUEUED,
    JobStatus.FAILED_VALIDATION: JobStatus.FAILED,
}


class TrainingFileIn(Body):
    file_id: str
    weight: Annotated[float, Field(gt=0)] = 1.0


class IntegrationIn(Body):
    """Mistral's `wandb`; the other types, `url` and `offline` are ours."""

    type: Literal["wandb", "mlflow", "tensorboard"] = "wandb"
    project: str | None = None
    """W&B needs one."""
    name: str | None = None
    run_name: str | None = None
    api_key: Annotated[SecretStr, Field(min_length=1, max_length=500)] | None = None
    """W&B's (40 characters or more), or MLflow's token. Without it the server's own is used."""
    url: str | None = None
    offline: bool = False

    @model_validator(mode="after")
    def _as_long_as_a_key(self) -> IntegrationIn:
        if self.type == "wandb" and self.api_key is not None and len(self.api_key) < 40:
            raise ValueError("api_key of W&B has 40 characters or more")
        return self


class RepositoryIn(Body):
    type: Literal["github"] = "github"
    name: str
    owner: str
    ref: str | None = None
    weight: Annotated[float, Field(gt=0)] = 1.0
    token: SecretStr


class ClassifierTargetIn(Body):
    name: str
    labels: list[str]
    weight: Annotated[float, Field(ge=0)] = 1.0
    loss_function: Literal["single_class", "multi_class"] | None = None


class JobIn(Body):
    model: str
    training_files: list[str | TrainingFileIn] | None = None
    validation_files: list[str] | None = None
    dataset: str | None = None
    """Ours: `name@version` instead of training files."""
    hyperparameters: HyperparametersIn
    suffix: Annotated[str, Field(max_length=MAX_SUFFIX)] | None = None
    integrations: list[IntegrationIn] | None = None
    repositories: Annotated[list[RepositoryIn], Field(max_length=20)] | None = None
    auto_start: bool | None = None
    invalid_sample_skip_percentage: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    job_type: Literal["completion", "classifier"] | None = None
    classifier_targets: list[ClassifierTargetIn] | None = None


class WandbOut(BaseModel):
    type: Literal["wandb"] = "wandb"
    project: str
    name: str | None = None
    run_name: str | None = None
    url: str | None = None


class TrackerOut(BaseModel):
    type: str
    project: str | None = None
    run_name: str | None = None
    url: str | None = None
    offline: bool = False


class JobMetadata(BaseModel):
    expected_duration_seconds: int | None
    cost: float | None
    cost_currency: str | None
    train_tokens_per_step: int | None
    train_tokens: int | None
    data_tokens: int | None
    estimated_start_time: int | None


class DryRun(JobMetadata):
    """LegacyJobMetadataOut: what a job would take, without a job."""

    object: Literal["job.metadata"] = "job.metadata"
    training_steps: int | None
    epochs: float | None
    details: str
    deprecated: Literal[True] = True


class JobProblem(BaseModel):
    """Why a job failed. Ours: Mistral's jobs carry no reason."""

    code: str
    message: str


class _Job(BaseModel):
    id: str
    object: Literal["job"] = "job"
    auto_start: bool
    model: str
    status: JobStatus
    created_at: int
    modified_at: int
    training_files: list[str]
    validation_files: list[str]
    hyperparameters: Hyperparameters
    fine_tuned_model: str | None
    suffix: str | None
    integrations: list[WandbOut]
    trackers: list[TrackerOut]
    """Ours: every integration, those that Mistral's clients could not read included."""
    trained_tokens: int | None
    metadata: JobMetadata
    error: JobProblem | None
    paused: bool
    dataset: str | None


class CompletionJob(_Job):
    job_type: Literal["completion"] = "completion"
    repositories: list[str] = []


class ClassifierJob(_Job):
    job_type: Literal["classifier"] = "classifier"
    classifier_targets: list[ClassifierTargetOut]
    """As asked for; once the files were read, as they are trained."""


class EventData(BaseModel):
    status: JobStatus
    message: str


class Event(BaseModel):
    name: Literal["status-updated"] = "status-updated"
    data: EventData
    created_at: int


class CheckpointMetrics(BaseModel):
    train_loss: float | None
    valid_loss: float | None
    valid_mean_token_accuracy: float | None
    """Share of trained tokens predicted right. (Mistral's service puts a perplexity here.)"""


class CheckpointOut(BaseModel):
    metrics: CheckpointMetrics
    step_number: int
    created_at: int


class _Details(BaseModel):
    events: list[Event]
    """Oldest first."""
    checkpoints: list[CheckpointOut]
    """Newest first."""
    estimated_start_time: int | None


class DetailedJob(CompletionJob, _Details):
    pass


class DetailedClassifierJob(ClassifierJob, _Details):
    pass


class JobList(BaseModel):
    object: Literal["list"] = "list"
    data: list[CompletionJob | ClassifierJob]
    total: int
    has_more: bool


def wanted(body: JobIn, *, mistral_0: bool) -> Wanted:
    """What the action is asked for. An absent `auto_start` means no, except from the 0.x client,
    which cannot send it and expects its jobs to run."""
    if body.suffix == "":
        raise InvalidInput(
            "suffix is empty; leave it out or give 1 to 18 characters", param="suffix"
        )
    return Wanted(
        model=body.model,
        training_files=[
            TrainingFile(file) if isinstance(file, str) else TrainingFile(file.file_id, file.weight)
            for file in body.training_files or ()
        ],
        validation_files=list(body.validation_files or ()),
        dataset=body.dataset,
        hyperparameters=_asked(body),
        suffix=body.suffix,
        auto_start=mistral_0 if body.auto_start is None else body.auto_start,
        integrations=[item.model_dump() for item in body.integrations or ()],
        invalid_sample_skip_fraction=body.invalid_sample_skip_percentage,
        job_type=body.job_type or "completion",
        repositories=[item.model_dump() for item in body.repositories or ()],
        classifier_targets=[_target(item) for item in body.classifier_targets or ()],
    )


def _asked(body: JobIn) -> Hyperparameters:
    """A classifier that names no learning rate gets its own usual one, not Mistral's default."""
    asked, classifies = body.hyperparameters, body.job_type == "classifier"
    if classifies and asked.objective is None:
        asked = asked.model_copy(update={"objective": "classify"})
    noun = asked.noun(evaluates=bool(body.validation_files))
    if classifies and asked.effort is None and "learning_rate" not in asked.given:
        return replace(noun, learning_rate=effort.RATES["classify", "adapter"])
    return noun


def _target(asked: ClassifierTargetIn) -> ClassifierTarget:
    said = asked.loss_function
    kind = None if said is None else LossFunction(said)
    return ClassifierTarget(asked.name, tuple(asked.labels), kind, asked.weight)


def status_of(job: Job, *, mistral_0: bool) -> JobStatus:
    """The status that this client is shown."""
    return _shown(job.status, auto_start=job.auto_start, mistral_0=mistral_0)


def statuses_behind(shown: str, *, auto_start: bool, mistral_0: bool) -> list[JobStatus]:
    """The statuses that this client is shown as `shown`, to filter a list by what it saw.

    Raises:
        InvalidInput: no such status.
    """
    if shown not in JobStatus.__members__:
        raise InvalidInput(
            f"status is {shown!r}, expected one of {', '.join(JobStatus)}", param="status"
        )
    return [
        status
        for status in JobStatus
        if _shown(status, auto_start=auto_start, mistral_0=mistral_0) == shown
    ]


def job_out(job: Job, *, mistral_0: bool) -> CompletionJob | ClassifierJob:
    kind = ClassifierJob if job.job_type is JobType.CLASSIFIER else CompletionJob
    return kind.model_validate(_fields(job, mistral_0=mistral_0))


def detailed_job(job: Job, *, mistral_0: bool) -> DetailedJob | DetailedClassifierJob:
    fields = _fields(job, mistral_0=mistral_0)
    fields["events"] = [_event(event, mistral_0=mistral_0) for event in job.events]
    fields["checkpoints"] = [_checkpoint(checkpoint) for checkpoint in job.checkpoints]
    fields["estimated_start_time"] = seconds_or_none(job.estimate.estimated_start_time)
    kind = DetailedClassifierJob if job.job_type is JobType.CLASSIFIER else DetailedJob
    return kind.model_validate(fields)


def job_list(page: Page, *, mistral_0: bool) -> JobList:
    data = [job_out(job, mistral_0=mistral_0) for job in page.items]
    return JobList(data=data, total=page.total, has_more=page.has_more)


def dry_run(estimate: JobEstimate) -> DryRun:
    return DryRun(
        **_metadata(estimate).model_dump(),
        training_steps=estimate.training_steps,
        epochs=estimate.epochs,
        details=estimate.details,
    )


def _shown(status: JobStatus, *, auto_start: bool, mistral_0: bool) -> JobStatus:
    if status is JobStatus.STARTED:
        return JobStatus.RUNNING
    if auto_start and status in (JobStatus.VALIDATING, JobStatus.VALIDATED):
        return JobStatus.QUEUED
    return SHOWN_TO_MISTRAL_0.get(status, status) if mistral_0 else status


def _fields(job: Job, *, mistral_0: bool) -> dict[str, Any]:
    return {
        "id": job.id,
        "auto_start": job.auto_start,
        "model": job.model,
        "status": status_of(job, mistral_0=mistral_0),
        "created_at": seconds(job.created_at),
        "modified_at": seconds(job.modified_at),
        "training_files": [file.file_id for file in job.training_files],
        "validation_files": list(job.validation_files),
        "hyperparameters": _hyperparameters(job, mistral_0=mistral_0),
        "fine_tuned_model": job.fine_tuned_model,
        "suffix": job.suffix,
        "integrations": [
            WandbOut.model_validate(item) for item in job.integrations if item["type"] == "wandb"
        ],
        "trackers": [TrackerOut.model_validate(tracker(item)) for item in job.integrations],
        "trained_tokens": job.trained_tokens,
        "metadata": _metadata(job.estimate),
        "error": job.error and JobProblem(code=job.error.code, message=job.error.message),
        "paused": job.paused,
        "dataset": job.dataset,
    } | (
        {"classifier_targets": targets_out(job.classifier_targets)}
        if job.job_type is JobType.CLASSIFIER
        else {}
    )


def _hyperparameters(job: Job, *, mistral_0: bool) -> Hyperparameters:
    asked = job.hyperparameters
    if not mistral_0:
        return asked
    low, high = STEPS_OF_MISTRAL_0
    steps = asked.training_steps or job.estimate.training_steps or low
    return replace(asked, training_steps=min(max(steps, low), high))


def _metadata(estimate: JobEstimate) -> JobMetadata:
    return JobMetadata(
        expected_duration_seconds=estimate.expected_duration_s,
        cost=None if estimate.cost_micro is None else estimate.cost_micro / 1_000_000,
        cost_currency=estimate.cost_currency,
        train_tokens_per_step=estimate.train_tokens_per_step,
        train_tokens=estimate.train_tokens,
        data_tokens=estimate.data_tokens,
        estimated_start_time=seconds_or_none(estimate.estimated_start_time),
    )


def _event(event: JobEvent, *, mistral_0: bool) -> Event:
    status = SHOWN_TO_MISTRAL_0.get(event.status, event.status) if mistral_0 else event.status
    data = EventData(status=status, message=event.message)
    return Event(data=data, created_at=seconds(event.created_at))


def _checkpoint(checkpoint: Checkpoint) -> CheckpointOut:
    return CheckpointOut(
        metrics=CheckpointMetrics(
            train_loss=checkpoint.train_loss,
            valid_loss=checkpoint.valid_loss,
            valid_mean_token_accuracy=checkpoint.valid_token_accuracy,
        ),
        step_number=checkpoint.step,
        created_at=seconds(checkpoint.created_at),
    )
