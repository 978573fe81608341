"""The patterns behind `teacher`."""

import pytest

from modiste.prepare.inspect.teacher_phrases import CUTOFF, IDENTITY, OPENING_WORDS, REFUSAL


@pytest.mark.parametrize(
    "text",
    ["as an ai", "i am a language model", "i'm claude", "i was made by openai", "i am gpt-4"],
)
def test_identities_are_told_from_lower_case(text: str) -> None:
    assert IDENTITY.search(text)


def test_a_makers_name_alone_is_no_identity() -> None:
    assert not IDENTITY.search("it was made by openai, and claude is a french name")


@pytest.mark.parametrize(
    "text", ["my knowledge cutoff is", "as of my last update", "my training data ends"]
)
def test_cutoffs_are_of_the_first_person(text: str) -> None:
    assert CUTOFF.search(text)
    assert not CUTOFF.search(text.replace("my", "their"))


def test_refusals_need_a_first_person() -> None:
    assert REFUSAL.search("i cannot provide this")
    assert not REFUSAL.search("they cannot provide what nobody asked for")


def test_opening_words_are_words_without_commas() -> None:
    assert all(word == word.lower() and "," not in word for word in OPENING_WORDS)
