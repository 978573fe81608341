"""What is ours in a query is cut out; sqlglot sees the rest."""

import datetime

import pytest

from modiste.sql.errors import SqlError
from modiste.sql.grammar import statements
from modiste.sql.grammar_query import literal
from modiste.sql.statements import Raw, Select


def read(text: str, *bound: object, dialect: str = "mysql") -> Select:
    (said,) = statements(text, dialect, bound)  # type: ignore[arg-type]
    assert isinstance(said, Select)
    return said


def test_versions_using_and_raw_queries_are_cut_out() -> None:
    said = read(
        "SELECT answer FROM pg (select ')' from x) AS t JOIN mindsdb.m.2 AS a JOIN o USING (id) "
        "LIMIT 3 USING a.max_tokens = 5, temperature=0"
    )
    assert said.raws == {"__raw_0": Raw("pg", "select ')' from x")}
    assert said.using == {"a.max_tokens": 5, "temperature": 0}
    assert said.tree.sql("mysql") == (
        "SELECT answer FROM __raw_0 AS t, mindsdb.m.`2` AS a JOIN o USING (id) LIMIT 3"
    )


def test_using_may_stand_before_limit() -> None:
    said = read("SELECT a FROM m.1 WHERE c = 'x' USING n = 1 LIMIT 2")
    assert said.using == {"n": 1}
    assert said.tree.sql("mysql") == "SELECT a FROM m.`1` WHERE c = 'x' LIMIT 2"


@pytest.mark.parametrize(
    ("dialect", "text"),
    [("mysql", "SELECT ? FROM t WHERE a = ? USING k = ? LIMIT ?"),
     ("postgres", "SELECT $1 FROM t WHERE a = $2 USING k = $3 LIMIT $4")],
)  # fmt: skip
def test_bound_values_become_literals_whatever_is_in_them(dialect: str, text: str) -> None:
    said = read(text, 1, "x' OR role='inj", None, 7, dialect=dialect)
    assert said.tree.sql("postgres") == "SELECT 1 FROM t WHERE a = 'x'' OR role=''inj' LIMIT 7"
    assert said.using == {"k": None}


def test_values_of_every_kind_have_a_literal() -> None:
    told = [None, True, -2, 1.5, "a'b", b"\x01", datetime.date(2026, 1, 2)]
    assert [literal(value).sql("mysql") for value in told] == [
        "NULL", "TRUE", "-2", "1.5", "'a''b'", "x'01'", "'2026-01-02'",
    ]  # fmt: skip


def test_columns_are_remembered_as_they_were_written() -> None:
    assert read("SELECT count(*), a AS b, upper( x ) FROM t").spelled == (
        "count(*)", "a AS b", "upper( x )",
    )  # fmt: skip


def test_a_slip_in_a_query_is_told_with_its_place() -> None:
    with pytest.raises(SqlError, match=r"line 3, column 1\)"):
        read("SELECT a\nFROM t\nWHERE")
