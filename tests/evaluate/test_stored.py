"""A run as a folder."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from kept_runs import folder
from scripted_runs import run, shares

from modiste.errors import InvalidInput
from modiste.evaluate import stored


def test_what_is_written_is_read_again_whole(tmp_path: Path) -> None:
    one = run("a", {"exact": [*shares(20, 10), None]})
    again = stored.read(folder(tmp_path / "a", one))
    assert again.record == one.record
    assert again.metrics == tuple(one.metrics)
    assert list(again.samples) == list(one.samples)


def test_a_run_that_lost_samples_is_refused(tmp_path: Path) -> None:
    at = folder(tmp_path / "a", run("a", {"exact": shares(20, 10)}))
    lines = (at / "samples.jsonl").read_text().splitlines()
    (at / "samples.jsonl").write_text("\n".join(lines[:-3]))
    with pytest.raises(InvalidInput, match="has 17 samples; 20 items"):
        stored.read(at)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("run.json", None, r"run\.json: No such file.*modiste eval export"),
        ("run.json", "{", "is no JSON"),
        ("run.json", '{"status": "RUNNING", "record": null}', "status is RUNNING"),
        ("samples.jsonl", '{"strange": 1}', "not a run as this version writes it"),
    ],
)
def test_what_is_no_run_says_why(tmp_path: Path, name: str, content: str | None, says: str) -> None:
    at = folder(tmp_path / "a", run("a", {"exact": shares(20, 10)}))
    (at / name).unlink() if content is None else (at / name).write_text(content)
    with pytest.raises(InvalidInput, match=says):
        stored.read(at)


def test_a_folder_that_holds_something_is_not_written_into(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InvalidInput, match="not empty"):
        stored.write(tmp_path, json.loads("{}"), [])
