"""Fields under the names of other tools, in ours.

mistral-finetune, Axolotl, LLaMA-Factory, TRL and vendors' APIs name the same things differently.
Where a name means the same it is translated and the translation noted; where it names something
that is decided here it is left aside and that is noted; where it asks for something that is not
there it is refused with the reason, and an unknown name with the nearest known one. The names are
in `foreign`, fields that are more than a name in `meanings`.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from modiste.tune.foreign import ALIASES, DECIDED_HERE, ONLY_VALUE
from modiste.tune.meanings import ACCUMULATION, MEANINGS, PER_STEP, Reading

SECTIONS = ("data", "lora", "dpo", "classifier", "optim", "wandb", "mlflow")
"""Mappings that are read field by field; any other is one value."""
READ_IN_MEANINGS = frozenset(
    {
        *("data.instruct_data", "data.data", "datasets", "dataset", "dataset_dir", "no_eval"),
        "lora.enable",
        *("use_peft", "adapter", "finetuning_type", "load_in_4bit", "load_in_8bit"),
        *("quantization_bit", "stage", "rl", "lora_target_linear", "sample_packing", "packing"),
        *ACCUMULATION,
        *PER_STEP,
        *("lora.scaling", "optimizer", "optim", "lr_scheduler", "lr_scheduler_type"),
        *("warmup_steps", "bf16", "fp16", "bfloat16", "save_adapters", "load_best_model_at_end"),
        *("wandb.project", "wandb.run_name", "wandb.offline", "wandb_project", "wandb_name"),
        *("wandb_run_name", "wandb_mode", "use_wandb", "mlflow.tracking_uri", "use_mlflow"),
        *("mlflow.experiment_name", "mlflow_tracking_uri", "mlflow_experiment_name", "run_name"),
        *("mlflow_run_name", "use_tensorboard", "report_to", "wandb.key", "wandb_api_key"),
        "wandb.api_key",
    }
)
"""For the nearest name only."""


class Translated(NamedTuple):
    values: dict[str, Any]
    """By canonical, dotted name; not validated."""
    names: dict[str, tuple[str, ...]]
    """Canonical name to those it was read from."""
    of_tool: frozenset[str]
    """Canonical names that have the default of the tool the file is written for."""
    left_open: frozenset[str]
    """Canonical names that are given as null: open on purpose."""
    notes: tuple[str, ...]
    problems: tuple[str, ...]


def translate(values: Mapping[str, Any], *, known: Collection[str]) -> Translated:
    """Read sections and dotted names alike, and every name as one of `known`.

    A value that says nothing (null, or "" where a tool writes it for nothing) leaves its field
    open, under any name.
    """
    flat = _flatten(values)
    said = {name: value for name, value in flat.items() if value is not None and value != ""}
    reading = Reading(dict(said))
    for read in MEANINGS:
        read(reading)
    for name, value in reading.left.items():
        _take(reading, name, value, known)
    _left_aside(reading, {name: v for name, v in said.items() if name in DECIDED_HERE})
    unknown = [name for name in flat if name not in said and not _is_known(name, known)]
    reading.problems += [_unknown(name, known) for name in unknown]
    defaults = {n: v for n, v in reading.of_tool.items() if n not in reading.values}
    return Translated(
        reading.values | defaults,
        {name: tuple(read) for name, read in reading.names.items()},
        frozenset(defaults),
        frozenset(target for name in flat if (target := ALIASES.get(name, name)) in known)
        - frozenset(reading.values),
        tuple(reading.notes),
        tuple(reading.problems),
    )


def _take(reading: Reading, name: str, value: Any, known: Collection[str]) -> None:
    target = name if name in known else ALIASES.get(name, name)
    if name in DECIDED_HERE:
        return
    if name in ONLY_VALUE:
        allowed, reason = ONLY_VALUE[name]
        if value is not False and value not in allowed:
            reading.refuse(f"{name}: {value!r} is not possible: {reason}; remove the line")
    elif target not in known:
        reading.refuse(_unknown(name, known))
    else:
        reading.put(target, _same_meaning(target, value), name)
        if target != name:
            reading.note(f"{name} read as {target}")


def _left_aside(reading: Reading, said: Mapping[str, Any]) -> None:
    """One note for each reason, with all names it holds for."""
    by_reason: dict[str, list[str]] = {}
    for name in said:
        by_reason.setdefault(DECIDED_HERE[name], []).append(name)
    for reason, names in by_reason.items():
        verb = "is" if len(names) == 1 else "are"
        reading.note(f"{', '.join(names)} {verb} not used: {reason}")


def _flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested sections and dotted keys both become dotted names; data.instruct stays one name."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and name in SECTIONS:
            flat.update(_flatten(value, f"{name}."))
        elif value is not None or name not in SECTIONS:
            flat[name] = value
    return flat


def _same_meaning(target: str, value: Any) -> Any:
    """Values that other tools write differently for the same thing."""
    if target == "lora.targets" and value in ("all", "all-linear", ["all-linear"], ["all"]):
        return "all-linear"
    if target == "lora.targets" and isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    if target == "eval_steps" and value == 0:
        return None
    if target == "export" and isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    return value


def _is_known(name: str, known: Collection[str]) -> bool:
    tables: tuple[Collection[str], ...] = (
        known, ALIASES, DECIDED_HERE, ONLY_VALUE, READ_IN_MEANINGS,
    )  # fmt: skip
    return any(name in table for table in tables)


def _unknown(name: str, known: Collection[str]) -> str:
    every = [*known, *ALIASES, *DECIDED_HERE, *ONLY_VALUE, *READ_IN_MEANINGS]
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.75)
    near = near or difflib.get_close_matches(name, every, n=1, cutoff=0.6)
    if not near and "." in name:
        near = difflib.get_close_matches(name.rpartition(".")[2], every, n=1, cutoff=0.6)
    hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(sorted(known))}"
    return f"{name}: unknown; {hint}"
