"""An index of rows tells what a file holds, and where, for any file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modiste.errors import Corrupt
from modiste.prepare.records import row_id
from modiste.prepare.row_index import Building, RowIndex, index_file, is_row_id

VALUES = st.lists(st.dictionaries(st.sampled_from("abc"), st.integers(0, 5)), max_size=40)


def built(values: list[dict[str, int]]) -> RowIndex:
    building = Building()
    for line, value in enumerate(values, start=1):
        building.add(value, line)
    return RowIndex.from_bytes(building.done().to_bytes())


@given(VALUES)
def test_every_row_is_found_in_all_its_lines_and_no_other(values: list[dict[str, int]]) -> None:
    index = built(values)
    expected: dict[str, list[int]] = {}
    for line, value in enumerate(values, start=1):
        expected.setdefault(row_id(value), []).append(line)
    assert index.lines([*expected, "0" * 32]) == expected
    assert len(index) == len(values)


@given(VALUES, st.integers(0, 45), st.integers(1, 10))
def test_rows_come_in_the_order_of_lines_page_by_page(
    values: list[dict[str, int]], after: int, limit: int
) -> None:
    expected = [(row_id(value), line) for line, value in enumerate(values, start=1)]
    assert built(values).rows() == expected
    assert built(values).rows(after_line=after, limit=limit) == expected[after : after + limit]


@given(VALUES)
def test_lines_tell_their_rows(values: list[dict[str, int]]) -> None:
    every_other = range(1, len(values) + 3, 2)
    found = built(values).ids_at(every_other)
    assert found == {n: row_id(values[n - 1]) for n in every_other if n <= len(values)}


def test_a_file_is_indexed_with_its_bad_rows_but_not_with_what_is_no_json(tmp_path: Path) -> None:
    chat = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}
    bad = {"messages": [{"role": "bot", "content": "a"}]}
    path = tmp_path / "a.jsonl"
    path.write_text(f"{json.dumps(chat)}\n\n{{broken\n{json.dumps(bad)}\n{json.dumps(chat)}\n")
    index = index_file(path, filename="a.jsonl")
    assert index.lines([row_id(chat), row_id(bad)]) == {row_id(chat): [1, 5], row_id(bad): [4]}


def test_the_same_row_has_the_same_id_whatever_the_order_of_its_keys() -> None:
    assert row_id({"a": 1, "b": {"c": 2, "d": 3}}) == row_id({"b": {"d": 3, "c": 2}, "a": 1})


@pytest.mark.parametrize("content", [b"", b"MODROWS1x", b"something else"])
def test_bytes_that_are_no_index_are_refused(content: bytes) -> None:
    with pytest.raises(Corrupt):
        RowIndex.from_bytes(content)


def test_an_id_is_32_hex_digits() -> None:
    assert is_row_id(row_id({}))
    assert not is_row_id("f" * 31)
    assert not is_row_id("F" * 32)
