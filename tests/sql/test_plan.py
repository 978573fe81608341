"""Queries find their way."""

import pytest

from modiste.sql.errors import SqlError


def test_without_from_the_local_engine_computes(speaker) -> None:  # type: ignore[no-untyped-def]
    assert speaker.labels("SELECT 1, version(), @@autocommit, 1+2 AS x") == [
        "1", "version()", "@@autocommit", "x",
    ]  # fmt: skip
    assert speaker("SELECT 1+2 AS x, database() AS d") == [{"x": 3, "d": "mindsdb"}]


def test_two_bars_join_texts(speaker) -> None:  # type: ignore[no-untyped-def]
    assert speaker("SELECT 'a' || 'b' || 1 AS x, 1 OR 0 AS y") == [{"x": "ab1", "y": True}]
    assert speaker("SELECT text || '!' AS t FROM shop.asked WHERE text || 'x' = 'Byex'") == [
        {"t": "Bye!"}
    ]


def test_a_project_answers_a_query_in_its_name(speaker) -> None:  # type: ignore[no-untyped-def]
    assert speaker("SELECT * FROM mindsdb (SELECT id FROM shop.asked WHERE id = 2)") == [{"id": 2}]


def test_one_source_answers_all_of_it(speaker) -> None:  # type: ignore[no-untyped-def]
    told = speaker(
        "SELECT text, count(*) AS n FROM shop.asked WHERE id < 4 GROUP BY text ORDER BY n, text"
    )
    assert told == [{"text": None, "n": 1}, {"text": "Bye", "n": 1}, {"text": "Hi", "n": 1}]
    assert speaker("SELECT * FROM shop (SELECT typeof(n) AS k FROM asked LIMIT 1)") == [
        {"k": "real"}
    ]


def test_several_sources_are_joined_here(speaker) -> None:  # type: ignore[no-untyped-def]
    told = speaker(
        "SELECT q.text, c.city FROM shop.asked AS q JOIN places.cities AS c ON c.id = q.id "
        "ORDER BY q.id"
    )
    assert told == [{"text": "Hi", "city": "Paris"}, {"text": "Bye", "city": "Rome"}]
    assert speaker(
        "WITH a AS (SELECT id FROM shop.asked) SELECT max(a.id) AS m FROM a "
        "UNION ALL SELECT id FROM places.cities ORDER BY m"
    ) == [{"m": 1}, {"m": 2}, {"m": 4}]
    assert speaker(
        "SELECT city FROM places.cities WHERE id IN (SELECT id FROM shop.asked WHERE n > 1)"
    ) == [{"city": "Paris"}]


def test_a_model_answers_one_row(speaker) -> None:  # type: ignore[no-untyped-def]
    assert speaker("SELECT answer FROM mindsdb.m.1 WHERE content = 'x' LIMIT 1") == [
        {"answer": "Hello there."}
    ]
    assert speaker("SELECT * FROM m WHERE content = 'x' AND max_tokens = 1") == [
        {"answer": "H", "content": "x", "max_tokens": 1}
    ]
    assert speaker("SELECT upper(answer) AS u FROM m AS a WHERE a.content = ?", "x'") == [
        {"u": "HELLO THERE."}
    ]
    assert [asked.sampling.max_tokens for asked in speaker.engine.asked] == [100, 1, 100]
    assert {asked.sampling.temperature for asked in speaker.engine.asked} == {0.0}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("SELECT answer FROM m", "WHERE clause required when selecting from predictor"),
        ("SELECT answer FROM m WHERE content > 'x'", "Only 'and' and '=' operations allowed"),
        ("SELECT answer FROM m WHERE content='a' AND content='b'", "Multiple values provided for"),
        ("SELECT answer FROM m WHERE content='a' GROUP BY answer", "Only WHERE is allowed"),
        ("SELECT nope FROM m WHERE content='a'", "Table not found for column: nope"),
    ],
)  # fmt: skip
def test_what_a_model_cannot_be_asked_is_told(speaker, text: str, told: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(SqlError) as refused:
        speaker(text)
    assert told in refused.value.message


def test_models_answer_within_conditions_columns_and_queries_in_from(speaker) -> None:  # type: ignore[no-untyped-def]
    one = "SELECT answer FROM m WHERE content = 'x'"
    assert speaker(f"SELECT id FROM shop.asked WHERE 'Hello there.' = ({one}) AND id < 3") == [
        {"id": 1}, {"id": 2},
    ]  # fmt: skip
    joined = "SELECT m.answer FROM shop.asked AS t JOIN m ON m.content = t.text"
    assert len(speaker(f"SELECT id FROM shop.asked WHERE 'Hello there.' IN ({joined})")) == 4
    assert speaker(f"SELECT id, ({one}) AS a FROM shop.asked WHERE id = 1") == [
        {"id": 1, "a": "Hello there."}
    ]
    assert speaker(f"SELECT upper(x.answer) AS u FROM ({one}) AS x") == [{"u": "HELLO THERE."}]
    assert len(speaker(f"({one}) UNION ALL ({one})")) == 2
