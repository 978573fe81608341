"""What one tuning run is asked for: one schema behind YAML, flags, the API and job.json.

Canonical names are the fields below; names of other tools are read too (aliases.py), and each
translation is reported in `Parsed.notes`. Unknown names and wrong values are refused, all problems
in one answer. `config` reads files and flags, and knows where each value is from. Imports neither
torch nor transformers.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails

from modiste.errors import InvalidInput
from modiste.prepare import targets
from modiste.tune.aliases import translate
from modiste.types import ClassifierTarget, OverLength


class DataFile(BaseModel):
    """One training or validation file: a local path, or the id of an uploaded file."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    path: str | None = None
    file_id: str | None = None
    weight: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    """Share of the training tokens drawn from this file, relative to the other files' weights."""

    @model_validator(mode="after")
    def _one_place(self) -> DataFile:
        if (self.path is None) == (self.file_id is None):
            raise ValueError("give exactly one of path and file_id")
        return self


def _as_file_list(value: Any) -> Any:
    """`a.jsonl`, `[a.jsonl]` and `a.jsonl:5,b.jsonl:1` (mistral-finetune) mean lists of files."""
    if isinstance(value, str):
        value = [_split_weight(part) for part in value.split(",") if part.strip()]
    if isinstance(value, (list, tuple)):
        return tuple({"path": v} if isinstance(v, str) else v for v in value)
    return value


def _split_weight(text: str) -> dict[str, Any]:
    path, colon, weight = text.strip().rpartition(":")
    try:  # `C:\data.jsonl` has a colon and no weight
        return {"path": path, "weight": float(weight)} if colon else {"path": text.strip()}
    except ValueError:
        return {"path": text.strip()}


Files = Annotated[
    tuple[DataFile, ...],
    BeforeValidator(_as_file_list, json_schema_input_type=str | list[str | DataFile]),
]


class Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    train: Files = Field(min_length=1)
    validation: Files = ()
    holdout: float = Field(default=0.0, ge=0, lt=1)
    """Share of the training rows that `modiste tune` sets aside for evaluation, whole prompts at a
    time, where no validation files are given."""


class Method(StrEnum):
    """What learns."""

    LORA = "lora"
    QLORA = "qlora"
    """LoRA over a base held in 4 bits (NF4)."""
    FULL = "full"
    """All weights: for small models."""


class Objective(StrEnum):
    SFT = "sft"
    """The next token, on what is trained: chats and plain text."""
    DPO = "dpo"
    """The chosen answer over the rejected one."""
    CLASSIFY = "classify"
    """The labels of a text or chat; of classifier jobs."""


class Lora(BaseModel):
    """Low-rank adapters: y = Wx + alpha / rank * B(Ax)."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    rank: int = Field(default=16, ge=1, le=1024)
    alpha: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """None means twice the rank, the scaling of 2 that mistral-finetune uses."""
    targets: Literal["all-linear"] | tuple[str, ...] = "all-linear"
    """Names of linear layers (`q_proj`, ...), or every linear layer except the head."""

    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of the adapters' inputs set to zero in training."""
    rslora: bool = False
    """Scale by alpha / sqrt(rank), so that high ranks keep learning (arXiv:2312.03732)."""
    dora: bool = False
    """Learn the length of each weight row apart from its direction (arXiv:2402.09353)."""

    @property
    def scaling(self) -> float:
        alpha = 2.0 * self.rank if self.alpha is None else self.alpha
        return alpha / (math.sqrt(self.rank) if self.rslora else self.rank)


class Dpo(BaseModel):
    """Direct preference optimisation (arXiv:2305.18290)."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    beta: float = Field(default=0.1, gt=0, allow_inf_nan=False)
    """How dear it is to move away from the reference."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=0.5)
    """Probability that a pair is the wrong way round."""
    sft_weight: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    """Of the next-token loss on the chosen answer, added to keep it probable."""


class Classifier(BaseModel):
    """Heads on the base's last states, for rows with labels."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    pooling: Literal["mean", "last"] = "mean"
    """The mean of all tokens' states, or the state of the last token."""
    balance: Literal["none", "sqrt", "full"] = "sqrt"
    """How much more rare labels count in the loss: not at all, by the square root of how much rarer
    they are, or fully. Published probabilities are set back to how often labels occur."""
    phrases: bool = True
    """Whether tokens and pairs of neighbours are read too, by a linear layer of their own; the
    validation rows say how much it counts."""


class Tracker(BaseModel):
    """Where else a run is shown. Keys are never part of a spec: they come from the environment or
    the server's store of secrets."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    type: Literal["wandb", "mlflow", "tensorboard"]
    project: str | None = None
    """W&B's project, MLflow's experiment."""
    run_name: str | None = None
    url: str | None = None
    """W&B's own server, MLflow's tracking URI."""
    offline: bool = False
    """W&B only: write to the run's folder, `wandb sync` later."""

    @field_validator("url")
    @classmethod
    def _no_password(cls, url: str | None) -> str | None:
        if url is not None and carries_password(url):
            raise ValueError(
                "holds a name or a password; keys come from the environment (WANDB_API_KEY, "
                "MLFLOW_TRACKING_TOKEN, MLFLOW_TRACKING_URI), or with a job's integration"
            )
        return url


def carries_password(url: str) -> bool:
    return "@" in url.partition("//")[2].partition("/")[0]


class TuneSpec(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    model: str = Field(min_length=1)
    data: Data
    method: Method = Method.LORA
    objective: Objective | None = None
    """None: what the rows are for. Pairs of answers mean dpo, everything else sft; labels are for
    classifier jobs."""
    effort: Literal["quick", "balanced", "thorough"] | None = None
    """A preset for what is left open: epochs, rank, learning rate, early stopping."""
    lora: Lora = Lora()
    dpo: Dpo = Dpo()
    classifier: Classifier = Classifier()
    classifier_targets: tuple[ClassifierTarget, ...] = ()
    """What a classifier tells, and its labels; left out, what the rows have."""
    continue_from: str | None = None
    """An adapter to go on from: a folder in PEFT layout, or a fine-tuned model of the server."""
    fim_ratio: float = Field(default=0.0, ge=0, le=1)
    """Share of plain-text documents turned into fill-in-the-middle, for bases that know it."""
    max_steps: int | None = Field(default=None, ge=1)
    epochs: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Training tokens over data tokens; `max_steps` wins where both are given."""
    batch_size: int | None = Field(default=None, ge=1)
    """Packed sequences per step; None lets the plan choose."""
    max_length: int | None = Field(default=None, ge=16)
    """Tokens per packed sequence, and the longest sample allowed; None lets the plan choose."""
    over_length: OverLength = OverLength.REFUSE
    """Longer conversations make the job fail, or are cut between turns (`split`)."""
    learning_rate: float = Field(default=1e-4, gt=0, le=1)
    weight_decay: float = Field(default=0.1, ge=0, le=1)
    lr_schedule: Literal["cosine", "linear", "constant"] = "cosine"
    """After the warm-up; cosine and linear end just above zero."""
    warmup_ratio: float = Field(default=0.05, ge=0, le=1)
    max_grad_norm: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    seed: int = Field(default=0, ge=0, lt=2**63)
    checkpoint_steps: int | None = Field(default=None, ge=1)
    """Steps between checkpoints; None means a tenth of all steps, at least ten apart."""
    eval_steps: int | None = Field(default=None, ge=1)
    """Steps between evaluations; None evaluates at every checkpoint."""
    keep: Literal["last", "best"] = "last"
    """Which weights the model gets: of the last step, or of the best evaluation."""
    early_stopping_patience: int | None = Field(default=None, ge=1)
    """Evaluations without a better one before the run ends; the best weights are kept."""
    early_stopping_min_delta: float = Field(default=0.0, ge=0, allow_inf_nan=False)
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of the base's weights; what is learned is always fp32."""
    gradient_checkpointing: bool | Literal["auto"] = "auto"
    """Compute activations twice to keep fewer; auto where they would not fit."""
    microbatch_tokens: int | None = Field(default=None, ge=16)
    """Samples are computed together up to this many tokens: less takes less memory and changes no
    loss. None lets the plan choose."""
    force: bool = False
    """Train although the plan says that memory or disk will not do."""
    trackers: tuple[Tracker, ...] = ()
    output_dir: str | None = None
    """Where `modiste tune` leaves metrics and the model's files beside the server's copy."""
    export: tuple[Literal["peft", "mistral", "merged", "merged-mistral", "gguf"], ...] = ("peft",)
    """Forms written to output_dir."""
    suffix: str | None = None
    invalid_sample_skip_fraction: float = Field(default=0.0, ge=0, le=0.5)
    auto_start: bool = True

    @model_validator(mode="after")
    def _what_the_method_can_do(self) -> TuneSpec:
        if self.method is Method.FULL and self.continue_from is not None:
            raise ValueError(
                f"continue_from: {self.continue_from} is an adapter and method full has none; set "
                "model to the model to go on from, or method to lora"
            )
        if self.method is Method.FULL and self.dtype == "bfloat16":
            raise ValueError(
                "dtype: method full learns the weights themselves, which takes float32; leave "
                "dtype out, or set method to lora"
            )
        return self

    @model_validator(mode="after")
    def _what_a_classifier_can_do(self) -> TuneSpec:
        if self.classifier_targets and self.objective not in (None, Objective.CLASSIFY):
            raise ValueError(
                f"classifier_targets: objective {self.objective} trains no classifier; leave one "
                "of them out"
            )
        if wrong := targets.wrong(self.classifier_targets):
            raise ValueError(f"classifier_targets: {'; '.join(wrong)}")
        classifies = self.objective is Objective.CLASSIFY or self.classifier_targets
        if classifies and self.method is Method.FULL:
            raise ValueError("method: a classifier is trained with lora or qlora, full changes all")
        if classifies and self.continue_from is not None:
            raise ValueError(
                f"continue_from: a classifier begins at a base; {self.continue_from} is an adapter"
            )
        return self


SECTIONS: Mapping[str, type[BaseModel]] = {
    "data": Data,
    "lora": Lora,
    "dpo": Dpo,
    "classifier": Classifier,
}
CANONICAL = tuple(
    [f"{name}.{field}" for name, section in SECTIONS.items() for field in section.model_fields]
    + [field for field in TuneSpec.model_fields if field not in SECTIONS]
)
"""Every name of ours, dotted: `data.train`, `lora.rank`, `max_steps`, ..."""


class Validated(NamedTuple):
    """One of the two is empty."""

    spec: TuneSpec | None
    problems: tuple[Wrong, ...]


class Wrong(NamedTuple):
    field: str
    """Canonical name, as far as it goes: `data.train`, `lora.rank`."""
    message: str


class Parsed(NamedTuple):
    spec: TuneSpec
    notes: tuple[str, ...]
    """What was read under another name, or left aside because the server decides it."""


def parse(values: Mapping[str, Any], *, where: str = "spec") -> Parsed:
    """Translate the names of other tools, then validate.

    Raises:
        InvalidInput: with every wrong name and value in one message.
    """
    read = translate(values, known=CANONICAL)
    validated = validate(read.values)
    problems = [*read.problems, *(f"{w.field}: {w.message}" for w in validated.problems)]
    if validated.spec is None or problems:
        raise InvalidInput("; ".join(f"{where}: {problem}" for problem in problems))
    return Parsed(validated.spec, read.notes)


def validate(canonical: Mapping[str, Any]) -> Validated:
    """A spec of values by canonical name, or everything that is wrong with them."""
    nested: dict[str, Any] = {"data": {}}
    for name, value in canonical.items():
        section, dot, field = name.partition(".")
        if dot:
            nested.setdefault(section, {})[field] = value
        else:
            nested[name] = value
    try:
        return Validated(TuneSpec.model_validate(nested), ())
    except ValidationError as error:
        return Validated(None, tuple(map(_wrong, error.errors())))


def value_of(spec: TuneSpec, name: str) -> Any:
    """By canonical name."""
    section, dot, field = name.partition(".")
    return getattr(getattr(spec, section), field) if dot else getattr(spec, section)


def _wrong(error: ErrorDetails) -> Wrong:
    said = error["msg"].removeprefix("Value error, ")
    if not error["loc"]:  # fields that contradict each other: the words begin with one of them
        field, _, message = said.partition(": ")
        return Wrong(field, message)
    # What stands in a field that is not there may be a key.
    told = error["type"] not in ("missing", "extra_forbidden") and error["loc"][-1] != "url"
    got = f", got {error['input']!r}" if told else ""
    return Wrong(".".join(str(part) for part in error["loc"]), f"{said}{got}")
