from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from modiste.errors import InvalidInput
from modiste.prepare.curate.rows import read_rows
from modiste.prepare.curate.stage import Corpus

Rows = Callable[..., Corpus]
Chat = Callable[..., dict[str, Any]]


def test_rows_become_numbers_that_know_where_they_stood(corpus: Rows, chat: Chat) -> None:
    one = corpus([chat("a", user="x"), chat("b", user="x")], "one.jsonl")
    two = corpus([chat("a", user="y")], "two.jsonl")
    rows = read_rows([one, two], fields=["prompt", "user"])
    assert rows.columns[0][0] == rows.columns[0][2] != rows.columns[0][1]
    assert rows.columns[1][0] == rows.columns[1][1] != rows.columns[1][2]
    assert [rows.where(at) for at in range(3)] == [
        "one.jsonl line 1",
        "one.jsonl line 2",
        "two.jsonl line 1",
    ]


def test_two_fields_with_the_same_value_are_two_numbers(corpus: Rows, chat: Chat) -> None:
    rows = read_rows([corpus([chat("a", user="x", team="x")])], fields=["user", "team"])
    assert rows.columns[0][0] != rows.columns[1][0]


def test_a_row_has_every_class_it_names(corpus: Rows, chat: Chat) -> None:
    rows = read_rows(
        [corpus([chat("a", tags=["s", "t"]), chat("b", tags="t")])], fields=(), classes="tags"
    )
    assert rows.class_names == ("s", "t")
    assert list(zip(rows.class_rows, rows.class_indexes, strict=True)) == [(0, 0), (0, 1), (1, 1)]
    assert rows.kinds.tolist() == [0, 1]


def test_rows_without_a_class_and_fields_that_no_row_has_are_refused_together(
    corpus: Rows, chat: Chat
) -> None:
    source = corpus([chat("a", label="x"), chat("b"), chat("c")])
    with pytest.raises(InvalidInput) as caught:
        read_rows([source], fields=["user"], classes="label")
    said = caught.value.message
    assert "'user' is in no row" in said
    assert "'label' is missing in rows.jsonl line 2, rows.jsonl line 3" in said


def test_rows_that_lack_a_field_are_alone_and_named(corpus: Rows, chat: Chat) -> None:
    rows = read_rows([corpus([chat("a", user="x"), chat("b"), chat("c")])], fields=["user"])
    assert len(set(rows.columns[0].tolist())) == 3
    assert rows.lacking == ("'user' is missing in rows.jsonl line 2, rows.jsonl line 3",)


def test_no_fields_leave_the_content_itself(corpus: Rows, chat: Chat) -> None:
    rows = read_rows([corpus([chat("a"), chat("a"), chat("b")])], fields=())
    assert rows.columns[0][0] == rows.columns[0][1] != rows.columns[0][2]
