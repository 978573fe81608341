"""Rows with labels as the trainer reads them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from modiste import settings as settings_module
from modiste.errors import TuningFailed
from modiste.prepare import render
from modiste.prepare.classified import text_ids
from modiste.types import ClassifierTarget, LossFunction
from modiste.work import labelled_rows
from modiste.work.training_rows import data_file

TINY = Path(settings_module.__file__).parent / "bases" / "tiny"
TARGETS = (
    ClassifierTarget("mood", ("bad", "good"), LossFunction.SINGLE_CLASS),
    ClassifierTarget("of", ("food", "room"), LossFunction.MULTI_CLASS),
)


def write(path: Path, content: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in content))
    return str(path)


def test_rows_become_samples_with_their_labels_and_places(tmp_path: Path) -> None:
    rows = [
        {"text": "fine", "labels": {"mood": "good", "of": ["room", "food"]}},
        {"text": "skipped", "labels": {"mood": "good", "of": []}},
        {"text": "awful", "labels": {"mood": "bad", "of": []}},
    ]
    path = write(tmp_path / "rows.jsonl", rows)
    file, renderer = data_file({"path": path}, {path: [2]}), render.load(TINY)
    found = labelled_rows.samples([file], renderer, TARGETS, 64)
    assert len(found) == 2
    assert found[0].ids.tolist() == text_ids("fine", renderer)
    assert [found[at].held.tolist() for at in range(2)] == [[1, 2, 3], [0]]
    assert str(found.origin(1)) == "rows.jsonl line 3"
    assert not found.mask.any()


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"text": "x", "labels": {"mood": "odd", "of": []}}, "labels.mood is 'odd'"),
        ({"text": "word " * 400, "labels": {"mood": "bad", "of": []}}, "a sequence has room"),
        ({"text": "only text"}, "trains rows with labels"),
    ],
)
def test_rows_that_changed_since_they_were_checked_end_the_run(
    tmp_path: Path, row: dict[str, Any], said: str
) -> None:
    path = write(tmp_path / "rows.jsonl", [row])
    file = data_file({"path": path}, {})
    with pytest.raises(TuningFailed, match=said):
        labelled_rows.samples([file], render.load(TINY), TARGETS, 64)
