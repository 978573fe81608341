"""The field names of other tools, in ours.

mistral-finetune, Axolotl, LLaMA-Factory, TRL and vendors' APIs name the same things differently.
Where a name means the same it is translated and the translation noted; where it names something
that is decided here it is left aside and that is noted; where it asks for something that is not
there it is refused with the reason, and an unknown name with the nearest known one.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

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
    **dict.fromkeys(("lora_dropout", "lora.lora_dropout"), "lora.dropout"),
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
    **dict.fromkeys(("run_dir",), "output_dir"),
    **dict.fromkeys(("checkpoint",), "gradient_checkpointing"),
}  # fmt: skip

ACCUMULATION = ("num_microbatches", "gradient_accumulation_steps")

DECIDED_HERE: Mapping[str, str] = {
    "log_freq": "every step is recorded",
    "logging_steps": "every step is recorded",
    "num_ckpt_keep": "the last two checkpoints are kept",
    "no_eval": "evaluation runs when there is a validation file",
    "world_size": "the server knows its machines",
    "data.shuffle": "training data is always shuffled from the seed",
    "data.instruct": "training data is always shuffled from the seed",
}

ONLY_VALUE: Mapping[str, tuple[Any, str]] = {
    "save_adapters": (True, "adapters are saved, never merged weights"),
    "no_ckpt": (False, "checkpoints are what makes a run survive a crash"),
    "lora.enable": (True, "only LoRA tuning is there, not full fine-tuning"),
    "adapter": ("lora", "only LoRA tuning is there"),
    "data.data": ("", "text files are listed with the others in data.train"),
    "packing": (True, "samples are always packed, and never split"),
    "sample_packing": (True, "samples are always packed, and never split"),
}
"""Foreign names that are accepted with the one value that describes what happens anyway."""


class Translated(NamedTuple):
    values: dict[str, Any]
    """By canonical, dotted name; not validated."""
    notes: tuple[str, ...]
    problems: tuple[str, ...]


def translate(values: Mapping[str, Any], *, known: Collection[str]) -> Translated:
    """Read sections and dotted names alike, and every name as one of `known`."""
    flat = _flatten(values)
    accumulation = [flat.pop(name) for name in ACCUMULATION if name in flat]
    scaling = flat.pop("lora.scaling", None)
    reading = _Reading(known)
    for name, value in flat.items():
        reading.take(name, value)
    for factor in accumulation:
        reading.accumulate(factor)
    if scaling is not None:
        reading.scale(scaling)
    return Translated(reading.values, tuple(reading.notes), tuple(reading.problems))


@dataclass
class _Reading:
    known: Collection[str]
    values: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def take(self, name: str, value: Any) -> None:
        target = ALIASES.get(name, name)
        if name in DECIDED_HERE:
            self.notes.append(f"{name} is not used: {DECIDED_HERE[name]}")
        elif name in ONLY_VALUE:
            allowed, reason = ONLY_VALUE[name]
            if value != allowed:
                refused = f"{name}: {value!r} is not possible, {reason}; remove the line"
                self.problems.append(refused)
        elif target in self.values:
            self.problems.append(f"{name}: {target} is given twice; keep one of the names")
        elif target not in self.known:
            self.problems.append(_unknown(name, self.known))
        else:
            self.values[target] = _same_meaning(target, name, value)
            if target != name:
                self.notes.append(f"{name} read as {target}")

    def accumulate(self, factor: Any) -> None:
        """Sequences per forward times forwards per step are our sequences per step."""
        batch = self.values.get("batch_size", 1)
        if not (_above_zero(factor, int) and _above_zero(batch, int)):
            names = " or ".join(ACCUMULATION)
            self.problems.append(f"{names}: expected a whole number, got {factor!r}")
            return
        self.values["batch_size"] = batch * factor
        self.notes.append(f"batch_size is {batch * factor}: {batch} times {factor} accumulated")

    def scale(self, scaling: Any) -> None:
        """mistral-finetune's plain factor is alpha over rank."""
        rank = self.values.get("lora.rank", 16)
        if "lora.alpha" in self.values:
            self.problems.append("lora.scaling: lora.alpha is given too; keep one of them")
        elif not (_above_zero(scaling, float) and _above_zero(rank, int)):
            self.problems.append(f"lora.scaling: expected a number above 0, got {scaling!r}")
        else:
            self.values["lora.alpha"] = float(scaling) * rank
            self.notes.append(f"lora.scaling read as lora.alpha = {float(scaling) * rank:g}")


def _flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested sections and dotted keys both become dotted names; data.instruct stays one name."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and name in ("data", "lora", "dpo", "optim"):
            flat.update(_flatten(value, f"{name}."))
        else:
            flat[name] = value
    return flat


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


def _unknown(name: str, known: Collection[str]) -> str:
    every = [*known, *ALIASES, *DECIDED_HERE, *ONLY_VALUE]
    near = difflib.get_close_matches(name, every, n=1, cutoff=0.6)
    if not near and "." in name:
        near = difflib.get_close_matches(name.rpartition(".")[2], every, n=1, cutoff=0.6)
    hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(sorted(known))}"
    return f"{name}: unknown; {hint}"


def _above_zero(value: Any, kind: type[int] | type[float]) -> bool:
    allowed = int if kind is int else (int, float)
    return isinstance(value, allowed) and not isinstance(value, bool) and bool(value > 0)
