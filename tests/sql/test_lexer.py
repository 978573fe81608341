"""Texts become statements and words with places."""

import pytest

from modiste.sql.errors import SqlError
from modiste.sql.lexer import MAX_TEXT, Cursor, n_parameters, pieces
from modiste.sql.session import Dialect


def test_semicolons_in_strings_comments_and_parentheses_end_nothing() -> None:
    text = "SELECT ';' ; -- a; b\n SELECT (1; 2) # c;\n; /* ; */ SELECT 3;;"
    assert [piece.source for piece in pieces(text, "mysql")] == [
        "SELECT ';'", "SELECT (1; 2)", "SELECT 3",
    ]  # fmt: skip


@pytest.mark.parametrize("said", ["m.1.metadata", "`m`.`1`.`metadata`"])
def test_a_version_between_names_is_a_part_of_its_own(said: str) -> None:
    assert Cursor(pieces(said, "mysql")[0]).path() == ("m", "1", "metadata")


def test_postgres_reads_a_version_as_a_number_and_we_as_a_name() -> None:
    assert Cursor(pieces('"m".1.metadata', "postgres")[0]).path() == ("m", "1", "metadata")


def test_names_fold_and_quoted_ones_keep_their_case() -> None:
    assert Cursor(pieces("Ab.`Cd`", "mysql")[0]).path() == ("ab", "Cd")
    with pytest.raises(SqlError, match="lower case"):
        Cursor(pieces("`Cd`", "mysql")[0]).name(made=True)


def test_what_stands_in_parentheses_is_kept_as_it_was_written() -> None:
    at = Cursor(pieces("(select ')' ,  \"B\" /* c */ from (x))", "mysql")[0])
    assert at.inside() == "select ')' ,  \"B\" /* c */ from (x)"


def test_a_string_that_does_not_end_is_told_with_its_place() -> None:
    with pytest.raises(SqlError, match="line 2") as refused:
        pieces("SELECT 1;\nSELECT 'a", "mysql")
    assert refused.value.code == 1064


def test_parameters_are_counted_in_both_manners() -> None:
    assert n_parameters(pieces("SELECT ?, '?' ; SELECT ?", "mysql")) == 2
    assert n_parameters(pieces("SELECT $2, '$9', $1", "postgres")) == 2


def test_a_text_that_is_too_long_is_refused() -> None:
    with pytest.raises(SqlError, match="characters"):
        pieces("S" * (MAX_TEXT + 1), "mysql")


@pytest.mark.parametrize(
    ("text", "mysql", "postgres"),
    [
        ("", 0, 0),
        (" ; ; -- nothing", 0, 0),
        ("SELECT 1", 1, 1),
        ("SELECT ';', 'it''s;'; ", 1, 1),
        ("SELECT 1 /* ; */ -- ;\n", 1, 1),
        ("SHOW MODELS; DROP MODEL m", 2, 2),
        ("CREATE JOB j (SELECT 1; SELECT 2) EVERY 1 hour", 1, 1),
        ("SELECT ')'; DROP MODEL m", 2, 2),
        (r"SELECT 'a\'; DROP MODEL m; --'", 1, 2),  # MySQL's backslash keeps the string open
    ],
)
def test_a_semicolon_divides_only_where_it_stands_by_itself(
    text: str, mysql: int, postgres: int
) -> None:
    told: dict[Dialect, int] = {"mysql": mysql, "postgres": postgres}
    for dialect, n in told.items():
        assert len(pieces(text, dialect)) == n
