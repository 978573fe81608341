"""Every field of a tuning with its value and where that is from."""

from __future__ import annotations

from pathlib import Path

import pytest

from modiste.cli.tune_explain import Row, explained, schema
from modiste.tune.config import Config, load
from modiste.tune.spec import CANONICAL, TuneSpec

FILE = "model_id_or_path: modiste-tiny\ndata: {instruct_data: train.jsonl}\noptim: {lr: 6.e-5}\n"


@pytest.fixture
def asked(tmp_path: Path) -> Config:
    (tmp_path / "7B.yaml").write_text(FILE)
    return load(tmp_path / "7B.yaml", ["lora.rank=4"], effort="thorough")


def row_of(rows: list[Row], field: str) -> Row:
    (found,) = [row for row in rows if row.field == field]
    return found


def test_every_field_has_a_row_with_its_source(asked: Config, tmp_path: Path) -> None:
    rows = explained(asked, None)
    assert [row.field for row in rows] == list(CANONICAL)
    assert row_of(rows, "learning_rate").source == f"{tmp_path}/7B.yaml line 3 (optim.lr)"
    assert row_of(rows, "lora.rank")[1:3] == (4, "--set")
    assert row_of(rows, "lora.alpha").note == "twice the rank"
    assert row_of(rows, "max_steps").source == "mistral-finetune's default"
    assert row_of(rows, "eval_steps")[1:3] == (None, "plan")
    assert row_of(rows, "seed")[1:3] == (0, "default")


def test_what_the_plan_decided_is_told(asked: Config) -> None:
    plan = asked.spec.model_copy(update={"eval_steps": 10, "output_dir": None})
    rows = explained(asked, plan.model_dump(mode="json"))
    assert row_of(rows, "eval_steps")[1:3] == (10, "plan")
    assert row_of(rows, "checkpoint_steps").value is None


def test_what_stays_with_the_caller_is_not_the_plans(asked: Config) -> None:
    plan = asked.spec.model_copy(update={"output_dir": None, "export": ("peft",)})
    rows = explained(asked, plan.model_dump(mode="json"))
    assert row_of(rows, "export").source != "plan"


def test_the_schema_says_what_every_field_means() -> None:
    told = schema()
    assert set(told["properties"]) == set(TuneSpec.model_fields)
    assert "packed sequence" in told["properties"]["max_length"]["description"]
    train = told["$defs"]["Data"]["properties"]["train"]
    assert {"type": "string"} in train["anyOf"], "`a.jsonl:5,b.jsonl` is right, too"


def test_the_command_prints_it_without_a_server(modiste, asked: Config, tmp_path: Path) -> None:
    told = modiste("tune", tmp_path / "7B.yaml", "--explain", "--set", "lora.rank=4")
    assert told.code == 0
    assert "optim.lr as learning_rate" in told.err
    assert "7B.yaml line 3 (optim.lr)" in told.out
    as_json = modiste("tune", tmp_path / "7B.yaml", "--explain", "--json")
    assert [row["field"] for row in as_json.json["fields"]] == list(CANONICAL)
    assert modiste("tune", "--schema").json["title"] == "TuneSpec"


def test_flags_alone_are_a_configuration(modiste) -> None:
    told = modiste("tune", "--model", "m", "--train", "a.jsonl:2", "--train", "b.jsonl",
                   "--effort", "quick", "--explain", "--json")  # fmt: skip
    fields = {row["field"]: row for row in told.json["fields"]}
    assert [Path(path).name for path in fields["data.train"]["value"]] == ["a.jsonl:2", "b.jsonl"]
    assert fields["model"]["source"] == "--model"
    assert modiste("tune", "--explain").code == 2, "nothing is asked for"
