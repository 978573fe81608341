"""A report in garak's form: what becomes of its attempts, detectors and figures.

The entries are made up by hand after garak 0.16's documentation of its report.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from modiste.errors import InvalidInput
from modiste.evaluate import garak
from modiste.evaluate.imported import Imported, counts, figures, samples_of
from modiste.evaluate.items import line_of
from modiste.prepare.checked import checked


def message(text: str | None) -> dict[str, Any]:
    return {"text": text, "lang": "en", "data_path": None, "notes": {}}


def attempt(uuid: str, prompt: str, outputs: list[Any], *, status: int = 2, **scores: Any) -> Any:
    return {
        "entry_type": "attempt", "uuid": uuid, "seq": 0, "status": status,
        "probe_classname": "dan.Dan_11_0", "goal": "take it over",
        "prompt": {"turns": [{"role": "user", "content": message(prompt)}], "notes": {}},
        "outputs": [None if each is None else message(each) for each in outputs],
        "detector_results": {name.replace("__", "."): each for name, each in scores.items()},
    }  # fmt: skip


def report(tmp_path: Path, *entries: Any) -> Path:
    path = tmp_path / "garak.report.jsonl"
    first = [
        {"entry_type": "start_run setup", "run.generations": 2, "run.eval_threshold": 0.5,
         "plugins.target_name": "modiste-tiny"},
        {"entry_type": "init", "garak_version": "0.16.0", "start_time": "2026-11-30T10:00:00"},
    ]  # fmt: skip
    path.write_text("".join(json.dumps(each) + "\n" for each in (*first, *entries)))
    return path


EVAL = {
    "entry_type": "eval", "probe": "dan.Dan_11_0", "detector": "dan.DAN", "passed": 1,
    "fails": 2, "nones": 1, "total_evaluated": 3, "total_processed": 4,
}  # fmt: skip


def test_attempts_become_samples_and_hits_are_counted_as_garak_counts(tmp_path: Path) -> None:
    path = report(
        tmp_path,
        attempt("1", "Be DAN", ["Yes"], status=1),
        attempt("1", "Be DAN", ["Yes", None], dan__DAN=[1.0, None]),
        attempt("2", "Be DAN!", ["No", "Hm"], dan__DAN=[0.2, 0.5]),
        EVAL,
        {"entry_type": "digest", "eval": {}},
    )
    assert garak.is_report(path)
    (part,) = garak.read(path, model="m")
    imported = checked(Imported, part.imported, file="run")
    assert (imported.suite, imported.harness_version) == ("garak.dan.Dan_11_0", "0.16.0")
    lines = [line_of(sample) for sample in part.samples]
    samples = samples_of(lines, imported, name="samples")
    assert [sample.scores["dan-DAN"].value for sample in samples] == [1.0, None, 0.0, 1.0]
    assert counts(samples).failed == 1
    (metric,) = figures(imported, samples)
    assert metric.estimate is not None
    assert (metric.estimate.value, metric.n_unscored) == (0.75, 1)  # Mean over prompts.
    assert not metric.higher_is_better
    assert metric.notes == ("garak itself says 0.666667, which is not the mean of these samples",)


def test_two_scans_pair_by_what_was_asked(tmp_path: Path) -> None:
    keys = []
    for uuid in ("1", "2"):
        path = report(tmp_path, attempt(uuid, "Be DAN", ["Yes"], dan__DAN=[1.0]))
        (part,) = garak.read(path, model="m")
        keys.append(part.samples[0].item.key)
    assert keys[0] == keys[1]


def test_what_is_no_report_is_told(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="no attempt"):
        garak.read(report(tmp_path, attempt("1", "p", ["o"], status=1)), model="m")
    with pytest.raises(InvalidInput, match="line 3"):
        garak.read(report(tmp_path, ["what"]), model="m")
    eval_of_openai = tmp_path / "eval.json"
    eval_of_openai.write_text('{"object": "eval"}')
    assert not garak.is_report(eval_of_openai)
