"""The nouns of Modiste: frozen values that every layer may pass around.

Nothing here computes, opens or imports anything of the project. Times are UTC `datetime`s,
sizes carry their unit in the name, money is integer micro-units of a named currency.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal, NamedTuple


class Role(StrEnum):
    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"


@dataclass(frozen=True)
class ToolCall:
    """One function call of an assistant message; `arguments` is the JSON text as written."""

    id: str | None
    name: str
    arguments: str


@dataclass(frozen=True)
class Message:
    role: Role
    content: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    name: str | None = None
    weight: int | None = None
    """Training only: 0 masks an assistant message, 1 or None trains on it."""
    prefix: bool = False
    """Serving only: the assistant's answer continues this message."""
    thought: str | None = None
    """Serving only: what the assistant thought before it said this."""


class SampleType(StrEnum):
    INSTRUCT = "instruct"
    PRETRAIN = "pretrain"
    CLASSIFIER = "classifier"
    PREFERENCE = "preference"


@dataclass(frozen=True)
class Example:
    """One row: a conversation (`messages`) or plain text (`text`), with what is to be learned."""

    line: int
    sample_type: SampleType
    messages: tuple[Message, ...] = ()
    text: str | None = None
    tools: tuple[Mapping[str, Any], ...] = ()
    labels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Classifier rows: name of each label to its values; one value where only one may hold."""
    chosen: tuple[Message, ...] = ()
    """Preference rows: the answer to `messages` that is preferred …"""
    rejected: tuple[Message, ...] = ()
    """… and the one that is not."""


class LossFunction(StrEnum):
    """How many labels of a target may hold at once, in Mistral's words."""

    SINGLE_CLASS = "single_class"
    MULTI_CLASS = "multi_class"


@dataclass(frozen=True)
class ClassifierTarget:
    """One question that a classifier answers about every row."""

    name: str
    labels: tuple[str, ...]
    loss_function: LossFunction | None = None
    """None: not said, and the rows not read yet."""
    weight: float = 1.0
    """Of its loss among those of the other targets."""

    @property
    def single(self) -> bool:
        return self.loss_function is not LossFunction.MULTI_CLASS


class Severity(StrEnum):
    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True)
class Problem:
    """One thing wrong with one input, said so that a person can mend it."""

    file: str
    line: int | None
    path: str
    """JSON path inside the row, such as `messages[2].role`; empty for the whole row."""
    code: str
    """Stable, machine-readable: `role_unknown`, `json_invalid`, ..."""
    message: str
    value: str | None = None
    hint: str | None = None
    severity: Severity = Severity.ERROR

    def __str__(self) -> str:
        where = self.file if self.line is None else f"{self.file} line {self.line}"
        hint = f" ({self.hint})" if self.hint else ""
        return f"{where}: {self.message}{hint}"


class Scope(StrEnum):
    """What a key may do. `admin` includes all others."""

    INFER = "infer"
    DATA = "data"
    TRAIN = "train"
    ADMIN = "admin"


@dataclass(frozen=True)
class Actor:
    """Who asks: one key of one organisation."""

    key_id: str
    org: str
    """Eight hex digits; the organisation part of fine-tuned model names."""
    scopes: frozenset[Scope]

    def may(self, scope: Scope) -> bool:
        return scope in self.scopes or Scope.ADMIN in self.scopes


@dataclass(frozen=True)
class Key:
    """A key as it is listed; the secret exists only in the answer that created it."""

    id: str
    name: str
    prefix: str
    scopes: frozenset[Scope]
    created_at: datetime
    revoked_at: datetime | None = None


class Purpose(StrEnum):
    FINE_TUNE = "fine-tune"
    BATCH = "batch"
    OCR = "ocr"
    EVALS = "evals"
    USER_DATA = "user_data"
    ASSISTANTS = "assistants"
    VISION = "vision"


@dataclass(frozen=True)
class File:
    id: str
    filename: str
    purpose: Purpose
    size_bytes: int
    sha256: str
    created_at: datetime
    created_by: str
    sample_type: str
    """`instruct`, `pretrain`, or the batch types of the API."""
    source: str = "upload"
    n_lines: int | None = None
    mimetype: str | None = None
    expires_at: datetime | None = None
    visibility: str = "workspace"
    deleted: bool = False
    problems: tuple[Problem, ...] = ()
    format: str | None = None
    """Of the rows of a training file, as it was told on arrival."""
    report_sha256: str | None = None
    """The blob that says what the checks found in it."""
    rows_sha256: str | None = None
    """The blob that knows its rows by their content."""


class JobStatus(StrEnum):
    QUEUED = "QUEUED"
    VALIDATING = "VALIDATING"
    VALIDATED = "VALIDATED"
    FAILED_VALIDATION = "FAILED_VALIDATION"
    STARTED = "STARTED"
    RUNNING = "RUNNING"
    SUCCESS = "SUCCESS"
    FAILED = "FAILED"
    CANCELLATION_REQUESTED = "CANCELLATION_REQUESTED"
    CANCELLED = "CANCELLED"

    @property
    def final(self) -> bool:
        return self in FINAL_STATUSES


FINAL_STATUSES = frozenset(
    {JobStatus.FAILED_VALIDATION, JobStatus.SUCCESS, JobStatus.FAILED, JobStatus.CANCELLED}
)


class TrainingFile(NamedTuple):
    file_id: str
    weight: float = 1.0


class OverLength(StrEnum):
    """What becomes of conversations that are longer than a sequence."""

    REFUSE = "refuse"
    SPLIT = "split"
    """Cut between turns."""


@dataclass(frozen=True)
class Hyperparameters:
    """What a job was asked for; None is filled in during validation where it can be computed."""

    training_steps: int | None = None
    epochs: float | None = None
    learning_rate: float = 1e-4
    weight_decay: float | None = 0.1
    warmup_fraction: float | None = 0.05
    seq_len: int | None = None
    fim_ratio: float | None = None
    batch_size: int | None = None
    """Tokens per step = batch_size x seq_len; None lets the plan choose."""
    seed: int = 0
    lora_rank: int = 16
    lora_alpha: float | None = None
    """None means twice the rank."""
    lora_targets: tuple[str, ...] | None = None
    """Names of linear layers; None means every one but the head."""
    max_grad_norm: float = 1.0
    checkpoint_steps: int | None = None
    eval_steps: int | None = None
    over_length: OverLength = OverLength.REFUSE
    # From here on: fields of `tune.spec.TuneSpec` under their own names, sections joined by `_`.
    method: str = "lora"
    objective: str | None = None
    """None: what the rows are for."""
    effort: str | None = None
    """The preset that filled in what was left open; said for the record, it decides nothing now."""
    lora_dropout: float = 0.0
    lora_rslora: bool = False
    lora_dora: bool = False
    dpo_beta: float = 0.1
    dpo_label_smoothing: float = 0.0
    dpo_sft_weight: float = 0.0
    continue_from: str | None = None
    lr_schedule: str = "cosine"
    keep: str = "last"
    early_stopping_patience: int | None = None
    early_stopping_min_delta: float = 0.0
    dtype: str = "auto"
    gradient_checkpointing: bool | Literal["auto"] = "auto"
    microbatch_tokens: int | None = None
    force: bool = False
    classifier_pooling: str = "mean"
    classifier_balance: str = "sqrt"
    classifier_phrases: bool = True


class JobType(StrEnum):
    COMPLETION = "completion"
    CLASSIFIER = "classifier"


@dataclass(frozen=True)
class JobEstimate:
    """What a job will take, known once it is validated. `details` says what it rests on."""

    expected_duration_s: int | None = None
    cost_micro: int | None = None
    cost_currency: str | None = None
    train_tokens_per_step: int | None = None
    train_tokens: int | None = None
    data_tokens: int | None = None
    estimated_start_time: datetime | None = None
    training_steps: int | None = None
    epochs: float | None = None
    details: str = ""
    spec: Mapping[str, Any] | None = None
    """The complete TuneSpec. Of estimates only: a job has its own."""
    figures: Mapping[str, Any] = field(default_factory=dict)
    """Memory, disk, duration and speed by part (`tune.plan.Plan.figures`)."""


@dataclass(frozen=True)
class JobError:
    code: str
    message: str
    param: str | None = None
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True)
class JobEvent:
    id: str
    status: JobStatus
    created_at: datetime
    message: str = ""
    level: str = "info"


@dataclass(frozen=True)
class Checkpoint:
    id: str
    step: int
    created_at: datetime
    train_loss: float | None = None
    valid_loss: float | None = None
    valid_token_accuracy: float | None = None
    """Share of trained tokens predicted right, 0 to 1. None where no evaluation ran."""


@dataclass(frozen=True)
class Progress:
    """The last thing a running job said about itself."""

    step: int
    total_steps: int
    train_loss: float
    learning_rate: float
    tokens_per_s: float
    trained_tokens_per_s: float
    eta_s: float
    n_tokens: int
    """Tokens that went through the model so far, prompts included."""
    grad_norm: float | None = None
    epoch: float | None = None
    memory_bytes: int | None = None
    peak_memory_bytes: int | None = None
    gpu_memory_bytes: int | None = None
    mfu: float | None = None
    """Share of a GPU's peak that went into useful work, 0 to 1."""


@dataclass(frozen=True)
class Job:
    id: str
    """A UUID: clients require it."""
    status: JobStatus
    model: str
    """The base as it was asked for, alias kept."""
    base: str
    """The installed base that the alias stands for."""
    training_files: tuple[TrainingFile, ...]
    validation_files: tuple[str, ...]
    hyperparameters: Hyperparameters
    auto_start: bool
    created_at: datetime
    modified_at: datetime
    created_by: str
    org: str
    suffix: str | None = None
    job_type: JobType = JobType.COMPLETION
    classifier_targets: tuple[ClassifierTarget, ...] = ()
    """As asked for; once the files were read, as they are trained."""
    dataset: str | None = None
    """`name@version`, where the files were named by it."""
    integrations: tuple[Mapping[str, Any], ...] = ()
    """As asked for, secrets removed."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    invalid_sample_skip_fraction: float = 0.0
    estimate: JobEstimate = JobEstimate()
    fine_tuned_model: str | None = None
    trained_tokens: int | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    paused: bool = False
    error: JobError | None = None
    report_sha256: str | None = None
    """The blobs that say what validation found in the files, and which tokens are trained."""
    preview_sha256: str | None = None
    progress: Progress | None = None
    events: tuple[JobEvent, ...] = ()
    """Oldest first. Filled when one job is retrieved, empty in lists."""
    checkpoints: tuple[Checkpoint, ...] = ()
    """Newest first. Filled when one job is retrieved, empty in lists."""


class NoticeChannel(StrEnum):
    EMAIL = "email"
    WEBHOOK = "webhook"


class NoticeStatus(StrEnum):
    WAITING = "waiting"
    """To be sent, now or again."""
    SENT = "sent"
    FAILED = "failed"
    """Given up after the last attempt."""


@dataclass(frozen=True)
class Notice:
    """What one receiver is told of the end of one job."""

    id: str
    """The same in every attempt, so that receivers know a second one."""
    job_id: str
    channel: NoticeChannel
    target: str
    """The address of mail; empty for the webhook."""
    status: NoticeStatus
    attempts: int
    created_at: datetime
    due_at: datetime | None = None
    """Of the next attempt; None where there is none to come."""
    ended_at: datetime | None = None
    error: str | None = None
    """What the last attempt failed by."""


class ModelKind(StrEnum):
    BASE = "base"
    FINE_TUNED = "fine-tuned"
    HOSTED = "hosted"
    """Behind somebody else's endpoint: only its name and address are here."""


class UpstreamKind(StrEnum):
    """What a server that answers for a model speaks."""

    OPENAI = "openai"
    MISTRAL = "mistral"
    VLLM = "vllm"


@dataclass(frozen=True)
class Upstream:
    """The server that answers for a model in place of the built-in engine."""

    kind: UpstreamKind
    url: str
    """Such as `https://api.openai.com/v1`; of vLLM without a path."""
    model: str | None = None
    """The name it has there; None where that is asked of the server (vLLM)."""
    key_env: str | None = None
    """Environment variable of the server that holds the key."""
    sealed_key: str | None = None
    """Or the key itself, readable only with a key outside the database."""
    daily_tokens: int | None = None
    """Tokens a day (UTC), prompts and answers; None is without limit."""
    daily_cost_micro: int | None = None
    price_in_micro: int | None = None
    """Of a million prompt tokens, in micro-units of the server's currency."""
    price_out_micro: int | None = None
    """Of a million tokens of answers."""


@dataclass(frozen=True)
class Alias:
    """A name that clients ask for, and the model that answers to it until it is switched."""

    name: str
    model: str | None
    """None: removed."""
    set_at: datetime
    set_by: str
    """Id of the key."""


class PromotionKind(StrEnum):
    PROMOTED = "promoted"
    """The gate was passed."""
    OVERRIDDEN = "overridden"
    """It was not, or not asked, and somebody gave a reason."""
    REFUSED = "refused"
    """It was not: nothing was switched."""
    ROLLED_BACK = "rolled_back"


@dataclass(frozen=True)
class Promotion:
    """One decision about which model answers to a name."""

    name: str
    kind: PromotionKind
    model: str
    """Id of the model that answers from then on, or would have."""
    previous: str | None
    """Id of the one that answered until then; None: the name was new."""
    decided_at: datetime
    decided_by: str
    """Id of the key."""
    approved_by: tuple[str, ...]
    reason: str | None
    gate: Mapping[str, Any] | None
    """What the gate found, with every number; None where none was asked."""


@dataclass(frozen=True)
class PolicyVersion:
    """What a policy of this name said from some moment on."""

    name: str
    version: int
    policy: Mapping[str, Any] | None
    """As in its file; None: the name was taken away."""
    created_at: datetime
    created_by: str
    """Id of the key."""
    comment: str | None = None


class Guarded(StrEnum):
    """What a policy is attached to."""

    MODEL = "model"
    KEY = "key"
    EVERYTHING = "everything"
    """Every request that no other policy is for."""


@dataclass(frozen=True)
class Attachment:
    """A policy holds for what a model answers, or for what a key asks."""

    guarded: Guarded
    target: str
    """Id of the model or the key; empty for everything."""
    policy: str
    set_at: datetime
    set_by: str
    """Id of the key."""


@dataclass(frozen=True)
class Spent:
    """What a model behind another server took on one day (UTC)."""

    n_requests: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_micro: int = 0
    n_estimated: int = 0
    """Requests whose usage was never told (client gone, stream broken) and is a guess."""


@dataclass(frozen=True)
class Adapter:
    """What a job made, kept as one blob per file: a LoRA adapter in PEFT layout or, where all
    weights were trained, a whole model in Hugging Face layout."""

    files: Mapping[str, str]
    """File name to sha256 of its content."""
    version: str
    """Changes when any byte changes; keys caches."""

    @property
    def is_whole(self) -> bool:
        return "config.json" in self.files


class FormStatus(StrEnum):
    PASSED = "passed"
    APART = "apart"
    """It was compared, and does not compute what training computed within its tolerance."""
    NOT_CHECKED = "not_checked"


@dataclass(frozen=True)
class Parting:
    """The first token in which two greedy answers to one prompt differ."""

    row: int
    """Of the rows that were compared, from 1."""
    token: int
    """Of the answer, from 1."""
    trained_id: int
    found_id: int | None
    """None: the other answer ended before it."""
    margin: float
    """How much likelier training's token was there than its second best, in nats."""
    by_rounding: bool
    """Whether a margin so small may be turned by the order of sums alone."""


@dataclass(frozen=True)
class Greedy:
    """Most likely tokens behind the same prompts, training's beside another computation's."""

    n_prompts: int
    n_tokens: int
    partings: tuple[Parting, ...] = ()


@dataclass(frozen=True)
class LossPair:
    """Mean negative log-likelihood of the trained tokens of the rows that were compared, nats."""

    trained: float
    found: float
    n_tokens: int
    tolerance: float


@dataclass(frozen=True)
class CheckedForm:
    """One form of a model beside what training computed: a precision of serving, the adapter merged
    into the base, an export."""

    name: str
    """`fp32`, `bf16`, `int8`, `vllm`, `transformers`, `merged`, `export: gguf f16`, …"""
    status: FormStatus
    message: str
    live: bool = False
    """It is the one that was asked as clients ask it."""
    mean_abs_logprob_diff: float | None = None
    max_abs_logprob_diff: float | None = None
    mean_tolerance: float | None = None
    tolerance: float | None = None
    greedy: Greedy | None = None
    loss: LossPair | None = None
    at: datetime | None = None
    """Exports: when it was reported."""


@dataclass(frozen=True)
class Parity:
    """Training forward against live endpoint on the same rows."""

    passed: bool
    n_rows: int
    n_tokens: int
    max_abs_logprob_diff: float
    mean_abs_logprob_diff: float
    tolerance: float
    base_gap: float
    """Mean |logprob difference| between adapter and bare base: what a lost adapter would show."""
    message: str
    served: bool = True
    """False where the built-in engine cannot compute the model: its files were read afresh."""
    forms: tuple[CheckedForm, ...] = ()
    """First the one that decided, then the others. Empty in certificates of older versions."""


@dataclass(frozen=True)
class Stale:
    """The model learned from rows that were forgotten since: it should be made anew."""

    at: datetime
    reason: str
    n_rows: int


@dataclass(frozen=True)
class Abilities:
    """What a base's prompt format has words for."""

    chats: bool = True
    """It has a chat format; without one it continues texts."""
    fim: bool = False
    """It can be asked for the text between two others."""
    tools: bool = False
    """It writes calls of tools in a way that is read here."""
    thoughts: bool = False
    """It tells thoughts from answers."""


@dataclass(frozen=True)
class Model:
    id: str
    kind: ModelKind
    created_at: datetime
    max_context_length: int
    path: str
    """Folder of the base weights (of the root base, for a fine-tuned model)."""
    owned_by: str
    name: str | None = None
    description: str | None = None
    aliases: tuple[str, ...] = ()
    root: str | None = None
    """Fine-tuned: the base as requested at job creation."""
    base: str | None = None
    """Fine-tuned: id of the installed base."""
    job_id: str | None = None
    archived: bool = False
    adapter: Adapter | None = None
    parity: Parity | None = None
    stale: Stale | None = None
    upstream: Upstream | None = None
    """Where it is answered, if not by the built-in engine."""
    abilities: Abilities | None = None
    """Those of its base. None: hosted, or not told yet (`models.tell_abilities`)."""
    makes_embeddings: bool = False
    """It was made for nothing else."""
    classifier_targets: tuple[ClassifierTarget, ...] = ()
    """What it tells of a text. Empty where it writes text."""

    @property
    def classifies(self) -> bool:
        return bool(self.classifier_targets)


class DatasetFile(NamedTuple):
    """One file of a dataset version; the part says what it is for: `train`, `validation`, …"""

    part: str
    file_id: str
    filename: str
    sha256: str
    n_rows: int | None = None


class VersionStatus(StrEnum):
    QUEUED = "QUEUED"
    BUILDING = "BUILDING"
    READY = "READY"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


@dataclass(frozen=True)
class DatasetVersion:
    """What a dataset was made from, how, and what came of it. Once READY it never changes."""

    id: str
    dataset: str
    version: int
    status: VersionStatus
    inputs: tuple[DatasetFile, ...]
    stages: tuple[Mapping[str, Any], ...]
    """As asked for: `{"dedup": {…}}`. Without stages the inputs are the dataset."""
    files: tuple[DatasetFile, ...]
    code_version: str
    created_at: datetime
    created_by: str
    finished_at: datetime | None = None
    manifest_sha256: str | None = None
    """The blob that tells where every row came from."""
    report_sha256: str | None = None
    error: JobError | None = None

    @property
    def label(self) -> str:
        return f"{self.dataset}@{self.version}"


@dataclass(frozen=True)
class Dataset:
    id: str
    name: str
    created_at: datetime
    created_by: str
    description: str | None = None
    versions: tuple[DatasetVersion, ...] = ()
    """Newest first."""


@dataclass(frozen=True)
class Forgotten:
    """A row that no model may learn from any more."""

    row_id: str
    reason: str
    created_at: datetime
    created_by: str


class BatchStatus(StrEnum):
    QUEUED = "QUEUED"
    VALIDATING = "VALIDATING"
    RUNNING = "RUNNING"
    FINALIZING = "FINALIZING"
    """Every request was answered; the files are being made."""
    SUCCESS = "SUCCESS"
    """Whatever its requests came to."""
    FAILED = "FAILED"
    EXPIRED = "EXPIRED"
    CANCELLATION_REQUESTED = "CANCELLATION_REQUESTED"
    CANCELLED = "CANCELLED"

    @property
    def final(self) -> bool:
        return self in FINAL_BATCH_STATUSES


FINAL_BATCH_STATUSES = frozenset(
    {BatchStatus.SUCCESS, BatchStatus.FAILED, BatchStatus.EXPIRED, BatchStatus.CANCELLED}
)


@dataclass(frozen=True)
class BatchCounts:
    """How far a batch is. What was not run (cancelled, expired) is in `total` alone."""

    total: int = 0
    succeeded: int = 0
    failed: int = 0
    """Requests that were answered with anything but 200."""
    input_tokens: int = 0
    output_tokens: int = 0
    """As the answers say they used."""

    @property
    def completed(self) -> int:
        return self.succeeded + self.failed


@dataclass(frozen=True)
class Batch:
    """Many requests to one endpoint: a file in, a file of results out."""

    id: str
    """A UUID: clients require it."""
    status: BatchStatus
    endpoint: str
    """Such as `/v1/chat/completions`."""
    dialect: str
    """Whose words its results are in: `mistral` or `openai`."""
    input_files: tuple[str, ...]
    """Empty where the requests came inline."""
    model: str | None
    """For every request that names none."""
    created_at: datetime
    created_by: str
    expires_at: datetime
    counts: BatchCounts = BatchCounts()
    metadata: Mapping[str, str] = field(default_factory=dict)
    output_file: str | None = None
    error_file: str | None = None
    error: JobError | None = None
    """Why it failed; its `problems` are those of its lines."""
    started_at: datetime | None = None
    finalizing_at: datetime | None = None
    cancel_requested_at: datetime | None = None
    finished_at: datetime | None = None


class EvalStatus(StrEnum):
    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    SUCCESS = "SUCCESS"
    """Every item was asked, whatever came of it."""
    FAILED = "FAILED"
    CANCELLATION_REQUESTED = "CANCELLATION_REQUESTED"
    CANCELLED = "CANCELLED"

    @property
    def final(self) -> bool:
        return self in FINAL_EVAL_STATUSES


FINAL_EVAL_STATUSES = frozenset({EvalStatus.SUCCESS, EvalStatus.FAILED, EvalStatus.CANCELLED})


@dataclass(frozen=True)
class EvalCounts:
    """How far a run is."""

    total: int = 0
    """Items times attempts; 0 while that is not known yet."""
    done: int = 0
    failed: int = 0
    """Of those done: the model gave no answer."""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_micro: int = 0


@dataclass(frozen=True)
class EvalRun:
    """One model answers one suite."""

    id: str
    """A UUID."""
    status: EvalStatus
    suite: str
    """Its name; the suite itself is in `spec`."""
    subject: str
    """The model's name in the suite."""
    model: str
    """As it was asked for."""
    model_id: str
    """What answered to that name then: an alias that is switched does not change a run."""
    spec: Mapping[str, Any]
    created_at: datetime
    created_by: str
    counts: EvalCounts = EvalCounts()
    group: str | None = None
    """Runs that were asked for together."""
    source: str | None = None
    """The run whose answers were graded anew for this one."""
    record: Mapping[str, Any] | None = None
    """What it rests on (`evaluate.record.Record`); filled when it ends."""
    metrics: tuple[Mapping[str, Any], ...] = ()
    """`evaluate.metric.Metric`, the suite's order."""
    samples_sha256: str | None = None
    """The blob of all samples, JSON lines."""
    error: JobError | None = None
    started_at: datetime | None = None
    cancel_requested_at: datetime | None = None
    finished_at: datetime | None = None


class Page(NamedTuple):
    """One page of a list, and how many there are in all."""

    items: tuple[Any, ...]
    total: int
    has_more: bool = False


@dataclass(frozen=True)
class DataSource:
    """A database or file that SQL reads; its secrets are kept sealed and are not in here."""

    name: str
    engine: str
    parameters: Mapping[str, Any]
    """As they may be shown."""
    created_at: datetime


@dataclass(frozen=True)
class SqlEngine:
    """What SQL calls an engine: a name for where models are answered."""

    name: str
    handler: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True)
class SqlView:
    project: str
    name: str
    query: str
    source: str | None


class SqlUnit(StrEnum):
    """What the time between two runs of a job is counted in."""

    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"


@dataclass(frozen=True)
class SqlJob:
    """Statements that run at their times. Texts are shown without secrets."""

    project: str
    name: str
    query: str
    if_query: str | None
    start_at: datetime
    end_at: datetime | None = None
    every: tuple[int, SqlUnit] | None = None
    next_run_at: datetime | None = None


@dataclass(frozen=True)
class SqlJobRun:
    """One run of a job; without an end it is under way."""

    project: str
    name: str
    query: str
    run_start: datetime
    run_end: datetime | None
    error: str | None


class PredictorStatus(StrEnum):
    GENERATING = "generating"
    COMPLETE = "complete"
    ERROR = "error"


@dataclass(frozen=True)
class PredictorVersion:
    """One version of a model as SQL knows it: a model of ours, and how it is asked."""

    project: str
    name: str
    version: int
    active: bool
    engine: str
    status: PredictorStatus
    predict: str
    """The column its answers stand in."""
    options: Mapping[str, Any]
    """What USING said, without secrets."""
    created_at: datetime
    finished_at: datetime | None = None
    error: str | None = None
    query: str | None = None
    """Of the rows it was tuned on."""
    source: str | None = None
    """The database that `query` is for; None is a query of ours."""
    base_version: int | None = None
    model: str | None = None
    """The model that answers, or is tuned."""
    job_id: str | None = None
    tag: str | None = None
    activate: bool = True
    training: Mapping[str, Any] = field(default_factory=dict)
    """What became of the rows: how many, chats, dropped, trained on, held out."""

    @property
    def label(self) -> str:
        return f"{self.project}.{self.name}.{self.version}"
