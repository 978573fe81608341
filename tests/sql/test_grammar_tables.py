"""Statements that write into databases, as they are read."""

import pytest

from modiste.sql.errors import SqlError
from modiste.sql.grammar import statements
from modiste.sql.statements import CreateTable, Insert, Select


def read(text: str, *parameters: object) -> Insert | CreateTable:
    (found,) = statements(text, "mysql", parameters)
    assert isinstance(found, (Insert, CreateTable))
    return found


@pytest.mark.parametrize(
    ("text", "name", "query"),
    [
        ("INSERT INTO a.b SELECT 1", ("a", "b"), "SELECT 1"),
        ("INSERT INTO a.b (x, y) (SELECT 1, 2)", ("a", "b"), "SELECT 1, 2"),
        ("INSERT INTO a.b (SELECT 1) UNION (SELECT 2)", ("a", "b"), "(SELECT 1) UNION (SELECT 2)"),
        ("INSERT INTO a.b VALUES (1), (2)", ("a", "b"), "VALUES (1), (2)"),
        ("CREATE OR REPLACE TABLE a.b.c (SELECT 1)", ("a", "b", "c"), "SELECT 1"),
        ("CREATE TABLE IF NOT EXISTS a.b AS SELECT 1", ("a", "b"), "SELECT 1"),
    ],
)  # fmt: skip
def test_the_query_is_read_with_the_statement(text: str, name: tuple[str, ...], query: str) -> None:
    found = read(text)
    asked = found.query if isinstance(found, Insert) else found.of
    assert isinstance(asked, Select)
    assert (found.name, asked.tree.sql("duckdb")) == (name, query)


def test_parameters_and_using_stand_in_the_query_too() -> None:
    found = read(
        "INSERT INTO a.b (x) (SELECT ? FROM m WHERE q = ? USING max_tokens = ?)", "s", 2, 3
    )
    assert isinstance(found, Insert)
    assert found.query.tree.sql("duckdb") == "SELECT 's' FROM m WHERE q = 2"
    assert (found.columns, found.query.using) == (("x",), {"max_tokens": 3})


def test_columns_of_a_new_table_are_plain() -> None:
    found = read("CREATE TABLE a.t (id int NOT NULL, x varchar(9) DEFAULT 'y', PRIMARY KEY (id))")
    assert isinstance(found, CreateTable)
    assert found.of.sql("postgres") == (
        "t (id INT NOT NULL, x VARCHAR(9) DEFAULT 'y', PRIMARY KEY (id))"
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("CREATE TABLE a.t (x int DEFAULT (SELECT 1))", "is not passed on"),
        ("CREATE TABLE a.t (x int REFERENCES u (y))", "is not passed on"),
        ("CREATE TABLE a.t (x int, CHECK (x > 1))", "is no column with a type"),
        ("CREATE TABLE a.t (x)", "is no column with a type"),
        ("CREATE TABLE a.t", "expected a query"),
        ("INSERT INTO a.t", "expected a query"),
        ("INSERT INTO a.t (x, x) SELECT 1, 2", "named twice"),
    ],
)
def test_what_cannot_be_is_told(text: str, told: str) -> None:
    with pytest.raises(SqlError, match=told):
        read(text)
