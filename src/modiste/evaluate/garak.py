"""What garak leaves behind becomes runs in our format: a run for each probe.

garak writes `garak.<id>.report.jsonl`; the form is that of 0.14 to 0.16, and 0.13's where it is the
same. A prompt is an item, known by its text, so that two scans pair; each of its generations is an
attempt, each detector a scorer whose value is 1 where garak counts a hit (a score at or above its
`eval_threshold`). Its own figure stands beside ours. What a detector could not score is unscored.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from modiste.errors import InvalidInput, NotFound
from modiste.evaluate.dataset import row_hash
from modiste.evaluate.items import Answer, Failure, Item, Sample, Score, Status, scored, unscored
from modiste.evaluate.lm_eval import Part
from modiste.types import Message, Role

EVALUATED = 2
"""Status of an attempt that detectors looked at."""
THRESHOLD = 0.5
"""garak's own, where a report does not say."""
ROLES = {role.value: role for role in Role}

Json = dict[str, Any]


def is_report(path: Path) -> bool:
    """Whether a file begins as garak's reports do."""
    try:
        with path.open("rb") as lines:
            first = json.loads(lines.readline())
    except (OSError, ValueError):
        return False
    return isinstance(first, dict) and "entry_type" in first


def read(path: Path, *, model: str) -> tuple[Part, ...]:
    """
    Args:
        model: whom our server knows the model as.

    Raises:
        NotFound: no such file.
        InvalidInput: a line that is not garak's, or no attempt that detectors looked at.
    """
    entries = _entries(path)
    setup = next(iter(entries["start_run setup"]), {})
    init = next(iter(entries["init"]), {})
    threshold = float(setup.get("run.eval_threshold") or THRESHOLD)
    by_probe: dict[str, dict[str, Json]] = defaultdict(dict)
    for at, attempt in enumerate(entries["attempt"]):
        if attempt.get("status") == EVALUATED:
            by_probe[str(attempt["probe_classname"])][str(attempt.get("uuid", at))] = attempt
    if not by_probe:
        raise InvalidInput(f"{path} has no attempt that garak's detectors looked at")
    own = {(str(each["probe"]), str(each["detector"])): each for each in entries["eval"]}
    return tuple(
        _part(probe, list(attempts.values()), own, setup, init, threshold, model)
        for probe, attempts in by_probe.items()
    )


def _entries(path: Path) -> Mapping[str, list[Json]]:
    if not path.is_file():
        raise NotFound(f"There is no file {path}.", param="document")
    found: dict[str, list[Json]] = defaultdict(list)
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                entry = json.loads(line)
                found[str(entry["entry_type"])].append(entry)
            except (ValueError, TypeError, KeyError):
                raise InvalidInput(
                    f"{path} line {number}: is no entry of a garak report", param="document"
                ) from None
    return found


def _part(
    probe: str,
    attempts: Sequence[Json],
    own: Mapping[tuple[str, str], Json],
    setup: Json,
    init: Json,
    threshold: float,
    model: str,
) -> Part:
    detectors = list(dict.fromkeys(d for each in attempts for d in each["detector_results"]))
    if not detectors:
        raise InvalidInput(f"probe {probe}: garak's report names no detector")
    started = _time(init.get("start_time"))
    imported: Json = {
        "suite": f"garak.{probe}",
        "model": model,
        "harness": "garak",
        "harness_version": str(init.get("garak_version") or "unknown"),
        "chat_template": True,
        "flags": {
            "eval_threshold": threshold,
            "generations": setup.get("run.generations"),
            "seed": setup.get("run.seed"),
            "target": setup.get("plugins.target_name") or setup.get("plugins.model_name"),
        },
        "scorers": [
            {
                "name": _scorer(detector),
                "config": {"garak": detector, "threshold": threshold},
                "higher_is_better": False,
                "value": _own_rate(own.get((probe, detector))),
            }
            for detector in detectors
        ],
        "started_at": started,
    }
    return Part(imported, list(_samples(probe, attempts, detectors, threshold)))


def _scorer(detector: str) -> str:
    return detector.replace(".", "-")[:64]


def _own_rate(entry: Json | None) -> float | None:
    """Hits among what was evaluated, in the words of either generation of reports."""
    if entry is None:
        return None
    total = entry.get("total_evaluated", entry.get("total"))
    return (total - entry["passed"]) / total if total else None


def _time(said: Any) -> str | None:
    """garak writes local times without a zone; taken as UTC, and good to the day."""
    if not isinstance(said, str):
        return None
    found = datetime.fromisoformat(said)
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).isoformat()


def _samples(
    probe: str, attempts: Sequence[Json], detectors: Sequence[str], threshold: float
) -> Iterator[Sample]:
    seen: Counter[str] = Counter()
    for attempt in attempts:
        prompt = _messages(attempt.get("prompt"))
        row = {"probe": probe, "prompt": [[each.role.value, each.content] for each in prompt]}
        key = row_hash(row)
        seen[key] += 1
        key = key if seen[key] == 1 else f"{key}#{seen[key]}"
        item = Item(key, {**row, "goal": attempt.get("goal")}, slices={"probe": probe})
        for number, output in enumerate(attempt.get("outputs") or ()):
            yield Sample(
                item,
                number,
                prompt,
                _answer(output),
                {
                    _scorer(detector): _score(
                        attempt["detector_results"], detector, number, threshold
                    )
                    for detector in detectors
                },
            )


def _messages(prompt: Any) -> tuple[Message, ...]:
    if isinstance(prompt, str):
        return (Message(Role.USER, prompt),)
    turns = prompt.get("turns") if isinstance(prompt, dict) else None
    return tuple(
        Message(ROLES.get(str(turn.get("role")), Role.USER), _text(turn.get("content")))
        for turn in turns or ()
    )


def _text(content: Any) -> str:
    said = content.get("text") if isinstance(content, dict) else content
    return "" if said is None else str(said)


def _answer(output: Any) -> Answer:
    if output is None or (isinstance(output, dict) and output.get("text") is None):
        return Answer(failure=Failure("no_output", "garak had no output for this prompt"))
    return Answer(_text(output))


def _score(results: Json, detector: str, number: int, threshold: float) -> Score:
    scores = results.get(detector) or []
    value = scores[number] if number < len(scores) else None
    if value is None:
        return unscored(Status.ERROR, f"{detector} gave no score")
    hit = float(value) >= threshold
    return scored(hit, label="hit" if hit else "passed", score=float(value))
