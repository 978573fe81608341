"""Fields of other tools that mean several of ours, or change what another field means.

Each function here takes its names out of what was read and puts ours in. `aliases` calls them all,
in order, before it renames the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from modiste.tune.foreign import MISTRAL_FINETUNE_DEFAULTS

ACCUMULATION = ("num_microbatches", "gradient_accumulation_steps")
PER_STEP = ("micro_batch_size", "per_device_train_batch_size")
"""Counts samples, where they are not packed."""
SCHEDULES = {
    "cosine": "cosine",
    "linear": "linear",
    "constant": "constant",
    "constant_with_warmup": "constant",
}
TRACKERS = ("wandb", "mlflow", "tensorboard")


@dataclass
class Reading:
    """What is left to be read, and what was made of the rest."""

    left: dict[str, Any]
    """As written, dotted; values that say nothing (null, "") are not in it."""
    values: dict[str, Any] = field(default_factory=dict)
    """By our names."""
    names: dict[str, list[str]] = field(default_factory=dict)
    """Our name to those it was read from."""
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    of_tool: dict[str, Any] = field(default_factory=dict)
    """Defaults of the tool the file is written for."""

    def take(self, name: str) -> Any:
        """The value, taken out; None where there is none."""
        return self.left.pop(name, None)

    def put(self, target: str, value: Any, *names: str) -> None:
        if target in self.values:
            given = " and ".join(dict.fromkeys((*self.names[target], *names)))
            self.problems.append(f"{given}: {target} is given twice; keep one of the names")
            return
        self.values[target] = value
        self.names[target] = list(names)

    def note(self, text: str) -> None:
        self.notes.append(text)

    def refuse(self, text: str) -> None:
        self.problems.append(text)


def sources(reading: Reading) -> None:
    """Chats and plain text of mistral-finetune are one list; Axolotl's entries have more keys."""
    parts = {name: reading.take(name) for name in ("data.instruct_data", "data.data")}
    given = {name: value for name, value in parts.items() if value is not None}
    if given:
        listed = [part for value in given.values() for part in _parts(value)]
        reading.put("data.train", _joined(listed), *given)
        reading.note(f"{' and '.join(given)} read as data.train")
    listing = reading.take("dataset_dir")
    for name in ("datasets", "dataset"):
        entries = reading.take(name)
        if entries is not None:
            found = _entries(reading, name, entries)
            if listing is not None and name == "dataset":  # LLaMA-Factory's names, listed there
                found = [f"{listing}/{part.strip()}" for part in found if isinstance(part, str)]
            reading.put("data.train", _joined(found), name)
            reading.note(f"{name} read as data.train")
    if reading.take("no_eval") is True and _evaluates(reading):
        for name in ("data.validation", "data.eval_instruct_data"):
            reading.left.pop(name, None)
        reading.note("no_eval: the validation files are left aside")


def _evaluates(reading: Reading) -> bool:
    return bool({"data.validation", "data.eval_instruct_data"} & set(reading.left))


def _parts(value: Any) -> list[Any]:
    if isinstance(value, str):
        return [part for part in value.split(",") if part.strip()]
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _joined(parts: list[Any]) -> Any:
    """`a.jsonl:5.,b.jsonl` again, where that is all there is: weights are read there."""
    return ",".join(parts) if all(isinstance(part, str) for part in parts) else parts


def _entries(reading: Reading, name: str, entries: Any) -> list[Any]:
    """Axolotl: `{path, type, split, …}`; where rows are JSON of a local file, `data_files`."""
    found: list[Any] = []
    aside: dict[str, None] = {}
    for entry in _parts(entries):
        if not isinstance(entry, Mapping):
            found.append(entry)
            continue
        files = entry.get("data_files") or entry.get("path") or entry.get("file_id")
        own = {key: entry[key] for key in ("weight", "file_id") if key in entry}
        aside.update(dict.fromkeys(k for k in entry if k not in {*own, "path", "data_files"}))
        if files is None or "file_id" in own:
            found.append(dict(own))
        else:
            found += [{"path": path, **own} for path in _parts(files)]
    if aside:
        told = ", ".join(aside)
        reading.note(f"{name}: {told} left aside: the format of rows is told from the rows")
    return found


def method(reading: Reading) -> None:
    """Which weights learn, and whether the base is held in 4 bits."""
    wanted: dict[str, str] = {}
    if (enabled := reading.take("lora.enable")) is not None:
        wanted["lora.enable"] = "lora" if enabled else "full"
    if (peft := reading.take("use_peft")) is not None:
        wanted["use_peft"] = "lora" if peft else "full"
    for name in ("adapter", "finetuning_type"):
        if (kind := reading.take(name)) is not None:
            wanted[name] = str(kind)
    tool = _tool_of_all_weights(reading)
    if tool and not wanted and "method" not in reading.left and not _has_lora(reading):
        wanted[f"{tool}'s file without an adapter"] = "full"
    bits = _bits(reading)
    for name in (name for name, count in bits.items() if count == 4):
        if "full" in wanted.values():
            reading.refuse(f"{name}: all weights cannot be trained in 4 bits; an adapter can")
            return
        wanted = {**{k: v for k, v in wanted.items() if v != "lora"}, name: "qlora"}
    for name in (name for name, count in bits.items() if count == 8):
        reading.note(
            f"{name}: bases are not held in 8 bits, but as they are (more memory, exact); "
            "method: qlora takes 4 bits"
        )
    kinds = set(wanted.values())
    for name, kind in wanted.items():
        if kind not in ("lora", "qlora", "full"):
            reading.refuse(f"{name}: {kind!r} is not there; known are lora, qlora and full")
            return
    if len(kinds) > 1:
        reading.refuse(f"{' and '.join(wanted)} contradict each other; keep one")
    elif kinds:
        reading.put("method", kinds.pop(), *wanted)
        reading.note(f"{' and '.join(wanted)} read as method: {reading.values['method']}")


def _bits(reading: Reading) -> dict[str, int]:
    """Name to the bits it asks the base's weights to be held in."""
    found = {}
    for name, count in (("load_in_4bit", 4), ("load_in_8bit", 8)):
        if reading.take(name) is True:
            found[name] = count
    if (count := reading.take("quantization_bit")) is not None:
        if count not in (4, 8):
            reading.refuse(f"quantization_bit: {count!r} is not there; 4 is, as method: qlora")
        found["quantization_bit"] = count
    return found


def _tool_of_all_weights(reading: Reading) -> str | None:
    """Those that train all weights unless an adapter is asked for."""
    if {"base_model", "datasets"} <= set(reading.left):
        return "Axolotl"
    return "TRL" if "dataset_name" in reading.left else None


def _has_lora(reading: Reading) -> bool:
    return any(name.startswith("lora") for name in reading.left)


def objective(reading: Reading) -> None:
    known = {"sft": "sft", "pt": None, "dpo": "dpo"}
    for name in ("stage", "rl"):
        value = reading.take(name)
        if value is None:
            continue
        if value not in known:
            reading.refuse(f"{name}: {value!r} is not there; known are sft, pt and dpo")
        elif known[value] is None:
            reading.note(f"{name}: {value}: rows of plain text are trained whole, no field says so")
        else:
            reading.put("objective", known[value], name)
            reading.note(f"{name} read as objective: {value}")


def targets(reading: Reading) -> None:
    """Axolotl: all linear layers, whatever else is listed."""
    if reading.take("lora_target_linear") is True:
        listed = reading.take("lora_target_modules")
        reading.put("lora.targets", "all-linear", "lora_target_linear")
        more = "; lora_target_modules names some of them" if listed else ""
        reading.note(f"lora_target_linear read as lora.targets: all-linear{more}")


def batch(reading: Reading) -> None:
    """Sequences per forward times forwards per step are our packed sequences per step."""
    packed = [reading.take(name) for name in ("sample_packing", "packing")]
    factors = {name: v for name in ACCUMULATION if (v := reading.take(name)) is not None}
    sizes = {name: v for name in PER_STEP if (v := reading.take(name)) is not None}
    own = reading.left.get("batch_size")
    for name, value in (*factors.items(), *sizes.items()):
        if not _whole(value):
            reading.refuse(f"{name}: expected a whole number above 0, got {value!r}")
            return
    if True not in packed and (False in packed or sizes):
        given = " and ".join((*sizes, *factors))
        if given:
            reading.note(
                f"{given}: counts samples, and steps here hold packed sequences of max_length "
                "tokens; the plan chooses how many (batch_size: N decides it)"
            )
        return
    if not factors and not sizes:
        return
    if own is not None:
        reading.take("batch_size")
        sizes["batch_size"] = own
    if not all(map(_whole, sizes.values())):
        reading.refuse(f"batch_size: expected a whole number above 0, got {own!r}")
        return
    product = 1
    for value in (*sizes.values(), *factors.values()):
        product *= value
    reading.put("batch_size", product, *sizes, *factors)
    told = " times ".join(f"{name} {v}" for name, v in (sizes | factors).items())
    reading.note(f"batch_size is {product}: {told}")


def scaling(reading: Reading) -> None:
    """mistral-finetune's plain factor is alpha over rank."""
    factor = reading.take("lora.scaling")
    if factor is None:
        return
    rank = next((reading.left[n] for n in ("lora.rank", "lora.r") if n in reading.left), 16)
    if "lora.alpha" in reading.left:
        reading.refuse("lora.scaling: lora.alpha is given too; keep one of them")
    elif not (_number(factor) and _whole(rank)):
        reading.refuse(f"lora.scaling: expected a number above 0, got {factor!r}")
    else:
        reading.put("lora.alpha", float(factor) * rank, "lora.scaling")
        reading.note(f"lora.scaling read as lora.alpha = {float(factor) * rank:g}")


def optimizer(reading: Reading) -> None:
    """AdamW, whatever library it comes from; others would be another run."""
    for name in ("optimizer", "optim"):
        value = reading.take(name)
        if value is None:
            continue
        if "adamw" in str(value):
            reading.note(f"{name}: {value}: AdamW with moments in fp32 is used")
        else:
            reading.refuse(f"{name}: {value!r} is not there; adamw is")


def schedule(reading: Reading) -> None:
    for name in ("lr_scheduler", "lr_scheduler_type"):
        value = reading.take(name)
        if value is None:
            continue
        if value not in SCHEDULES:
            reading.refuse(f"{name}: {value!r} is not there; known are {', '.join(SCHEDULES)}")
        else:
            reading.put("lr_schedule", SCHEDULES[value], name)
            reading.note(f"{name} read as lr_schedule: {SCHEDULES[value]}")
    steps = reading.take("warmup_steps")
    if steps is None:
        return
    total = next((reading.left[n] for n in ("max_steps", "training_steps") if n in reading.left), 0)
    if isinstance(steps, (int, float)) and 0 <= steps < 1:
        ratio: float | None = float(steps)
    elif _whole(steps) and _whole(total):
        ratio = min(1.0, round(steps / total, 6))
    else:
        reading.note(
            f"warmup_steps: {steps}: how many steps there will be is not said, so their share is "
            "not known; set warmup_ratio (0.05 unless you do)"
        )
        return
    reading.put("warmup_ratio", ratio, "warmup_steps")
    reading.note(f"warmup_steps read as warmup_ratio: {ratio:g}")


def precision(reading: Reading) -> None:
    asked = {name: reading.take(name) for name in ("bf16", "bfloat16")}
    fp16 = reading.take("fp16")
    names = [name for name, value in asked.items() if value in (True, "full")]
    if names and not {"dtype", "torch_dtype"} & set(reading.left):
        reading.put("dtype", "bfloat16", *names)
        reading.note(f"{' and '.join(names)} read as dtype: bfloat16")
    if fp16 is True:
        reading.note("fp16: half precision is bfloat16 here; dtype: auto takes it where it is fast")


def checkpointing(reading: Reading) -> None:
    value = reading.left.get("gradient_checkpointing")
    if isinstance(value, str) and value != "auto":  # Axolotl's unsloth, offload, offload_disk
        reading.take("gradient_checkpointing")
        reading.put("gradient_checkpointing", True, "gradient_checkpointing")
        reading.note(f"gradient_checkpointing: {value}: activations are computed twice instead")


def saved(reading: Reading) -> None:
    """mistral-finetune writes adapters in Mistral's layout, or the model merged with them."""
    adapters = reading.take("save_adapters")
    if adapters is False:
        reading.put("export", ["merged-mistral"], "save_adapters")
        reading.note("save_adapters: false read as export: merged-mistral")
    elif (adapters is True or "run_dir" in reading.left) and "export" not in reading.left:
        name = "save_adapters" if adapters is True else "run_dir"
        reading.put("export", ["mistral", "peft"], name)
    if reading.take("load_best_model_at_end") is True:
        reading.put("keep", "best", "load_best_model_at_end")
        reading.note("load_best_model_at_end read as keep: best")
    for name in ("ckpt_freq", "eval_freq"):
        value = reading.left.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and value < 1:
            reading.take(name)
            reading.note(f"{name}: {value}: the plan chooses, so that a crash costs little")


def trackers(reading: Reading) -> None:
    """Sections of mistral-finetune, prefixed names of Axolotl, `report_to` of transformers."""
    found: dict[str, dict[str, Any]] = {}
    names: list[str] = []

    def take(kind: str, into: str, *written: str) -> None:
        for name in written:
            value = reading.take(name)
            if value is not None:
                found.setdefault(kind, {"type": kind})[into] = value
                names.append(name)

    _refuse_keys(reading)
    reported = _reported(reading)
    take("wandb", "project", "wandb.project", "wandb_project")
    asked = bool(found)
    take("wandb", "run_name", "wandb.run_name", "wandb_name", "wandb_run_name")
    take("wandb", "offline", "wandb.offline")
    mode = reading.take("wandb_mode")
    use = reading.take("use_wandb")
    wanted = asked or use or "wandb" in reported or mode == "online"
    if "wandb" in found and not wanted:  # mistral-finetune: without a project there is no run
        del found["wandb"]
        reading.note("wandb: no project is named, so nothing is sent to W&B")
    if mode == "offline" and "wandb" in found:
        found["wandb"]["offline"] = True
    if mode == "disabled" or use is False:
        found.pop("wandb", None)
    take("mlflow", "url", "mlflow.tracking_uri", "mlflow_tracking_uri")
    take("mlflow", "project", "mlflow.experiment_name", "mlflow_experiment_name")
    take("mlflow", "run_name", "mlflow_run_name")
    if reading.take("use_mlflow") is False:
        found.pop("mlflow", None)
    if reading.take("use_tensorboard") is True:
        reported["tensorboard"] = "use_tensorboard"
    run_name = reading.take("run_name")
    if run_name is not None and not reported:
        reading.note("run_name: report_to names no tracker, so nothing is called that")
    for kind, name in reported.items():
        found.setdefault(kind, {"type": kind})
        names.append(name)
        if run_name is not None:
            found[kind].setdefault("run_name", run_name)
    if found:
        reading.put("trackers", list(found.values()), *dict.fromkeys(names))
        reading.note(f"{', '.join(dict.fromkeys(names))} read as trackers: {', '.join(found)}")


def _refuse_keys(reading: Reading) -> None:
    for name in ("wandb.key", "wandb_api_key", "wandb.api_key"):
        if reading.take(name) is not None:
            reading.refuse(
                f"{name}: keys do not belong into a file; remove the line and set WANDB_API_KEY "
                "where the server runs"
            )


def _reported(reading: Reading) -> dict[str, str]:
    """Tracker to the field that names it."""
    value = reading.take("report_to")
    listed = [value] if isinstance(value, str) else list(value or ())
    found = {}
    for kind in listed:
        if kind in TRACKERS:
            found[kind] = "report_to"
        elif kind not in ("none", "all"):
            reading.refuse(f"report_to: {kind!r} is not there; known are {', '.join(TRACKERS)}")
        elif kind == "all":
            reading.note(f"report_to: all: name those you want of {', '.join(TRACKERS)}")
    return found


def files_defaults(reading: Reading) -> None:
    """A file of mistral-finetune means its defaults, not ours, where it says nothing."""
    if "model_id_or_path" not in reading.left:
        return
    reading.of_tool.update(MISTRAL_FINETUNE_DEFAULTS)
    if "epochs" in reading.left:
        del reading.of_tool["max_steps"]


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0


MEANINGS: tuple[Callable[[Reading], None], ...] = (
    files_defaults,
    method,
    sources,
    objective,
    targets,
    batch,
    scaling,
    optimizer,
    schedule,
    precision,
    checkpointing,
    saved,
    trackers,
)
