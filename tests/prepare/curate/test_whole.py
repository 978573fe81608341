from __future__ import annotations

import fcntl
from pathlib import Path

import pytest

from modiste.errors import InvalidInput
from modiste.prepare.curate.whole import replacing, write_json


def test_a_block_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text("old")

    def fail() -> None:
        with replacing(path) as stream:
            stream.write(b"new")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_killed_writer_left_goes_away_and_what_a_living_one_writes_stays(
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.json"
    (tmp_path / ".a.json.1.tmp").write_text("half")
    living = tmp_path / ".a.json.2.tmp"
    with living.open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        with replacing(path) as ours:
            ours.write(b"whole")
    assert path.read_text() == "whole"
    assert sorted(p.name for p in tmp_path.iterdir()) == [living.name, path.name]


def test_a_place_where_no_file_can_be_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "file" / "a.json", tmp_path / "folder", tmp_path / ("x" * 300)):
        with pytest.raises(InvalidInput, match="cannot be written"):
            write_json({}, path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder"]
