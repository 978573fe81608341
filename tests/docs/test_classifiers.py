"""docs/classifiers.md: its rows are classifier rows, its file is read, its fields exist."""

from __future__ import annotations

import json
import re
from pathlib import Path

from modiste.prepare.formats.read import read
from modiste.prepare.targets import Counts
from modiste.tune import effort
from modiste.tune.config import read_yaml
from modiste.tune.spec import CANONICAL, Objective
from modiste.types import LossFunction, SampleType

PAGE = (Path(__file__).parents[2] / "docs/classifiers.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_rows_have_the_targets_that_the_page_tells_of(tmp_path: Path) -> None:
    path = tmp_path / "reviews.jsonl"
    more = {"text": "Nothing to say", "labels": {"mood": "good", "about": []}}
    path.write_text(
        "".join(f"{json.dumps(json.loads(b))}\n" for b in [*blocks("json"), json.dumps(more)])
    )
    counts = Counts()
    for found in read(path, filename="reviews.jsonl").rows:
        assert found.row.example is not None
        assert found.row.example.sample_type is SampleType.CLASSIFIER
        counts.add(found.row.example)
    about, mood = counts.targets()
    assert (about.labels, about.loss_function) == (("food", "room"), LossFunction.MULTI_CLASS)
    assert (mood.labels, mood.loss_function) == (("bad", "good"), LossFunction.SINGLE_CLASS)


def test_the_file_is_read_and_its_fields_exist(tmp_path: Path) -> None:
    (content,) = blocks("yaml")
    (tmp_path / "reviews.jsonl").write_text(blocks("json")[0])
    path = tmp_path / "reviews.yaml"
    path.write_text(content)
    assert read_yaml(path).spec.objective is Objective.CLASSIFY
    for field in re.findall(r"^\| `([a-z_.]+)` \|", PAGE, re.MULTILINE):
        assert field in CANONICAL
    assert effort.RATES["classify", "adapter"] == 1e-3
