"""`output_dir`: what mistral-finetune leaves in its run_dir, written once the job has its model.

    metrics.train.jsonl  metrics.eval.jsonl  spec.yaml  job.json
    checkpoints/checkpoint_000300/consolidated/   export: mistral, merged-mistral
    peft/  merged/  gguf/                         the other forms

The model itself stays on the server; these are copies, each read back and compared before it is
said to be right. Perplexity is e^loss (mistral-finetune writes 2^loss of a natural logarithm).
"""

from __future__ import annotations

import json
import math
import shutil
import warnings
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from modiste.cli import models_export
from modiste.cli.models_export import Place
from modiste.client import Client
from modiste.errors import InvalidInput, ModisteError
from modiste.tune.asked import VENDORS_NAMES
from modiste.tune.spec import Method, TuneSpec

JOB = "job.json"
OF_WHOLE_MODELS = {"peft": "merged", "mistral": "merged-mistral"}
"""Where all weights were tuned there is no adapter to write."""
Report = Callable[[str], None]


def refuse_impossible(spec: TuneSpec) -> None:
    """Before anything is trained. Raises InvalidInput when `output_dir` cannot take the files."""
    if spec.output_dir is None:
        return
    folder = Path(spec.output_dir).expanduser()
    if folder.exists() and not folder.is_dir():
        raise InvalidInput(f"output_dir: {folder} is a file", param="output_dir")
    taken = [place for place in (folder / "peft", folder / "merged", folder / "gguf",
                                 folder / "checkpoints") if place.exists()]  # fmt: skip
    if taken and not (folder / JOB).is_file():
        raise InvalidInput(
            f"output_dir: {taken[0]} is there already and not from a tuning of Modiste; name "
            "another folder",
            param="output_dir",
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidInput(f"output_dir: {folder}: {error.strerror}", param="output_dir") from None


def write(client: Client, spec: TuneSpec, job: Mapping[str, Any], *, report: Report) -> None:
    """Everything; a form that cannot be written is said, and the others still are."""
    folder = Path(spec.output_dir or "").expanduser()
    forms = _forms(spec)
    done = _done(folder)
    if done.get("job_id") == job["id"] and set(done.get("exports", {})) == set(forms):
        return report(f"{folder} holds the files of this job already.")
    steps = client.steps(job["id"]).rows
    write_metrics(folder, steps)
    write_spec(folder / "spec.yaml", spec, job)
    last = max((row["step"] for row in steps), default=0)
    exports = {}
    with models_export.located(job["fine_tuned_model"], None, None, say=report) as place:
        for form in forms:
            into = folder / _place(form, last)
            try:
                note = _export(place, form, into)
            except ModisteError as error:
                report(f"{form} is not written: {error.message}")
                continue
            exports[form] = str(into.relative_to(folder))
            report(f"{into}: {note}")
    told = {"job_id": job["id"], "model": job["fine_tuned_model"], "exports": exports}
    (folder / JOB).write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


def write_metrics(folder: Path, steps: Sequence[Mapping[str, Any]]) -> None:
    """One line per step and per evaluation, under mistral-finetune's names."""
    total = max((row["step"] for row in steps), default=0)
    trained = [_trained(row, total) for row in steps if row.get("loss") is not None]
    evaluated = [_evaluated(row) for row in steps if row.get("valid_loss") is not None]
    for name, rows in (("train", trained), ("eval", evaluated)):
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"metrics.{name}.jsonl").write_text(lines, encoding="utf-8")


def write_spec(path: Path, spec: TuneSpec, job: Mapping[str, Any]) -> None:
    """The spec with what the plan decided; `modiste tune` reads it again."""
    planned = {
        name: job["hyperparameters"].get(VENDORS_NAMES.get(name, name))
        for name in ("max_steps", "max_length", "batch_size")
    }
    content = spec.model_dump(mode="json", exclude_none=True)
    content |= {name: value for name, value in planned.items() if value is not None}
    head = f"# The tuning of {job['fine_tuned_model']}, job {job['id']}\n"
    path.write_text(head + yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


def _trained(row: Mapping[str, Any], total: int) -> dict[str, Any]:
    return {
        "lr": row.get("learning_rate"),
        "step": row["step"],
        "loss": row["loss"],
        "percent_done": 100 * row["step"] / total,
        "wps": row.get("tokens_per_s"),
        "grad_norm": row.get("grad_norm"),
        "trained_tokens_per_s": row.get("trained_tokens_per_s"),
        **(row.get("measures") or {}),
        "at": _at(row),
    }


def _evaluated(row: Mapping[str, Any]) -> dict[str, Any]:
    """Of pairs their measures; their loss is no logarithm of a probability per token."""
    measures = row.get("valid_measures")
    return {
        "step": row["step"],
        "train_loss": row.get("loss"),
        "eval_loss": row["valid_loss"],
        **(measures or {"perplexity": math.exp(min(700.0, row["valid_loss"]))}),
        "token_accuracy": row.get("valid_token_accuracy"),
        "at": _at(row),
    }


def _at(row: Mapping[str, Any]) -> str | None:
    moment = row.get("created_at")
    return None if moment is None else datetime.fromtimestamp(moment, UTC).isoformat()


def _forms(spec: TuneSpec) -> list[str]:
    forms = [str(form) for form in spec.export]
    if spec.method is Method.FULL:
        forms = [OF_WHOLE_MODELS.get(form, form) for form in forms]
    return list(dict.fromkeys(forms))


def _place(form: str, step: int) -> Path:
    if form in ("mistral", "merged-mistral"):
        return Path("checkpoints", f"checkpoint_{step:06d}", "consolidated")
    return Path(form)


def _export(place: Place, form: str, into: Path) -> str:
    """Says what was verified."""
    from modiste.nn.export import export

    if into.exists():
        shutil.rmtree(into)  # of an earlier job: `refuse_impossible` has looked
    prompts = models_export.prompts_of(place.base)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of libraries about themselves
        return export(
            form,
            base=place.base,
            adapter=place.adapter,
            into=into,
            prompts=prompts,
            facts=place.facts,
        ).note


def _done(folder: Path) -> dict[str, Any]:
    try:
        told = json.loads((folder / JOB).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return told if isinstance(told, dict) else {}
