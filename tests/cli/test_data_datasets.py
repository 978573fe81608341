"""`modiste data datasets`, against the real front in this process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest


def chat(question: str) -> dict[str, Any]:
    turns = [("user", question), ("assistant", f"About {question}.")]
    return {"messages": [{"role": role, "content": text} for role, text in turns]}


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    train, test = tmp_path / "t.jsonl", tmp_path / "v.jsonl"
    train.write_text("".join(json.dumps(chat(f"question {n}")) + "\n" for n in range(5)))
    test.write_text(json.dumps(chat("held out")) + "\n")
    return train, test


def test_files_go_up_as_parts_and_come_back(
    modiste, files: tuple[Path, Path], tmp_path: Path
) -> None:
    train, test = files
    pushed = modiste("data", "datasets", "push", "sql", train, f"validation={test}", "--json").json
    assert (pushed["name"], pushed["status"]) == ("sql@1", "READY")
    assert [(f["part"], f["rows"]) for f in pushed["files"]] == [("train", 5), ("validation", 1)]
    assert "sql@1" in modiste("data", "datasets", "list").out
    shown = modiste("data", "datasets", "show", "sql", "--rows", "2").out
    assert "question 1" in shown
    assert "question 2" not in shown

    folder = tmp_path / "back"
    assert modiste("data", "datasets", "pull", "sql@1", "-o", folder).code == 0
    assert (folder / "t.jsonl").read_bytes() == train.read_bytes()
    assert (folder / "v.jsonl").read_bytes() == test.read_bytes()
    again = modiste("data", "datasets", "pull", "sql", "-o", folder)
    assert again.code == 1
    assert "exists already" in again.err

    assert modiste("data", "datasets", "delete", "sql").code == 0
    assert modiste("data", "datasets", "show", "sql").code == 1


def test_pushing_again_makes_the_next_version_and_a_job_takes_either(
    modiste, files: tuple[Path, Path]
) -> None:
    modiste("data", "datasets", "push", "sql", files[0])
    assert modiste("data", "datasets", "push", "sql", *files, "--json").json["name"] == "sql@2"
    create = ["jobs", "create", "--model", "modiste-tiny", "--no-start", "--json"]
    assert modiste(*create, "--dataset", "sql@1").json["dataset"] == "sql@1"
    newest = modiste(*create, "--dataset", "sql").json
    assert newest["dataset"] == "sql@2"
    assert len(newest["training_files"]) == 2
    missing = modiste("data", "datasets", "show", "sql@7")
    assert missing.code == 1
    assert "only sql@2, sql@1" in missing.err


def test_what_a_pipeline_wrote_goes_up_with_its_manifest_and_comes_back_whole(
    modiste, files: tuple[Path, Path], tmp_path: Path
) -> None:
    pipeline = tmp_path / "pipeline.yaml"
    pipeline.write_text("inputs: t.jsonl\nstages: [dedup, {sample: {n: 3}}]\noutput: out\n")
    assert modiste("data", "run", pipeline).code == 0
    pushed = modiste("data", "datasets", "push", "sql", tmp_path / "out", "--json").json
    assert [(f["part"], f["rows"]) for f in pushed["files"]] == [("train", 3), ("sources", None)]
    assert [next(iter(stage)) for stage in pushed["stages"]] == ["dedup", "sample"]
    folder = tmp_path / "back"
    modiste("data", "datasets", "pull", "sql", "-o", folder)
    for name in ("dataset.json", "rows.jsonl.gz"):
        assert (folder / name).is_file()
    assert json.loads((folder / "dataset.json").read_text()) == json.loads(
        (tmp_path / "out" / "dataset.json").read_text()
    )
    assert (folder / "train.jsonl").read_bytes() == (tmp_path / "out" / "data.jsonl").read_bytes()


def test_stages_wait_for_a_worker_and_their_files_go_up_too(
    modiste, files: tuple[Path, Path], tmp_path: Path
) -> None:
    stages = tmp_path / "stages.yaml"
    stages.write_text("- dedup\n- decontaminate: {against: [v.jsonl]}\n")
    result = modiste("data", "datasets", "push", "sql", files[0], "--stages", stages, "--json")
    version = result.json
    assert version["status"] == "QUEUED"
    assert [f["part"] for f in version["inputs"]] == ["train", "against"]
    assert version["stages"][1] == {"decontaminate": {"against": [version["inputs"][1]["file_id"]]}}
    assert "modiste up" in result.err


@pytest.mark.parametrize(
    ("content", "says"),
    [("- dedupe\n", "did you mean dedup"), ("a: [", "not readable as YAML"), ("{}", "a list")],
)
def test_stages_that_cannot_be_run_are_said_before_anything_goes_up(
    modiste, files: tuple[Path, Path], tmp_path: Path, content: str, says: str
) -> None:
    stages = tmp_path / "stages.yaml"
    stages.write_text(content)
    result = modiste("data", "datasets", "push", "sql", files[0], "--stages", stages)
    assert result.code == 2
    assert says in result.err
    assert modiste("files", "list", "--json").json["data"] == []


def test_reports_of_files_are_shown_and_written_as_a_page(
    modiste, files: tuple[Path, Path], tmp_path: Path
) -> None:
    uploaded = modiste("files", "upload", files[0], "--json").json["id"]
    told = modiste("files", "report", uploaded)
    assert told.code == 0
    assert "t.jsonl" in told.out
    page = tmp_path / "report.html"
    assert modiste("files", "report", uploaded, "--html", page).code == 0
    assert page.read_text().startswith("<!doctype html>")
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"messages": [{"role": "bot", "content": "x"}]}\n')
    uploaded = modiste("files", "upload", bad, "--json").json["id"]
    assert modiste("files", "report", uploaded, "--json").code == 1
