"""Views, and tables within tables."""

import pytest

from modiste.sql.errors import SqlError


def test_a_view_is_a_query_by_name(speaker) -> None:  # type: ignore[no-untyped-def]
    speaker("CREATE VIEW early AS (SELECT id, text FROM shop.asked WHERE id < 3)")
    speaker("CREATE VIEW there FROM shop (SELECT count(*) AS n FROM asked)")
    assert speaker("SELECT text FROM early WHERE id = 2") == [{"text": "Bye"}]
    assert speaker(
        "SELECT e.id, t.n FROM early AS e JOIN there AS t ON e.id = 1 WHERE e.id = 1"
    ) == [{"id": 1, "n": 4}]
    speaker("DROP VIEW early; DROP VIEW there")
    with pytest.raises(SqlError, match="not found"):
        speaker("SELECT * FROM early")


def test_a_view_that_stands_on_itself_is_refused(speaker) -> None:  # type: ignore[no-untyped-def]
    speaker("CREATE VIEW round AS (SELECT * FROM round)")
    with pytest.raises(SqlError, match="stands on itself"):
        speaker("SELECT * FROM round")
    speaker("DROP VIEW round")


def test_a_view_over_a_model_asks_it(speaker) -> None:  # type: ignore[no-untyped-def]
    speaker("CREATE VIEW told AS (SELECT t.id, m.answer FROM shop.asked AS t JOIN m "
            "ON m.content = t.text WHERE t.id < 3)")  # fmt: skip
    assert speaker("SELECT count(answer) AS n FROM told") == [{"n": 2}]
    speaker("DROP VIEW told")
