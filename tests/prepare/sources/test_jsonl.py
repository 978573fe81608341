from __future__ import annotations

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modiste.prepare.sources import jsonl
from modiste.prepare.sources.jsonl import parse_json, read_rows


def rows(data: bytes):
    return list(read_rows(io.BytesIO(data), file="f.jsonl"))


def problem_of(line: bytes):
    (raw,) = rows(line)
    return parse_json(raw, file="f.jsonl").problem


@given(st.lists(st.dictionaries(st.text(max_size=4), st.integers(0, 9)), min_size=1))
def test_lines_come_back_with_their_numbers_whatever_ends_them(values):
    for end in ("\n", "\r\n"):
        data = end.join(json.dumps(value) for value in values).encode()

        read = rows(data)

        assert [raw.line for raw in read] == list(range(1, len(values) + 1))
        assert [parse_json(raw, file="f").value for raw in read] == values


@given(st.binary())
def test_any_bytes_become_values_or_problems(data):
    for raw in rows(data):
        parsed = parse_json(raw, file="f")
        assert parsed.problem is None or parsed.problem.line == raw.line


def test_a_byte_order_mark_is_no_part_of_the_first_row():
    assert rows(b'\xef\xbb\xbf{"a": 1}\n')[0].text == b'{"a": 1}'


def test_a_line_that_is_not_json_says_where_and_shows_what():
    problem = problem_of(b'{"messages": [}')

    assert (problem.code, problem.line) == ("json_invalid", 1)
    assert "column 15" in problem.message
    assert problem.value == '{"messages": [}'


def test_a_line_that_is_not_utf8_says_which_byte():
    problem = problem_of(b'{"text": "caf\xe9"}')

    assert problem.code == "not_utf8"
    assert problem.message == "byte 14 of the line is not UTF-8 (0xe9)"


@pytest.mark.parametrize("line", [b"{", b"[", b'[{"messages": '])
def test_pretty_printed_json_gets_the_hint_that_helps(line):
    assert "one complete JSON object per line" in problem_of(line).hint


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        ('{"a": 1}\n'.encode("utf-16"), "UTF-16 text"),
        (b"\x1f\x8b\x08\x00", "gzip data"),
        (b"PK\x03\x04", "a zip archive"),
        (b"PAR1\n\n", "a parquet file"),
    ],
)
def test_a_file_of_another_kind_is_one_problem_not_thousands(head, kind):
    (raw,) = rows(head + b"\nmore\nlines\n")

    assert raw.problem.code == "file_not_text"
    assert kind in raw.problem.message


def test_a_line_too_long_to_be_a_row_is_skipped_without_being_read_into_memory(monkeypatch):
    monkeypatch.setattr(jsonl, "MAX_LINE_BYTES", 10)

    first, second, third = rows(b'{"a": 1}\n' + b"x" * 100 + b"\n" + b'{"b": 2}')

    assert second.problem.code == "line_too_long"
    assert (first.problem, third.text, third.line) == (None, b'{"b": 2}', 3)


def test_a_line_of_exactly_the_limit_is_a_row(monkeypatch):
    monkeypatch.setattr(jsonl, "MAX_LINE_BYTES", 8)

    assert [raw.problem for raw in rows(b'{"a": 1}\n{"b": 2}')] == [None, None]
