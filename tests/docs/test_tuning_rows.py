"""docs/tuning-rows.md: its rows are what the page says, its file is read."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from modiste.prepare import render
from modiste.prepare.formats.read import read
from modiste.tune.config import read_yaml
from modiste.tune.preference import Preference
from modiste.types import SampleType
from modiste.work.training_rows import data_file, read_samples

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/tuning-rows.md").read_text()
TINY = ROOT / "src/modiste/bases/tiny"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize(
    ("row", "kind"), zip(blocks("json"), ("instruct", "pretrain", "preference"), strict=True)
)
def test_rows_are_of_the_kind_their_section_says(tmp_path: Path, row: str, kind: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(json.loads(row)) + "\n")
    (found,) = read(path, filename="rows.jsonl").rows
    assert found.row.example is not None
    assert found.row.example.sample_type is SampleType(kind)


def test_an_answer_of_weight_0_is_shown_and_not_trained(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(blocks("json")[0])
    renderer = render.load(TINY)
    (sample,) = read_samples(data_file({"path": str(path)}, {}), renderer, max_length=200)
    trained = [t for t, on in zip(*sample.rendered, strict=True) if on]
    assert renderer.decode(trained) == "No: 4."
    assert "5" in renderer.decode(sample.rendered.ids)


def test_the_file_is_read_and_its_measures_exist(tmp_path: Path) -> None:
    (content,) = blocks("yaml")
    path = tmp_path / "dpo.yaml"
    path.write_text(content)
    (tmp_path / "pairs.jsonl").write_text(blocks("json")[2])
    spec = read_yaml(path).spec
    assert (spec.dpo.beta, spec.learning_rate) == (0.1, 5e-6)
    for measure in Preference.measures:
        assert f"`{measure}`" in PAGE
