"""What one tuning run is asked for: one schema behind YAML, flags, the API and job.json.

Canonical names are the fields below. The names of mistral-finetune, Axolotl, LLaMA-Factory and TRL
are accepted where they mean the same, and every translation is reported in `Parsed.notes`; a name
that means something we cannot do is refused, an unknown one is refused with the nearest known
name. All problems of a file are said in one answer. Imports neither torch nor transformers.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from modiste.errors import InvalidInput
from modiste.types import Hyperparameters, TrainingFile


class DataFile(BaseModel):
    """One training or validation file: a local path, or the id of an uploaded file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

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


Files = Annotated[tuple[DataFile, ...], BeforeValidator(_as_file_list)]


class Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    train: Files = Field(min_length=1)
    validation: Files = ()


class Lora(BaseModel):
    """Low-rank adapters: y = Wx + alpha / rank * B(Ax)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rank: int = Field(default=16, ge=1, le=1024)
    alpha: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """None means twice the rank, the scaling of 2 that mistral-finetune uses."""
    targets: Literal["all-linear"] | tuple[str, ...] = "all-linear"
    """Names of linear layers (`q_proj`, ...), or every linear layer except the head."""

    @property
    def scaling(self) -> float:
        return (2.0 * self.rank if self.alpha is None else self.alpha) / self.rank


class TuneSpec(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = Field(min_length=1)
    data: Data
    lora: Lora = Lora()
    max_steps: int | None = Field(default=None, ge=1)
    epochs: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    """Training tokens over data tokens; `max_steps` wins where both are given."""
    batch_size: int | None = Field(default=None, ge=1)
    """Packed sequences per step; None lets the plan choose."""
    max_length: int | None = Field(default=None, ge=16)
    """Tokens per packed sequence, and the longest sample allowed; None lets the plan choose."""
    learning_rate: float = Field(default=1e-4, gt=0, le=1)
    weight_decay: float = Field(default=0.1, ge=0, le=1)
    warmup_ratio: float = Field(default=0.05, ge=0, le=1)
    max_grad_norm: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    seed: int = Field(default=0, ge=0, lt=2**63)
    checkpoint_steps: int | None = Field(default=None, ge=1)
    """Steps between checkpoints; None means a tenth of all steps, at least ten apart."""
    eval_steps: int | None = Field(default=None, ge=1)
    """Steps between evaluations; None evaluates at every checkpoint."""
    suffix: str | None = None
    invalid_sample_skip_fraction: float = Field(default=0.0, ge=0, le=0.5)
    auto_start: bool = True


class Parsed(NamedTuple):
    spec: TuneSpec
    notes: tuple[str, ...]
    """What was read under another name, or left aside because the server decides it."""


ALIASES: Mapping[str, str] = {
    **dict.fromkeys(("model_id_or_path", "base_model", "model_name_or_path"), "model"),
    **dict.fromkeys(
        ("training_files", "training_file", "dataset", "datasets", "data.instruct_data"),
        "data.train",
    ),
    **dict.fromkeys(
        ("validation_files", "validation_file", "eval_dataset", "test_datasets",
         "data.eval_instruct_data"),
        "data.validation",
    ),
    **dict.fromkeys(("lora_rank", "lora_r", "lora.r"), "lora.rank"),
    **dict.fromkeys(("lora_alpha", "lora.lora_alpha"), "lora.alpha"),
    **dict.fromkeys(("lora_target", "lora_target_modules", "target_modules"), "lora.targets"),
    **dict.fromkeys(
        ("seq_len", "max_seq_length", "sequence_len", "cutoff_len"), "max_length"
    ),
    **dict.fromkeys(("training_steps",), "max_steps"),
    **dict.fromkeys(("n_epochs", "num_epochs", "num_train_epochs"), "epochs"),
    **dict.fromkeys(("per_device_train_batch_size", "micro_batch_size"), "batch_size"),
    **dict.fromkeys(("lr", "optim.lr"), "learning_rate"),
    **dict.fromkeys(("optim.weight_decay",), "weight_decay"),
    **dict.fromkeys(("warmup_fraction", "optim.pct_start"), "warmup_ratio"),
    **dict.fromkeys(("max_norm",), "max_grad_norm"),
    **dict.fromkeys(("random_seed",), "seed"),
    **dict.fromkeys(("ckpt_freq", "save_steps"), "checkpoint_steps"),
    **dict.fromkeys(("eval_freq",), "eval_steps"),
}  # fmt: skip

ACCUMULATION = ("num_microbatches", "gradient_accumulation_steps")

DECIDED_HERE: Mapping[str, str] = {
    "run_dir": "the server keeps one folder per job",
    "output_dir": "the server keeps one folder per job",
    "log_freq": "every step is recorded",
    "logging_steps": "every step is recorded",
    "num_ckpt_keep": "the last two checkpoints are kept",
    "checkpoint": "the plan decides about gradient checkpointing",
    "gradient_checkpointing": "the plan decides about gradient checkpointing",
    "no_eval": "evaluation runs when there is a validation file",
    "world_size": "the server knows its machines",
    "data.shuffle": "training data is always shuffled from the seed",
    "data.instruct": "training data is always shuffled from the seed",
}

ONLY_VALUE: Mapping[str, tuple[Any, str]] = {
    "save_adapters": (True, "adapters are saved, never merged weights"),
    "no_ckpt": (False, "checkpoints are what makes a run survive a crash"),
    "lora.enable": (True, "only LoRA tuning is there, not full fine-tuning"),
    "lora.dropout": (0, "adapter dropout is not there"),
    "lora_dropout": (0, "adapter dropout is not there"),
    "adapter": ("lora", "only LoRA tuning is there"),
    "data.data": ("", "text files are listed with the others in data.train"),
    "packing": (True, "samples are always packed, and never split"),
    "sample_packing": (True, "samples are always packed, and never split"),
}
"""Foreign names that are accepted with the one value that describes what happens anyway."""


def read_yaml(path: Path) -> Parsed:
    """Read a tuning file; relative data paths are resolved against the file's folder.

    Raises:
        InvalidInput: unreadable, not a mapping, or any field wrong (all of them are named).
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidInput(f"{path}: cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path}: not readable as YAML: {error}") from None
    if not isinstance(content, dict):
        raise InvalidInput(
            f"{path}: expected `name: value` lines, got {type(content).__name__}; "
            "a file needs at least model and data.train"
        )
    parsed = parse(content, where=str(path))
    return parsed._replace(spec=_with_paths_from(parsed.spec, path.resolve().parent))


def parse(values: Mapping[str, Any], *, where: str = "spec") -> Parsed:
    """Translate aliases, then validate.

    Raises:
        InvalidInput: with every wrong name and value in one message.
    """
    problems: list[str] = []
    notes: list[str] = []
    canonical: dict[str, Any] = {}
    flat = _flatten(values)
    accumulation = [flat.pop(name) for name in ACCUMULATION if name in flat]
    scaling = flat.pop("lora.scaling", None)
    for name, value in flat.items():
        target = ALIASES.get(name, name)
        if name in DECIDED_HERE:
            notes.append(f"{name} is not used: {DECIDED_HERE[name]}")
        elif name in ONLY_VALUE:
            allowed, reason = ONLY_VALUE[name]
            if value != allowed:
                problems.append(f"{name}: {value!r} is not possible, {reason}; remove the line")
        elif target in canonical:
            problems.append(f"{name}: {target} is given twice; keep one of the names")
        elif not _known(target):
            problems.append(_unknown(name))
        else:
            canonical[target] = _same_meaning(target, name, value)
            if target != name:
                notes.append(f"{name} read as {target}")
    _translate_products(canonical, accumulation, scaling, notes, problems)
    spec = _validated(canonical, problems)
    if spec is None:
        raise InvalidInput("; ".join(f"{where}: {problem}" for problem in problems))
    return Parsed(spec, tuple(notes))


def from_hyperparameters(
    hyperparameters: Hyperparameters,
    *,
    model: str,
    training_files: Iterable[TrainingFile],
    validation_files: Iterable[str] = (),
    suffix: str | None = None,
    invalid_sample_skip_fraction: float = 0.0,
    auto_start: bool = True,
    checkpoint_steps: int | None = None,
) -> TuneSpec:
    """The spec of a job made through the API. Raises InvalidInput naming every wrong value."""
    wanted = hyperparameters
    lora = {
        "rank": wanted.lora_rank,
        "alpha": wanted.lora_alpha,
        "targets": None if wanted.lora_targets is None else list(wanted.lora_targets),
    }
    values: dict[str, Any] = {
        "model": model,
        "data": {
            "train": [{"file_id": f.file_id, "weight": f.weight} for f in training_files],
            "validation": [{"file_id": file_id} for file_id in validation_files],
        },
        "lora": {name: value for name, value in lora.items() if value is not None},
        "max_steps": wanted.training_steps,
        "epochs": wanted.epochs,
        "batch_size": wanted.batch_size,
        "max_length": wanted.seq_len,
        "learning_rate": wanted.learning_rate,
        "weight_decay": wanted.weight_decay,
        "warmup_ratio": wanted.warmup_fraction,
        "max_grad_norm": wanted.max_grad_norm,
        "seed": wanted.seed,
        "checkpoint_steps": wanted.checkpoint_steps or checkpoint_steps,
        "eval_steps": wanted.eval_steps,
        "suffix": suffix,
        "invalid_sample_skip_fraction": invalid_sample_skip_fraction,
        "auto_start": auto_start,
    }
    return parse({name: value for name, value in values.items() if value is not None}).spec


def _flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested sections and dotted keys both become dotted names; data.instruct stays one name."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and name in ("data", "lora", "optim"):
            flat.update(_flatten(value, f"{name}."))
        else:
            flat[name] = value
    return flat


SECTIONS: Mapping[str, type[BaseModel]] = {"data": Data, "lora": Lora}


def _known(name: str) -> bool:
    section, dot, field = name.partition(".")
    if dot:
        return section in SECTIONS and field in SECTIONS[section].model_fields
    return name in TuneSpec.model_fields and name not in SECTIONS


def _unknown(name: str) -> str:
    canonical = [f"{s}.{f}" for s, model in SECTIONS.items() for f in model.model_fields]
    canonical += [f for f in TuneSpec.model_fields if f not in SECTIONS]
    every = [*canonical, *ALIASES, *DECIDED_HERE, *ONLY_VALUE]
    near = difflib.get_close_matches(name, every, n=1, cutoff=0.6)
    if not near and "." in name:
        near = difflib.get_close_matches(name.rpartition(".")[2], every, n=1, cutoff=0.6)
    hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(sorted(canonical))}"
    return f"{name}: unknown; {hint}"


def _same_meaning(target: str, name: str, value: Any) -> Any:
    """Values that other tools write differently for the same thing."""
    if target == "lora.targets" and value in ("all", "all-linear", ["all-linear"]):
        return "all-linear"
    if target == "lora.targets" and isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    if name == "ckpt_freq" and isinstance(value, int) and value < 1:
        return None  # mistral-finetune: only the last checkpoint; ours are also for crashes
    if name == "eval_freq" and value == 0:
        return None
    return value


def _translate_products(
    canonical: dict[str, Any],
    accumulation: list[Any],
    scaling: Any,
    notes: list[str],
    problems: list[str],
) -> None:
    """Foreign fields that become ours only by multiplying: accumulation and LoRA scaling."""

    def number(value: Any, kind: type[int] | type[float]) -> bool:
        allowed = kind if kind is int else (int, float)
        return isinstance(value, allowed) and not isinstance(value, bool) and bool(value > 0)

    for value in accumulation:
        batch = canonical.get("batch_size", 1)
        if not number(value, int) or not number(batch, int):
            problems.append(f"{' or '.join(ACCUMULATION)}: expected a whole number, got {value!r}")
            continue
        canonical["batch_size"] = batch * value
        notes.append(f"batch_size is {batch * value}: {batch} times {value} accumulated")
    if scaling is not None:
        rank = canonical.get("lora.rank", 16)
        if "lora.alpha" in canonical:
            problems.append("lora.scaling: lora.alpha is given too; keep one of them")
        elif not number(scaling, float) or not number(rank, int):
            problems.append(f"lora.scaling: expected a number above 0, got {scaling!r}")
        else:
            canonical["lora.alpha"] = float(scaling) * rank
            notes.append(f"lora.scaling read as lora.alpha = {float(scaling) * rank:g}")


def _validated(canonical: Mapping[str, Any], problems: list[str]) -> TuneSpec | None:
    """The spec, or None after adding to `problems`; wrong names do not hide wrong values."""
    nested: dict[str, Any] = {"data": {}}
    for name, value in canonical.items():
        section, dot, field = name.partition(".")
        if dot:
            nested.setdefault(section, {})[field] = value
        else:
            nested[name] = value
    try:
        spec = TuneSpec.model_validate(nested)
    except ValidationError as error:
        for e in error.errors():
            place = ".".join(str(part) for part in e["loc"]) or "spec"
            got = "" if e["type"] == "missing" else f", got {e['input']!r}"
            problems.append(f"{place}: {e['msg'].removeprefix('Value error, ')}{got}")
        return None
    return None if problems else spec


def _with_paths_from(spec: TuneSpec, folder: Path) -> TuneSpec:
    def absolute(file: DataFile) -> DataFile:
        if file.path is None:
            return file
        return file.model_copy(update={"path": str(folder / Path(file.path).expanduser())})

    data = Data(
        train=tuple(map(absolute, spec.data.train)),
        validation=tuple(map(absolute, spec.data.validation)),
    )
    return spec.model_copy(update={"data": data})
