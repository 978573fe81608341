"""Files repaired in place."""

import json
import os
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modiste.errors import InvalidInput
from modiste.prepare.fix import fix_file

GOOD = b'{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}'
BENT = (
    b'{"interactions":[{"role":"human","text":"a"},{"role":"gpt","text":"b"},'
    b'{"role":"user","text":"c"}]}'
)
BROKEN = b'{"messages": [{"role": "user"'


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "train.jsonl"


def fix(path: Path, **more: Any) -> Any:
    return fix_file(path, filename=path.name, **more)


def test_only_rows_that_change_are_written_anew(file: Path) -> None:
    file.write_bytes(b"\r\n".join([GOOD, b"", BENT, BROKEN, GOOD]))
    report = fix(file)
    lines = file.read_bytes().split(b"\r\n")
    assert [lines[0], lines[1], lines[3], lines[4]] == [GOOD, b"", BROKEN, GOOD]
    assert json.loads(lines[2]) == json.loads(GOOD)
    assert (report.n_rows, report.n_changed) == (4, 1)
    assert {line for line, _ in report.changes} == {3}
    assert report.counts == {"alias_renamed": 4, "role_renamed": 2, "trailing_turn_dropped": 1}


def test_a_value_of_any_depth_is_told_in_part(file: Path) -> None:
    deep = b'{"role": ' + b'{"a": [' * 400 + b"1" + b"]}" * 400 + b"}"
    file.write_bytes(GOOD[:-2] + b', {"role": "tool", "content": "", "x": ' + deep + b"}]}")
    report = fix(file).to_json()
    assert report["changed_rows"] == 1
    assert "…" in json.dumps(report["changes"], ensure_ascii=False)


def test_a_number_of_any_length_is_told(file: Path) -> None:
    row = b'{"messages": [{"role": "human", "content": "a", "tool_calls": [1' + b"0" * 90
    file.write_bytes(row + b']}, {"role": "assistant", "content": "b"}, {"role": 9' + b"9" * 90)
    file.write_bytes(file.read_bytes() + b', "content": ""}]}')
    orjson.dumps(fix(file).to_json())


def test_the_old_file_is_kept_and_no_backup_is_ever_overwritten(file: Path) -> None:
    (file.parent / "train.jsonl.bak").write_text("precious")
    file.write_bytes(BENT)
    report = fix(file)
    assert report.backup == file.parent / "train.jsonl.bak.1"
    assert report.backup.read_bytes() == BENT
    assert (file.parent / "train.jsonl.bak").read_text() == "precious"
    assert sorted(p.name for p in file.parent.iterdir()) == [
        "train.jsonl", "train.jsonl.bak", "train.jsonl.bak.1",
    ]  # fmt: skip


def test_a_file_without_faults_is_not_touched(file: Path) -> None:
    file.write_bytes(GOOD + b"\n")
    before = file.stat()
    report = fix(file)
    assert (report.changed, report.backup) == (False, None)
    assert file.stat().st_mtime_ns == before.st_mtime_ns
    assert os.listdir(file.parent) == ["train.jsonl"]


def test_repairing_twice_writes_once(file: Path) -> None:
    file.write_bytes(BENT + b"\n" + BENT)
    fix(file)
    once = file.read_bytes()
    assert fix(file).backup is None
    assert file.read_bytes() == once


def test_a_dry_run_tells_the_same_and_writes_nothing(file: Path) -> None:
    file.write_bytes(BENT)
    told = fix(file, dry_run=True)
    assert file.read_bytes() == BENT
    done = fix(file)
    assert told.diff == done.diff
    assert told.to_json() | {"backup": None} == done.to_json() | {"backup": None}


def test_the_diff_shows_what_changes_and_no_secret(file: Path) -> None:
    secret = "gh" + "p_x7Kp2mQ9vL4tR8wZ1nB6cY3dF5gH0jS7aU2e"
    row = {
        "messages": [{"role": "human", "content": "hi"}, {"role": "gpt", "text": f"use {secret}"}]
    }
    file.write_text(json.dumps(row))
    report = fix(file)
    assert report.diff[0] == "--- train.jsonl line 1"
    assert '-   "role": "human",' in report.diff
    assert '+   "role": "user",' in report.diff
    shown = json.dumps(report.to_json())
    assert "ghp_…2e" in "".join(report.diff)
    assert secret not in shown
    assert secret in file.read_text()


def test_a_byte_order_mark_half_surrogates_and_long_numbers_survive(file: Path) -> None:
    number = "123456789012345678901234567890"
    file.write_bytes(b"\xef\xbb\xbf" + BENT[:-1] + b',"n":' + number.encode() + b',"h":"\\u00e9"}')
    fix(file)
    text = file.read_bytes()
    assert text.startswith(b"\xef\xbb\xbf{")
    # orjson reads such a number as a float; the file keeps its digits.
    assert number.encode() in text


def test_a_row_with_a_key_twice_is_left_for_a_person(file: Path) -> None:
    twice = BENT[:-1] + b',"note":1,"note":2}'
    file.write_bytes(twice)
    assert not fix(file).changed


def test_a_line_too_long_to_be_a_row_passes_through(file: Path) -> None:
    long = b'{"messages": "' + b"x" * (17 * 1024 * 1024) + b'"}'
    file.write_bytes(b"\n".join([BENT, long, BENT]))
    report = fix(file)
    lines = file.read_bytes().split(b"\n")
    assert lines[1] == long
    assert (report.n_rows, report.n_changed) == (3, 2)
    assert fix(file, drop=frozenset({2})).dropped == [2]
    assert len(file.read_bytes()) < 1000


def test_lines_to_drop_are_left_out_and_named(file: Path) -> None:
    file.write_bytes(b"\n".join([GOOD, BROKEN, GOOD]))
    report = fix(file, drop=frozenset({2}))
    assert file.read_bytes() == b"\n".join([GOOD, GOOD])
    assert report.dropped == [2]


@pytest.mark.parametrize("head", [b"PAR1xxxx", b"\x1f\x8b\x08", b"[{}]", b"\xff\xfe{"])
def test_other_containers_are_refused_with_the_way_out(file: Path, head: bytes) -> None:
    file.write_bytes(head)
    with pytest.raises(InvalidInput, match="modiste data convert"):
        fix(file)
    assert file.read_bytes() == head


def test_a_file_that_is_not_there_says_so(file: Path) -> None:
    with pytest.raises(InvalidInput, match="cannot be repaired"):
        fix(file)


def test_permissions_are_kept(file: Path) -> None:
    file.write_bytes(BENT)
    file.chmod(0o640)
    fix(file)
    assert file.stat().st_mode & 0o777 == 0o640


LINES = st.lists(
    st.sampled_from([GOOD, BENT, BROKEN, b"", b"\xff\x00", b"[" * 2000, b"{}"]), max_size=6
)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(LINES, st.sampled_from([b"\n", b"\r\n"]), st.booleans())
def test_any_bytes_keep_their_lines(
    file: Path, lines: list[bytes], end: bytes, closed: bool
) -> None:
    file.write_bytes(b"\n" + end.join(lines) + (end if closed else b""))
    before = file.read_bytes()
    report = fix(file)
    after = file.read_bytes()
    assert after.count(b"\n") == before.count(b"\n")
    assert report.changed == (BENT in lines) == (after != before)
