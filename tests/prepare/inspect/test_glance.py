"""The one look at a row that decides which inspectors see it: it may never hide a remark."""

import re
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modiste.prepare.inspect.all import Ledger, inspect
from modiste.prepare.inspect.credentials import KEYS
from modiste.prepare.inspect.glance import _ODD, Glance
from modiste.prepare.inspect.remark import answers, passages
from modiste.prepare.inspect.special import KNOWN
from modiste.prepare.inspect.teacher_phrases import (
    CUTOFF,
    CUTOFF_SIGNS,
    IDENTITY,
    OPENING_SIGNS,
    REFUSAL,
)
from modiste.types import Example, Message, Role, SampleType

FINDS = [
    st.from_regex(re.compile(pattern))
    for pattern in (IDENTITY.pattern, REFUSAL.pattern, CUTOFF.pattern, *KNOWN)
]
FINDS += [st.from_regex(key.pattern) for key in KEYS]
FINDS += [
    st.sampled_from(
        [
            "call 415-626-2213", "4539 1488 0343 6467", "DE89 3704 0044 0532 0130 00",
            "RSSMRA85T10A562S", "12345678Z", "X1234567L", "ann@ross.org", "ssn 536-22-1234",
            "db://ann:Xk39fjQ0@db.ross.org", "api key = Zx93kQp77LmW2",
            "acce\u017fs key: Zx93kQp77LmW2", "\u0130 token: Zx93kQp77LmW2",
            "pr\u0131vate_key=Zx93kQp77LmW2", "secret \u212aey is Zx93kQp77LmW2",
            "I am GPT-4", "OpenA\u0130", "Als KI kann ich", "```\nopen", '{"a": [1',
            "Sorry, but I can't",
        ]
    )
]  # fmt: skip
ROWS = st.lists(st.one_of(*FINDS, st.text(max_size=30)), min_size=1, max_size=4)


def chat(texts: list[str]) -> Example:
    roles = (Role.USER, Role.ASSISTANT)
    messages = tuple(Message(roles[at % 2], text) for at, text in enumerate(["hello", *texts]))
    return Example(1, SampleType.INSTRUCT, messages)


@given(ROWS, st.sampled_from(["", "Certainly. It is known that many have gone there before. " * 4]))
@settings(max_examples=300, deadline=None)
def test_a_glanced_at_row_has_the_remarks_of_one_looked_through(
    texts: list[str], before: str
) -> None:
    row = chat([before + text for text in texts])
    assert Ledger().add(row) == inspect(row)


@pytest.mark.parametrize(
    ("pattern", "signs"),
    [(IDENTITY, OPENING_SIGNS), (REFUSAL, OPENING_SIGNS), (CUTOFF, CUTOFF_SIGNS)],
    ids=["identity", "refusal", "cutoff"],
)
def test_every_phrase_holds_a_sign(pattern: re.Pattern[str], signs: tuple[str, ...]) -> None:
    @given(st.from_regex(pattern))
    @settings(max_examples=400, deadline=None)
    def holds(text: str) -> None:
        found = pattern.search(text)
        assert found
        assert any(sign in found[0] for sign in signs)

    holds()


def test_no_other_letter_becomes_one_of_the_alphabet() -> None:
    letters = re.compile(r"(?i)[a-z]")
    alike = {
        letter
        for letter in map(chr, range(128, sys.maxunicode + 1))
        if letters.match(letter) or re.search("[ -~]", letter.lower())
    }
    assert alike == set(_ODD)


def test_an_ordinary_row_is_shown_to_nobody() -> None:
    found = passages(chat(["Paris is the capital of France.", "And since when?"]))
    assert Glance()(found, answers(found)) == frozenset()


def test_tokens_of_the_renderer_are_looked_for() -> None:
    row = chat(["a ☃ in the snow"])
    assert [r.code for r in Ledger(special_tokens=["☃"]).add(row)] == ["special_token_in_text"]
