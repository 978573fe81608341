"""What is left of a query once data and answers are there."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from sqlglot import exp, parse_one

from modiste.sql.local import Reading
from modiste.sql.model_rest import Rest, needs_all, rest_of, whole_limit
from modiste.sql.model_sides import Side

SCHEMA = pa.schema([("t", pa.struct([("id", pa.int64()), ("x", pa.string())]))])


def parsed(text: str) -> exp.Select:
    tree = parse_one(text, dialect="postgres")
    assert isinstance(tree, exp.Select)
    return tree


def left(text: str, *, ordered: bool = True, limited: bool = False) -> Rest:
    reading = Reading(SCHEMA, iter(()), lambda: None)
    side = Side(["t"], reading, ordered, limited, few=False)
    models: Any = []
    return rest_of(parsed(text), side, models, [])


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("SELECT id FROM t", False),
        ("SELECT id, upper(x) FROM t ORDER BY id LIMIT 3", False),
        ("SELECT DISTINCT x FROM t", True),
        ("SELECT x FROM t GROUP BY x", True),
        ("SELECT 1 + count(*) FROM t", True),
        ("SELECT row_number() OVER (ORDER BY id) FROM t", True),
    ],
)
def test_some_rows_are_told_only_when_all_are_there(text: str, whole: bool) -> None:
    assert needs_all(parsed(text)) is whole
    assert left(text).by_piece is not whole


def test_limits_are_counted_by_whoever_asks_piece_by_piece() -> None:
    rest = left("SELECT id FROM t ORDER BY id LIMIT 5 OFFSET 2")
    assert (rest.by_piece, rest.skip, rest.limit) == (True, 2, 5)
    assert rest.tree.sql() == 'SELECT "t".id FROM __answered ORDER BY __row'
    done = left("SELECT id FROM t LIMIT 5 OFFSET 2", limited=True)
    assert (done.by_piece, done.skip, done.limit) == (True, 0, None)
    assert whole_limit(parsed("SELECT id FROM t LIMIT 7")) == 7
    assert whole_limit(parsed("SELECT id FROM t")) is None


@pytest.mark.parametrize(
    "text",
    ["SELECT id FROM t LIMIT 1 + 1", "SELECT id FROM t FETCH FIRST 2 ROWS ONLY",
     "SELECT id FROM t ORDER BY upper(x) LIMIT 2"],
)  # fmt: skip
def test_what_is_not_counted_here_is_left_to_the_engine(text: str) -> None:
    rest = left(text, ordered="ORDER" not in text)
    assert (rest.by_piece, rest.limit if "ORDER" not in text else None) == (False, None)
    assert rest.tree.args.get("limit") is not None
