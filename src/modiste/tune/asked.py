"""A spec as the hyperparameters of a job, and back: what travels between a door and the trainer.

Every field of `TuneSpec` has its place in `Hyperparameters` under its own name, sections joined by
`_` (`lora.dropout` is `lora_dropout`), but for three that vendors named first, and for those that
belong to the job itself (`OF_THE_JOB`) or stay with whoever asked (`OF_THE_CALLER`). The doors show
the same names, so a field of the schema needs no translation of its own anywhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from modiste.tune.spec import CANONICAL, Tracker, TuneSpec, parse, value_of
from modiste.types import ClassifierTarget, Hyperparameters, TrainingFile

VENDORS_NAMES: Mapping[str, str] = {
    "max_steps": "training_steps",
    "max_length": "seq_len",
    "warmup_ratio": "warmup_fraction",
}
OF_THE_JOB = frozenset(
    {
        *("model", "data.train", "data.validation", "suffix", "trackers"),
        *("invalid_sample_skip_fraction", "auto_start", "classifier_targets"),
    }
)
OF_THE_CALLER = frozenset({"output_dir", "export", "data.holdout"})
"""What `modiste tune` does before and after the job; the server has no part in it."""

PLACES: Mapping[str, str] = {
    name: VENDORS_NAMES.get(name, name.replace(".", "_"))
    for name in CANONICAL
    if name not in OF_THE_JOB | OF_THE_CALLER
}
"""Dotted name of the spec to field of `Hyperparameters`."""


def to_hyperparameters(spec: TuneSpec) -> dict[str, Any]:
    """The fields of `Hyperparameters`, as JSON. None is left out: it means the same, but beside an
    effort, which would fill it in again."""
    values = {place: value_of(spec, name) for name, place in PLACES.items()}
    if values["lora_targets"] == "all-linear":
        values["lora_targets"] = None
    left_open = spec.effort is not None
    return {name: _plain(v) for name, v in values.items() if v is not None or left_open}


def undecidable(asked: TuneSpec | Hyperparameters, *, give: str) -> dict[str, str]:
    """Fields that only evaluations can decide, with what to say where there are none to be.

    Args:
        give: what to name rows to evaluate on, in the words of whoever asks.
    """
    found = {}
    if asked.keep == "best":
        found["keep"] = f"keep is best, but no evaluation will tell which: {give}, or keep: last."
    if asked.early_stopping_patience is not None:
        found["early_stopping_patience"] = (
            f"early_stopping_patience is {asked.early_stopping_patience}, but there will be no "
            f"evaluation to wait for: {give}, or leave it out."
        )
    return found


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
    integrations: Iterable[Mapping[str, Any]] = (),
    classifier_targets: Iterable[ClassifierTarget] = (),
) -> TuneSpec:
    """The spec of a job made through the API. Raises InvalidInput naming every wrong value.

    Args:
        checkpoint_steps: where the job asks for none.
        integrations: of the job, as it keeps them.
    """
    values: dict[str, Any] = {
        name: _listed(getattr(hyperparameters, place)) for name, place in PLACES.items()
    }
    values |= {
        "model": model,
        "data.train": [{"file_id": f.file_id, "weight": f.weight} for f in training_files],
        "data.validation": [{"file_id": file_id} for file_id in validation_files],
        "checkpoint_steps": hyperparameters.checkpoint_steps or checkpoint_steps,
        "suffix": suffix,
        "invalid_sample_skip_fraction": invalid_sample_skip_fraction,
        "auto_start": auto_start,
        "trackers": [tracker(kept) for kept in integrations],
        "classifier_targets": [asdict(target) for target in classifier_targets],
    }
    return parse({name: value for name, value in values.items() if value is not None}).spec


def to_integration(tracker: Tracker) -> dict[str, Any]:
    """A tracker as an integration of a job; keys are the server's business."""
    asked = tracker.model_dump(exclude_none=True)
    if tracker.type == "wandb":
        asked.setdefault("project", "modiste")
    return asked


def tracker(integration: Mapping[str, Any]) -> dict[str, Any]:
    """An integration of a job as a tracker of its spec; `name` is what Mistral calls the run."""
    run_name = integration.get("run_name") or integration.get("name")
    kept = {name: integration.get(name) for name in ("type", "project", "url", "offline")}
    return {name: v for name, v in (kept | {"run_name": run_name}).items() if v is not None}


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    return str(value) if isinstance(value, str) else value


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
