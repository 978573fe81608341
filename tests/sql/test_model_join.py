"""Models beside data."""

import pytest

from modiste.sql.errors import SqlError

FROM = "FROM shop.asked AS t JOIN m ON m.content = t.text"


def test_every_row_stays_in_order_and_equal_prompts_are_asked_once(speaker) -> None:  # type: ignore[no-untyped-def]
    told = speaker(f"SELECT t.id, m.answer {FROM} ORDER BY t.id DESC")
    assert [(row["id"], row["answer"]) for row in told] == [
        (4, "Hello there."), (3, None), (2, "Hello there."), (1, "Hello there."),
    ]  # fmt: skip
    assert len(speaker.engine.asked) == 2


def test_a_star_is_the_data_and_then_the_answer(speaker) -> None:  # type: ignore[no-untyped-def]
    assert speaker.labels(f"SELECT * {FROM} LIMIT 1") == ["id", "text", "n", "answer"]
    assert speaker.engine.asked == [], "nobody is asked for rows that nobody reads"


def test_a_limit_is_taken_before_anybody_is_asked_and_after_where_it_must(speaker) -> None:  # type: ignore[no-untyped-def]
    assert len(speaker(f"SELECT answer {FROM} WHERE t.id = 2 LIMIT 1")) == 1
    assert len(speaker.engine.asked) == 1
    told = speaker(f"SELECT t.id {FROM} WHERE answer LIKE 'Hello%' AND t.id > 1 LIMIT 1")
    assert told == [{"id": 2}]
    assert speaker(f"SELECT count(*) AS n, answer {FROM} GROUP BY answer ORDER BY n LIMIT 1") == [
        {"n": 1, "answer": None}
    ]


def test_constants_are_inputs_and_settings(speaker) -> None:  # type: ignore[no-untyped-def]
    told = speaker("SELECT c.city, m.answer FROM places.cities AS c JOIN m "
                   "WHERE m.content = 'x' AND m.max_tokens = 1")  # fmt: skip
    assert told == [{"city": "Paris", "answer": "H"}, {"city": "Rome", "answer": "H"}]
    speaker(f"SELECT answer {FROM} LIMIT 1 USING m.max_tokens = 2")
    assert [asked.sampling.max_tokens for asked in speaker.engine.asked] == [1, 2]


def test_two_sources_and_two_models_in_one_query(speaker) -> None:  # type: ignore[no-untyped-def]
    told = speaker(
        "SELECT t.id, c.city, a.answer AS a, b.answer AS b FROM shop.asked AS t "
        "JOIN places.cities AS c ON c.id = t.id JOIN m AS a ON a.content = t.text "
        "JOIN m.1 AS b ON b.content = c.city USING b.max_tokens = 1"
    )
    assert told == [
        {"id": 1, "city": "Paris", "a": "Hello there.", "b": "H"},
        {"id": 2, "city": "Rome", "a": "Hello there.", "b": "H"},
    ]


@pytest.mark.parametrize(
    ("text", "number"),
    [
        (f"SELECT nope {FROM}", 1054),
        ("SELECT id FROM shop.asked AS a JOIN places.cities AS b ON a.id=b.id "
         "JOIN m ON m.content=a.text", 1052),
        ("SELECT answer FROM shop.asked AS t JOIN m ON m.content = t.nope", 1054),
        ("SELECT answer FROM m AS a JOIN m AS b", 1149),
        (f"SELECT answer {FROM} USING max_rows = 1", 1149),
        (f"SELECT answer {FROM} USING nope = 1", 1149),
    ],
)  # fmt: skip
def test_what_cannot_be_is_told_before_anybody_is_asked(speaker, text: str, number: int) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(SqlError) as refused:
        speaker(text)
    assert refused.value.code == number


def test_no_rows_are_no_answers(speaker) -> None:  # type: ignore[no-untyped-def]
    assert speaker(f"SELECT t.id, m.answer {FROM} WHERE t.id > 99") == []
    assert speaker.engine.asked == []
