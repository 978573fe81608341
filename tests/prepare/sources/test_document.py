"""One JSON document as rows: lists, objects that hold one, columns, objects back to back."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modiste.prepare.sources import document, json_window
from modiste.prepare.sources.document import Item, read_document
from modiste.types import Severity


def items(text: str | bytes) -> list[Item]:
    data = text.encode() if isinstance(text, str) else text
    return list(read_document(io.BytesIO(data), file="rows.json"))


def values(text: str | bytes) -> list[Any]:
    found = items(text)
    assert [item.problem for item in found if item.problem] == []
    return [item.value for item in found]


def problems(text: str | bytes) -> list[tuple[int, str]]:
    return [(item.line, item.problem.code) for item in items(text) if item.problem]


def test_each_row_of_a_list_knows_its_line() -> None:
    found = items('[\n {"a": 1},\n\n {"a":\n  2}\n]\n')
    assert [(item.line, item.value) for item in found] == [(2, {"a": 1}), (4, {"a": 2})]


def test_a_row_over_several_lines_is_written_on_one() -> None:
    [item] = items('[{"a":\r\n  "x\\ny",\n  "b": [1,\n 2]}]')
    assert b"\n" not in item.raw
    assert b"\r" not in item.raw
    assert json.loads(item.raw) == item.value == {"a": "x\ny", "b": [1, 2]}


def test_brackets_inside_strings_are_text() -> None:
    assert values('[{"a": "]}[{\\"\\\\"}, {"b": "\\\\"}]') == [{"a": ']}[{"\\'}, {"b": "\\"}]


@pytest.mark.parametrize("text", ["[]", " [ ] ", ""])
def test_no_rows_are_no_rows(text: str) -> None:
    assert values(text) == []


def test_an_object_may_hold_the_list_of_rows_and_says_what_stands_beside_it() -> None:
    found = items('{"version": 1, "tags": ["x"],\n"data": [{"a": 1},\n{"a": 2}], "end": null}')
    assert [(item.line, item.value) for item in found[:-1]] == [(2, {"a": 1}), (3, {"a": 2})]
    last = found[-1].problem
    assert last is not None
    assert last.severity is Severity.WARNING
    assert "version, tags, end" in last.message


def test_two_lists_of_rows_are_not_mixed() -> None:
    assert problems('{"train": [{"a": 1}], "test": [{"a": 2}]}') == [(1, "several_lists")]


@pytest.mark.parametrize(
    "text",
    [
        '{"q": ["a", "b"], "n": [1, 2]}',
        '{"q": {"0": "a", "1": "b"}, "n": {"0": 1, "1": 2}}',
    ],
)
def test_columns_become_rows(text: str) -> None:
    assert values(text) == [{"q": "a", "n": 1}, {"q": "b", "n": 2}]


@pytest.mark.parametrize(
    "row",
    [
        {"messages": [{"role": "user", "content": "q"}], "tools": [{"name": "f"}]},
        {"conversations": [{"from": "human", "value": "q"}]},
        {"text": "t", "label": "l", "slots": [{"entity": "e"}]},
        {"instruction": "i", "instances": [{"output": "o"}]},
    ],
)
def test_an_object_that_is_a_row_is_one(row: dict[str, Any]) -> None:
    assert values(json.dumps(row, indent=2)) == [row]


def test_objects_back_to_back_are_rows() -> None:
    found = items('{"a":\n1}\n{"a": 2}{"a": 3}')
    assert [(item.line, item.value["a"]) for item in found] == [(1, 1), (3, 2), (3, 3)]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[", [(1, "json_truncated")]),
        ('[{"a": 1},\n{"a": 2}', [(2, "json_truncated")]),
        ('[{"a": 1},', [(1, "json_truncated")]),
        ('[{"a": 1},\n{"a": "x', [(2, "json_truncated")]),
        ('[{"a": 1},]', [(1, "json_invalid")]),
        ('[{"a": 1} {"a": 2}]', [(1, "json_invalid")]),
        ('[{"a": 1}]\n[{"a": 2}]', [(2, "json_invalid")]),
        ('[{"a": 1},\n{"a" 2},\n{"a": 3}]', [(2, "json_invalid")]),
        ("nonsense", [(1, "json_invalid")]),
        ('{"a": 1}\nnonsense', [(2, "json_invalid")]),
    ],
)
def test_what_is_broken_is_told_where_it_breaks(text: str, told: list[tuple[int, str]]) -> None:
    assert problems(text) == told


def test_rows_before_a_break_stand() -> None:
    assert [item.value for item in items('[{"a": 1}, {"a":')][:1] == [{"a": 1}]


def test_a_row_that_is_too_long_ends_the_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(document, "MAX_LINE_BYTES", 1000)
    monkeypatch.setattr(json_window, "CHUNK_BYTES", 100)
    text = '[{"a": 1},\n{"a": "' + "x" * 5000 + '"},\n{"a": 2}]'
    assert problems(text) == [(2, "line_too_long")]


def test_an_object_too_large_to_hold_is_streamed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(document, "MAX_WHOLE_BYTES", 1000)
    monkeypatch.setattr(json_window, "CHUNK_BYTES", 64)
    rows = [{"n": n, "text": "x" * 50} for n in range(100)]
    found = items(json.dumps({"tags": ["a"], "data": rows}))
    assert [item.value for item in found[:-1]] == rows


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.dictionaries(st.text(max_size=4), json_values, max_size=3), max_size=6),
    st.sampled_from([None, 1]),
    st.sampled_from([3, 7, 64]),
)
def test_a_list_reads_as_json_reads_it_whatever_the_chunks(
    rows: list[Any], indent: int | None, chunk: int
) -> None:
    whole, json_window.CHUNK_BYTES = json_window.CHUNK_BYTES, chunk
    try:
        assert values(json.dumps(rows, indent=indent, ensure_ascii=False)) == rows
    finally:
        json_window.CHUNK_BYTES = whole


@settings(max_examples=200, deadline=None)
@given(
    st.binary(max_size=80)
    | st.text('[]{},:"\\ a1\n', max_size=60).map(str.encode)
    | st.text('[]{},:"\\ a1\n', max_size=60).map(lambda text: b'[{"a":1},' + text.encode())
)
def test_any_bytes_end_in_items_with_value_or_problem(data: bytes) -> None:
    for item in items(data):
        assert item.line >= 1
        assert item.problem is None or item.problem.code


def test_rows_of_a_list_on_one_line_are_told_apart_by_their_numbers():
    def lines(text: bytes) -> list[int]:
        return [found.line for found in read_document(io.BytesIO(text), file="f")]

    assert lines(b'[{"a": 1}, {"a": 2}, {"a": 3}]') == [1, 2, 3]
    assert lines(b'[\n{"a": 1},\n{"a": 2}\n]') == [2, 3]
    assert lines(b'[{"a": 1}]') == [1]
    assert lines(b'{"rows": [{"a": 1}, {"a": 2}]}') == [1, 2]
    assert lines(b'[{"a": 1}, {"a": ') == [1, 1]
    assert lines(b'[{"a": 1}, {"a": 2}, {"a": ') == [1, 2, 3]
