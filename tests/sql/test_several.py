from __future__ import annotations

import pytest

from modiste.sql.errors import SqlError
from modiste.sql.session import Dialect
from modiste.sql.several import count


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
        assert count(text, dialect) == n


def test_a_string_that_does_not_end_is_told_with_its_place() -> None:
    with pytest.raises(SqlError, match="line 2, column 4"):
        count("SELECT\n 'a", "mysql")
