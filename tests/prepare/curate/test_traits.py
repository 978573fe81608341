from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modiste.prepare.curate import traits
from modiste.types import Example, Message, Role, SampleType


@pytest.mark.parametrize(
    ("text", "shapes"),
    [
        ("What is the capital of France?", ["question"]),
        ("how do i reset it", ["question"]),
        ("Write a poem about rain.", ["command"]),
        ("Please summarise this for me.", ["command"]),
        ("Here is a text.\n\nIt is long.\n\nTranslate it into German.", ["command"]),
        ("Schreibe einen Brief an meine Bank.", ["command"]),
        ("i need to move money", ["statement"]),
        ("Who is it? And why?", ["question", "several parts"]),
        ("Compare:\n- apples\n- pears", ["command", "several parts", "list"]),
        ("CREATE TABLE head (age INTEGER)\n\nHow many?", ["question", "code"]),
        ("| a | b |\n|---|---|\n| 1 | 2 |\nWhich is larger?", ["question", "table"]),
        ("name,age,town\nann,3,rome\nbob,4,bonn\nFind the oldest.", ["command", "table"]),
        ("let me know when you return the public library's book", ["statement"]),
        ("Well, I think, as you know,\nit is, sort of, fine.\nSo, no, I, you, we.", ["statement"]),
    ],
)
def test_prompts_have_the_shape_a_reader_sees(text: str, shapes: list[str]) -> None:
    assert traits.prompt_shapes(text) == shapes


@pytest.mark.parametrize(
    ("text", "shapes"),
    [
        ("Paris", ["a few words"]),
        ("The capital of France is Paris.", ["sentence"]),
        ("One thought.\n\nAnother thought.", ["paragraphs"]),
        ("1. one\n2. two", ["list"]),
        ("SELECT COUNT(*) FROM head WHERE age > 56", ["code"]),
        ('{"city": "Paris", "country": "France", "population": 2}', ["JSON"]),
        ("## Title\ntext under the title", ["headings"]),
        ("", []),
    ],
)
def test_answers_have_the_shape_a_reader_sees(text: str, shapes: list[str]) -> None:
    assert traits.answer_shapes(text) == shapes


@pytest.mark.parametrize(
    ("text", "tones"),
    [
        ("Could you please help?", ["polite"]),
        ("hey, wanna know something cool 😀", ["informal"]),
        ("Sehr geehrte Damen und Herren, hiermit kündige ich.", ["formal"]),
        ("I need this ASAP", ["urgent"]),
        ("THIS IS SO VERY GOOD!!", ["emphatic"]),
        ("It still not working, I want a refund", ["upset"]),
        ("The cat sat on the mat.", ["neutral"]),
    ],
)
def test_tones_are_told_by_their_marks(text: str, tones: list[str]) -> None:
    assert traits.tones(text) == tones


def test_hard_texts_read_harder_than_easy_ones() -> None:
    easy = "The cat sat on the mat. It was a fat cat. The sun was hot."
    hard = (
        "Notwithstanding subsequent jurisdictional determinations, contractual indemnification "
        "obligations survive termination irrespective of superseding administrative provisions."
    )
    assert traits.reading(easy) == "very easy"
    assert traits.reading(hard) == "very hard"
    assert traits.reading("123 ...") is None


def test_chats_are_told_by_their_turns_and_tools() -> None:
    asked, answered = Message(Role.USER, "a"), Message(Role.ASSISTANT, "b")
    one = Example(1, SampleType.INSTRUCT, (asked, answered))
    two = Example(1, SampleType.INSTRUCT, (Message(Role.SYSTEM, "s"), *one.messages * 2))
    assert traits.chat_shapes(one) == ["one turn"]
    assert traits.chat_shapes(two) == ["dialogue", "system prompt"]


def test_lengths_fall_into_doubling_bins() -> None:
    bins = [traits.length_bin(n) for n in (0, 1, 2, 3, 4, 7, 8, 1000)]
    assert bins == ["0", "1", "2-3", "2-3", "4-7", "4-7", "8-15", "512-1023"]


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=300))
def test_any_text_has_only_known_traits(text: str) -> None:
    assert set(traits.prompt_shapes(text)) <= set(traits.PROMPT_SHAPES)
    assert set(traits.answer_shapes(text)) <= set(traits.ANSWER_SHAPES)
    assert set(traits.tones(text)) <= set(traits.TONES)
    assert traits.prompt_shapes(text)
    assert traits.tones(text)
    assert traits.reading(text) in (None, *traits.READING)
