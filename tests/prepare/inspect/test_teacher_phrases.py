"""The patterns behind `teacher`: quick signs never hide what a pattern would find."""

import pytest

from modiste.prepare.inspect.teacher_phrases import (
    CUTOFF,
    CUTOFF_SIGNS,
    ENGLISH_IDENTITY,
    IDENTITY_SIGNS,
    OPENING_WORDS,
    REFUSAL,
)

IDENTITIES = [
    "as an ai",
    "i am a language model",
    "i'm claude",
    "i was made by openai",
    "i am gpt-4",
]


@pytest.mark.parametrize("text", IDENTITIES)
def test_english_identities_carry_a_sign_or_an_opening_word(text: str) -> None:
    assert ENGLISH_IDENTITY.search(text)
    assert any(sign in text for sign in IDENTITY_SIGNS) or OPENING_WORDS & set(text.split())


def test_cutoffs_carry_a_sign() -> None:
    for text in ("my knowledge cutoff is", "as of my last update", "my training data ends"):
        assert CUTOFF.search(text)
        assert any(sign in f" {text}" for sign in CUTOFF_SIGNS)


def test_refusals_need_a_first_person() -> None:
    assert not REFUSAL.search("they cannot provide what nobody asked for")
