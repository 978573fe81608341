"""`modiste data convert` as it is typed: outputs, exit codes, what is said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from modiste.cli.app import run


@pytest.fixture
def rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "rows.csv"
    path.write_text("id,question,answer\n1,One and one?,2\n2,Two and two?,4\n")
    return path


def test_the_output_lies_beside_the_input(rows: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["data", "convert", "rows.csv"]) == 0
    assert len((rows.parent / "rows.converted.jsonl").read_text().splitlines()) == 2
    said = capsys.readouterr()
    assert "prompt-completion, 2 rows" in said.err
    assert "lost in 2 rows: id" in said.out


def test_an_output_that_is_there_is_not_replaced_unasked(
    rows: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["data", "convert", "rows.csv", "-o", "out.jsonl"]) == 0
    assert run(["data", "convert", "rows.csv", "-o", "out.jsonl"]) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert run(["data", "convert", "rows.csv", "-o", "out.jsonl", "--overwrite"]) == 0


def test_templates_may_follow_one_another(rows: Path) -> None:
    templates = ["--columns", "user=Q: {question}", "assistant={answer}"]
    assert run(["data", "convert", "rows.csv", "-o", "out.jsonl", *templates]) == 0
    first = json.loads(Path("out.jsonl").read_text().splitlines()[0])
    assert [m["content"] for m in first["messages"]] == ["Q: One and one?", "2"]


def test_a_row_that_is_left_out_makes_the_command_fail(
    rows: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows.write_text(rows.read_text() + "3,Three?,\n")
    assert run(["data", "convert", "rows.csv"]) == 1
    out = capsys.readouterr().out
    assert "left out: 1 row\n" in out
    assert "rows.csv line 4: answer is empty" in out


def test_json_is_the_report(rows: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["data", "convert", "rows.csv", "--to", "sharegpt", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["ok"] is True
    assert report["path"] == "rows.sharegpt.jsonl"
    assert report["output"]["rows"] == 2


def test_a_name_that_leads_nowhere_is_wrong_usage(
    rows: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["data", "convert", "gone.jsonl"]) == 2
    assert "there is no file gone.jsonl" in capsys.readouterr().err


def test_what_is_said_counts_one_as_one(rows: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows.write_text("id,kind,question,answer\n1,a,One and one?,2\n2,b,Two?,\n")
    assert run(["data", "convert", "rows.csv"]) == 1
    out = capsys.readouterr().out
    assert "rows.converted.jsonl  1 row\n  lost in 1 row: id, kind\n  left out: 1 row\n" in out


def test_problems_of_one_kind_are_told_once(rows: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows.write_text("a,b\n" + "x,\n" * 4)
    assert run(["data", "convert", "rows.csv", "--columns", "user={a}", "assistant={b}"]) == 2
    said = capsys.readouterr().err
    assert "none of the 4 rows can be converted. Of each kind of problem the first:" in said
    assert "rows.csv line 2: assistant is empty: so is {b}, and 3 more like this" in said
