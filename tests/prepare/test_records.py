"""Rows as curation handles them: known by content, as they stood in the file, never half read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modiste.errors import InvalidInput
from modiste.prepare.records import answer_text, prompt_text, records, row_id

CHAT = {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}


@given(st.dictionaries(st.text(max_size=5), st.integers(-9, 9), min_size=1))
def test_the_order_of_keys_does_not_change_the_id(row: dict[str, Any]) -> None:
    assert row_id(row) == row_id(dict(reversed(row.items())))


def test_another_value_has_another_id() -> None:
    assert row_id({"text": "a"}) != row_id({"text": "b"})
    assert row_id({"text": "a"}) != row_id({"text": "a", "x": None})
    assert len(row_id({})) == 32


def test_records_are_the_rows_byte_for_byte(tmp_path: Path) -> None:
    line = b'{"messages":  ' + json.dumps(CHAT["messages"]).encode() + b', "id": 1.0}'
    path = tmp_path / "f"
    path.write_bytes(b"\n" + line + b"\n")
    [record] = records(path, filename="train.jsonl")
    assert (record.file, record.line, record.raw) == ("train.jsonl", 2, line)
    assert record.id == row_id(record.value)


def test_a_file_with_rows_that_cannot_be_read_ends_in_all_their_problems(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_text(f"{{broken\n{json.dumps(CHAT)}\n[]\n")
    found = records(path, filename="train.jsonl")
    assert next(found).line == 2
    with pytest.raises(InvalidInput) as told:
        next(found)
    assert [problem.line for problem in told.value.problems] == [1, 3]
    assert "modiste data check train.jsonl" in told.value.message


def test_what_is_asked_and_what_is_answered_are_told_apart(tmp_path: Path) -> None:
    call = {"id": "abcdefghi", "function": {"name": "f", "arguments": '{"a": 1}'}}
    messages = [
        {"role": "system", "content": "s"},
        {"role": "user", "content": "q"},
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "content": "1", "tool_call_id": "abcdefghi"},
        {"role": "assistant", "content": "a"},
    ]
    path = tmp_path / "f"
    path.write_text(json.dumps({"messages": messages}))
    [record] = records(path, filename="f")
    assert prompt_text(record.example) == "s\nq"
    assert answer_text(record.example) == 'f {"a": 1}\na'


def test_the_text_of_plain_rows_is_what_is_asked(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_text('{"text": "t"}')
    [record] = records(path, filename="f")
    assert (prompt_text(record.example), answer_text(record.example)) == ("t", "")
