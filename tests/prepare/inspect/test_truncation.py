"""Answers that stop before their end."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modiste.prepare.inspect.remark import Passage
from modiste.prepare.inspect.truncation import Lengths, inspect
from modiste.types import Role

SENTENCE = "The museum opens at nine and the guided tour begins at ten in the main hall. "


def passage(text: str) -> Passage:
    return Passage("messages[1].content", text, Role.ASSISTANT, True)


def codes(text: str) -> list[str]:
    return [remark.code for remark in inspect([passage(text)])]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("Here:\n```python\nprint(1)\n", "answer_code_open"),
        ('{"name": "Ada", "tags": ["a", "b"', "answer_json_open"),
        ('[{"a": 1}, {"a": ', "answer_json_open"),
        ('{"text": "it never en', "answer_json_open"),
        (SENTENCE * 2 + "Visitors who want to see the", "answer_cut"),
        (SENTENCE * 2 + "There are paintings, drawings,", "answer_cut"),
        (SENTENCE * 2 + "The entrance fee is paid by one of", "answer_cut"),
    ],
)
def test_an_open_end_is_named(text: str, code: str) -> None:
    assert codes(text) == [code]


@pytest.mark.parametrize(
    "text",
    [
        "SELECT name FROM head",
        "positive",
        "a, b and",
        SENTENCE * 3,
        SENTENCE * 2 + "See the table below:\n- one\n- two",
        SENTENCE * 2 + "The answer is 42",
        SENTENCE * 2 + "Best regards,\nAnn,",
        "```\ncode\n```\nand ```inline``` text",
        '{"name": "Ada"}',
        "{braces} in a template",
        "[1] A footnote begins so",
        "[note] (an aside",
        '{"a": 1} and then prose with an open (bracket',
    ],
)
def test_a_finished_answer_is_left_alone(text: str) -> None:
    assert codes(text) == []


JSON = st.recursive(
    st.integers() | st.text(max_size=5),
    lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text(max_size=3), v, max_size=3),
    max_leaves=8,
)


@given(JSON)
def test_whole_json_is_never_cut(value: object) -> None:
    assert codes(json.dumps(value)) == []


@given(st.dictionaries(st.text(min_size=1, max_size=4), st.lists(st.integers()), min_size=1))
def test_an_object_without_its_last_bracket_always_is(value: object) -> None:
    assert codes(json.dumps(value)[:-1]) == ["answer_json_open"]


def lengths(texts: list[str]) -> Lengths:
    found = Lengths()
    for line, text in enumerate(texts, start=1):
        found.add(line, [passage(text)])
    return found


def test_many_unfinished_answers_of_one_length_were_cut_there() -> None:
    texts = [SENTENCE * 4] * 60 + [(SENTENCE * 9)[:500]] * 8
    (remark,) = lengths(texts).remarks()
    assert remark.code == "answers_cut_at_length"
    assert "8 answers stop in the middle at 500 characters" in remark.message
    assert remark.line == 61


def test_a_limit_in_tokens_shows_among_the_longest() -> None:
    texts = [SENTENCE * (1 + at % 5) for at in range(90)]
    texts += [(SENTENCE * 20)[: 905 + 7 * at] for at in range(12)]
    (remark,) = lengths(texts).remarks()
    assert "of the 10 longest answers" in remark.message


def test_labels_and_queries_are_not_cut_answers() -> None:
    queries = [f"SELECT {'column_name, ' * (at % 30)} x FROM table_{at}q" for at in range(200)]
    assert list(lengths(queries).remarks()) == []
    assert list(lengths([SENTENCE] * 300).remarks()) == []


@given(st.lists(st.integers(1, 40_000), max_size=30), st.integers(0, 30))
def test_parts_of_a_file_add_up_to_the_whole(sizes: list[int], at: int) -> None:
    texts = ["x" * size for size in sizes]
    first, later = lengths(texts[:at]), lengths(texts[at:])
    first.merge(later, lines_before=len(texts[:at]))
    whole = lengths(texts)
    assert (first.finished, first.unfinished) == (whole.finished, whole.unfinished)
