"""Names and columns in the words of each database."""

from modiste.sql import sink
from modiste.sql.result import Column


def test_names_are_quoted_whatever_is_in_them() -> None:
    assert sink.dotted(("a b", 'c"d')) == '"a b"."c""d"'
    assert sink.dotted(("a`b",), sink.ticked) == "`a``b`"


def test_a_table_is_made_for_the_columns_of_a_query() -> None:
    columns = [Column("n", "integer"), Column('x"y', "json")]
    told = {engine: sink.made_for(columns, engine)("T") for engine in sink.TYPES}
    assert told == {
        "postgres": 'CREATE TABLE T ("n" bigint, "x""y" jsonb)',
        "mysql": 'CREATE TABLE T (`n` BIGINT, `x"y` JSON)',
        "sqlite": 'CREATE TABLE T ("n" INTEGER, "x""y" TEXT)',
        "duckdb": 'CREATE TABLE T ("n" BIGINT, "x""y" VARCHAR)',
    }
