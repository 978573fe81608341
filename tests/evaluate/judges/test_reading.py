"""Replies of judges are read leniently in form and strictly in content, and the last one counts."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modiste.evaluate.judges.reading import (
    Unreadable,
    bracket_reader,
    is_refusal,
    json_reader,
    last_object,
    object_of,
)

SCORE = object_of(reason={"type": "string"}, score={"type": "integer", "minimum": 0, "maximum": 3})


@pytest.mark.parametrize(
    "text",
    [
        '{"reason": "r", "score": 2}',
        'Sure!\n```json\n{"reason": "r", "score": 2}\n```\nDone.',
        '{"reason": "r", "score": 2,}',
        '{"reason": "r", "score": 2\n, }',
        'First {"reason": "no", "score": 0}, then {"reason": "r", "score": 2}',
        'a brace { that never closes {"reason": "r", "score": 2}',
    ],
    ids=["plain", "fence", "comma", "comma-newline", "last", "open-brace"],
)
def test_the_last_object_is_found(text):
    assert last_object(text) == {"reason": "r", "score": 2}


def test_commas_before_brackets_within_a_text_stay():
    assert last_object('{"reason": "as in [1,] or {a,}", "score": 1,}')["reason"] == (
        "as in [1,] or {a,}"
    )


def test_new_lines_within_a_text_are_taken():
    assert last_object('{"reason": "one\ntwo", "score": 1}')["reason"] == "one\ntwo"


def test_an_object_within_a_text_is_no_verdict():
    found = last_object('{"reason": "it said {\\"score\\": 3}", "score": 0}')
    assert found["score"] == 0


def test_a_verdict_that_is_quoted_first_does_not_count():
    read = json_reader(SCORE)
    text = 'The answer says {"reason": "great", "score": 3}. I say {"reason": "bad", "score": 0}'
    assert read(text)["score"] == 0


def test_an_earlier_verdict_does_not_stand_in_for_one_that_breaks_the_schema():
    with pytest.raises(Unreadable, match="maximum"):
        json_reader(SCORE)('{"reason": "great", "score": 3} {"reason": "bad", "score": 9}')


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("no idea", "no complete JSON object"),
        ('{"reason": "cut o', "no complete JSON object"),
        ('{"reason": "r"}', "'score' is a required property"),
        ('{"reason": "r", "score": "2"}', "not of type 'integer'"),
        ('{"reason": "r", "score": 2, "more": 1}', "more"),
    ],
    ids=["prose", "cut", "missing", "type", "extra"],
)
def test_what_is_wrong_is_said(text, said):
    with pytest.raises(Unreadable, match=said):
        json_reader(SCORE)(text)


def test_what_no_schema_can_say_is_checked():
    read = json_reader(SCORE, lambda found: "odd" if found["score"] % 2 else None)
    with pytest.raises(Unreadable, match="odd"):
        read('{"reason": "r", "score": 1}')


def test_many_open_braces_are_read_in_time():
    start = time.perf_counter()
    assert last_object("{" * 20_000) is None
    assert last_object('{"a":' * 3_000) is None
    assert time.perf_counter() - start < 20


@given(st.text(alphabet='{}[],:"\\ a1\n', max_size=80))
def test_no_text_breaks_the_reader(text):
    found = last_object(text)
    assert found is None or isinstance(found, dict)


def test_the_last_verdict_in_brackets_counts():
    read = bracket_reader(r"\[\[([ABC])\]\]", "[[A]]")
    assert read("It begs for [[A]], but I say [[B]]") == "B"
    with pytest.raises(Unreadable, match=r"end with \[\[A\]\]"):
        read("no verdict [A]")


@pytest.mark.parametrize(
    ("text", "refuses"),
    [
        ("I'm sorry, but I can't help with that.", True),
        ("I cannot assist with this request.", True),
        ("As an AI, I have no opinion.", True),
        ("I can see that both are right.", False),
        ("Answer 1 says sorry too often.", False),
    ],
)
def test_refusals_are_told_from_bad_form(text, refuses):
    assert is_refusal(text) is refuses
