"""CSV and TSV as rows: strict about quotes and cells, because lenient reading shifts rows."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modiste.prepare.sources import table
from modiste.prepare.sources.document import Item
from modiste.prepare.sources.table import read_table


def items(data: str | bytes, delimiter: str | None = None) -> list[Item]:
    raw = data.encode() if isinstance(data, str) else data
    return list(read_table(io.BytesIO(raw), file="rows.csv", delimiter=delimiter))


def values(data: str | bytes) -> list[Any]:
    found = items(data)
    assert [item.problem for item in found if item.problem] == []
    return [item.value for item in found]


def problems(data: str | bytes) -> list[tuple[int, str]]:
    return [(item.line, item.problem.code) for item in items(data) if item.problem]


def test_records_are_objects_by_the_names_of_the_first_line() -> None:
    assert values("a,b\n1,x\n2,y\n") == [{"a": "1", "b": "x"}, {"a": "2", "b": "y"}]


def test_a_record_over_several_lines_knows_its_first() -> None:
    found = items('a,b\r\n1,"x\r\ny"\r\n\r\n2,"say ""hi"""\r\n')
    assert [(item.line, item.value["b"]) for item in found] == [(2, "x\r\ny"), (5, 'say "hi"')]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_first_line_tells_the_delimiter(delimiter: str) -> None:
    assert values(f"a{delimiter}b\n1{delimiter}2\n") == [{"a": "1", "b": "2"}]


def test_a_byte_order_mark_is_no_part_of_a_name() -> None:
    assert values(b"\xef\xbb\xbfa,b\n1,2\n") == [{"a": "1", "b": "2"}]


def test_line_ends_of_old_macs_are_line_ends() -> None:
    assert values("a,b\r1,2\r3,4\r") == [{"a": "1", "b": "2"}, {"a": "3", "b": "4"}]


def test_an_index_column_without_a_name_is_left_out() -> None:
    assert values(",a\n0,x\n1,y\n") == [{"a": "x"}, {"a": "y"}]


def test_json_in_cells_of_structured_columns_is_read() -> None:
    text = 'messages,note\n"[{""role"": ""user""}]","[1]"\n'
    assert values(text) == [{"messages": [{"role": "user"}], "note": "[1]"}]


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ("a,b\n1\n2,3\n", [(2, "csv_cells")]),
        ("a,b\n1,2,3\n", [(2, "csv_cells")]),
        ('a,b\n1,"x\n2,y\n', [(2, "csv_quote_open")]),
        ('a,b\n1,"x"y\n2,y\n', [(2, "csv_invalid")]),
        (b"a,b\n1,\xe9\n2,y\n", [(2, "not_utf8")]),
        ("a,a\n1,2\n", [(1, "csv_header")]),
        ("a,\n1,2\n", [(1, "csv_header")]),
        ("a,b\n1,2\n".encode("utf-16"), [(1, "file_not_text")]),
    ],
)
def test_what_is_wrong_is_told_with_its_line(
    data: str | bytes, told: list[tuple[int, str]]
) -> None:
    assert problems(data) == told


def test_rows_around_a_bad_one_stand() -> None:
    assert [item.value for item in items("a,b\n1,2\n3\n4,5\n") if not item.problem] == [
        {"a": "1", "b": "2"},
        {"a": "4", "b": "5"},
    ]


def test_a_cell_that_is_too_long_ends_the_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "MAX_LINE_BYTES", 1000)
    assert problems("a,b\n1,2\n1," + "x" * 5000 + "\n3,4\n") == [(3, "line_too_long")]
    assert problems('a,b\n1,2\n1,"' + "x\n" * 5000 + '"\n3,4\n') == [(3, "line_too_long")]
    assert problems("x" * 5000) == [(1, "line_too_long")]


@pytest.mark.parametrize("text", ["", "a,b", "a,b\n", "\n"])
def test_a_header_alone_holds_no_rows(text: str) -> None:
    assert [item for item in items(text) if item.problem is None] == []


cells = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(cells, cells), min_size=1, max_size=6), st.sampled_from([",", "\t"]))
def test_what_csv_writes_is_read_as_it_was(rows: list[tuple[str, str]], delimiter: str) -> None:
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter, quoting=csv.QUOTE_ALL)
    writer.writerow(["a", "b"])
    writer.writerows(rows)
    found = items(out.getvalue(), delimiter)
    assert [(item.value["a"], item.value["b"]) for item in found] == rows


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=100) | st.text('",a\n\r;\\\0', max_size=60).map(str.encode))
def test_any_bytes_end_in_items_with_value_or_problem(data: bytes) -> None:
    for item in items(data):
        assert isinstance(item.value, dict) or (item.problem is not None and item.problem.code)
