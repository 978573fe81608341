"""A run as a folder: `run.json` (what it rests on, and its figures) and `samples.jsonl`.

What is read is checked against what was written: a run with half of its samples says nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from modiste.errors import InvalidInput
from modiste.evaluate.items import SAMPLES, Sample
from modiste.evaluate.metric import METRICS
from modiste.evaluate.record import RECORD, Run

RUN, ALL_SAMPLES = "run.json", "samples.jsonl"


def write(folder: Path, run: Mapping[str, Any], samples: Iterable[bytes]) -> int:
    """
    Args:
        run: with `record` and `metrics`, as the server tells a run; the rest is kept as it is.
        samples: bytes of JSON lines.

    Returns:
        Bytes written.

    Raises:
        InvalidInput: something is there already.
    """
    if folder.exists() and any(folder.iterdir()):
        raise InvalidInput(f"{folder} is not empty; name another folder", param="folder")
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ALL_SAMPLES).open("wb") as target:
        written = sum(target.write(chunk) for chunk in samples)
    described = json.dumps(run, ensure_ascii=False, indent=2) + "\n"
    return written + (folder / RUN).write_text(described, encoding="utf-8")


def read(folder: Path) -> Run:
    """
    Raises:
        InvalidInput: a file is missing, is not what `write` wrote, or has not all samples.
    """
    try:
        told = json.loads((folder / RUN).read_text(encoding="utf-8"))
        with (folder / ALL_SAMPLES).open("rb") as lines:
            return run_of(told, lines, file=str(folder))
    except OSError as error:
        raise InvalidInput(
            f"{folder} is no exported run: {error.filename}: {error.strerror}; "
            "`modiste eval export RUN FOLDER` writes one"
        ) from None
    except ValueError as error:
        raise InvalidInput(f"{folder / RUN} is no JSON: {error}") from None


def run_of(told: Any, lines: Iterable[bytes], *, file: str) -> Run:
    """A run as the server tells it, with the lines of its samples.

    Raises:
        InvalidInput: it did not end well, or these are not its samples; `file` says whose.
    """
    if not isinstance(told, dict) or not told.get("record"):
        status = told.get("status") if isinstance(told, dict) else None
        raise InvalidInput(f"{file} has no result yet: its status is {status}")
    try:
        record = RECORD.validate_python(told["record"])
        metrics = METRICS.validate_python(told["metrics"])
        samples = [SAMPLES.validate_json(line) for line in lines if line.strip()]
    except (ValidationError, KeyError) as error:
        raise InvalidInput(f"{file} is not a run as this version writes it: {error}") from None
    expected = record.n_items * record.attempts
    if len(samples) != expected:
        raise InvalidInput(
            f"{file} has {len(samples)} samples; {record.n_items} items with {record.attempts} "
            f"attempts each make {expected}"
        )
    return Run(record, _sorted(samples), metrics)


def _sorted(samples: list[Sample]) -> list[Sample]:
    return sorted(samples, key=lambda sample: (sample.item.key, sample.attempt))
