"""What a training file comes to when it arrives."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modiste import __version__
from modiste.actions.file_checks import Examined, Refused, examine
from modiste.prepare.records import row_id
from modiste.prepare.row_index import RowIndex

CHAT = {"messages": [{"role": "user", "content": "a?"}, {"role": "assistant", "content": "b."}]}
WRONG = {"messages": [{"role": "bot", "content": "a?"}]}


def examined(path: Path, name: str, content: bytes) -> Examined:
    path.write_bytes(content)
    found = examine(path, name)
    assert isinstance(found, Examined), found
    return found


def lines(*rows: Any) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def test_a_readable_file_comes_with_its_report_and_its_rows(tmp_path: Path) -> None:
    found = examined(tmp_path / "upload", "a.jsonl", lines(CHAT, WRONG, CHAT))
    assert (found.n_rows, found.sample_type, found.mimetype) == (3, "instruct", "application/jsonl")
    report = json.loads(found.report)
    assert report["modiste_version"] == __version__
    assert report["ok"] is False
    (file,) = report["files"]
    assert (file["file"], file["rows"]) == ("a.jsonl", 3)
    errors = [(p["line"], p["code"]) for p in file["problems"] if p["severity"] == "error"]
    assert (2, "role_unknown") in errors
    assert {line for line, _ in errors} == {2}
    rows = RowIndex.from_bytes(found.rows)
    assert rows.lines([row_id(CHAT), row_id(WRONG)]) == {row_id(CHAT): [1, 3], row_id(WRONG): [2]}


def test_a_file_whose_lines_are_no_json_is_refused_with_all_of_them(tmp_path: Path) -> None:
    path = tmp_path / "upload"
    path.write_bytes(lines(CHAT) + b"{\n\n" + lines(WRONG) + b"nonsense\n")
    found = examine(path, "a.jsonl")
    assert isinstance(found, Refused)
    assert found.what == "JSONL"
    assert [problem.line for problem in found.problems] == [2, 5]


@pytest.mark.parametrize("content", [b"", b"\n\n", b"\xef\xbb\xbf"])
def test_a_file_without_rows_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "upload"
    path.write_bytes(content)
    found = examine(path, "a.jsonl")
    assert isinstance(found, Refused)
    assert "no rows" in found.problems[0].message


def test_rows_are_read_out_of_any_container(tmp_path: Path) -> None:
    listed = examined(tmp_path / "1", "a.json", json.dumps([CHAT, CHAT]).encode())
    assert (listed.n_rows, listed.mimetype) == (2, "application/json")
    packed = examined(tmp_path / "2", "a.jsonl.gz", gzip.compress(lines(CHAT)))
    assert packed.n_rows == 1
    table = b"question,answer\nWhat?,That.\nWho?,She.\n"
    assert examined(tmp_path / "3", "a.csv", table).n_rows == 2


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.json.gz"])
def test_a_torn_archive_is_refused_not_stored_in_part(tmp_path: Path, name: str) -> None:
    path = tmp_path / "upload"
    path.write_bytes(gzip.compress(lines(*[CHAT] * 1000))[:-40])
    assert isinstance(examine(path, name), Refused)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200), st.sampled_from(["a.jsonl", "a.json", "a.csv", "a.parquet", "a"]))
def test_whatever_the_bytes_there_is_an_answer(tmp_path: Path, content: bytes, name: str) -> None:
    path = tmp_path / "upload"
    path.write_bytes(content)
    found = examine(path, name)
    if isinstance(found, Refused):
        assert found.problems
    else:
        assert len(RowIndex.from_bytes(found.rows)) == found.n_rows
