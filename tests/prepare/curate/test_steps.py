from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from modiste.errors import InvalidInput
from modiste.prepare.curate.split import Split
from modiste.prepare.curate.steps import MODULES, parse, places_of, read_yaml, stage_named


def _wrong(values: dict[str, Any]) -> str:
    with pytest.raises(InvalidInput) as caught:
        parse(values, folder=Path())
    return caught.value.message


def test_a_yaml_file_says_inputs_stages_and_output(tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(
        """
        inputs: [a.jsonl, {path: b.csv, columns: ["user={q}", "assistant={a}"]}]
        stages:
          - merge
          - split: {parts: 70/15/15, frozen_test: old.jsonl}
          - sample: {n: 5}
            from: train
        output: out
        """
    )
    pipeline = read_yaml(path)
    assert [given.path for given in pipeline.inputs] == ["a.jsonl", "b.csv"]
    assert pipeline.inputs[1].columns == ("user={q}", "assistant={a}")
    assert [(s.name, s.source) for s in pipeline.steps] == [
        ("merge", None),
        ("split", None),
        ("sample", "train"),
    ]
    assert isinstance(pipeline.steps[1].settings, Split)
    assert places_of(pipeline.steps[1]) == ["old.jsonl"]
    assert pipeline.output == tmp_path / "out"
    assert pipeline.name == "out"


def test_everything_wrong_with_the_stages_is_said_at_once() -> None:
    said = _wrong(
        {
            "inputs": "a.jsonl",
            "stages": ["mrge", {"sample": {"m": 1}}, {"split": {}, "dedup": {}}, {"merge": 3}, 7],
            "output": "out",
        }
    )
    assert "stages[0]: mrge: no such stage; did you mean merge?" in said
    assert "stages[1].sample: m: unknown" in said
    assert "stages[2]: expected one stage" in said
    assert "stages[3].merge: expected settings, got 3" in said
    assert "stages[4]: expected the name of a stage, got 7" in said


def test_names_of_the_file_are_refused_with_the_nearest() -> None:
    said = _wrong({"input": ["a"], "stages": ["merge"], "output": "o"})
    assert "input: unknown; did you mean inputs?" in said
    assert "inputs: Field required" in said


def test_after_a_split_a_stage_says_which_rows_it_takes() -> None:
    split = {"split": {"parts": "70/15/15"}}
    said = _wrong({"inputs": "a", "stages": [split, {"sample": {"n": 1}}], "output": "o"})
    assert "stages[1]: say `from` which rows: there are test, train, validation" in said
    said = _wrong(
        {"inputs": "a", "stages": [split, {"sample": {"n": 1}, "from": "dev"}], "output": "o"}
    )
    assert "there is no dev, only test, train, validation" in said


def test_a_stream_that_is_not_there_cannot_be_named() -> None:
    frozen = {"split": {"frozen_test": "@test"}}
    assert "there is no test here, only data" in _wrong(
        {"inputs": "a", "stages": [frozen], "output": "o"}
    )


def test_two_streams_of_one_name_are_refused() -> None:
    stages = [{"split": {}}, {"split": {}, "from": "train"}]
    assert "validation is there already" in _wrong({"inputs": "a", "stages": stages, "output": "o"})


@pytest.mark.parametrize("content", ["[1, 2]", "inputs: [", "\udcff"])
def test_what_is_no_yaml_of_ours_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(content, errors="surrogateescape")
    with pytest.raises(InvalidInput, match=r"p\.yaml"):
        read_yaml(path)
    with pytest.raises(InvalidInput, match="cannot be read"):
        read_yaml(tmp_path / "none.yaml")


@pytest.mark.parametrize("name", sorted(MODULES))
def test_every_stage_of_the_table_is_there_under_its_name(name: str) -> None:
    stage = stage_named(name)
    assert stage.name == name
    assert stage.version >= 1
    assert all(field in stage.settings.model_fields for field in stage.reads)
    assert stage.settings.model_config["frozen"]
    assert stage.settings.model_config["extra"] == "forbid"
