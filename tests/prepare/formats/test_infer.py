"""Which format rows are in, with the reason, and what else they could be."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modiste.prepare.formats.infer import format_of, guesses, infer
from modiste.prepare.formats.kinds import Format

MESSAGES = [{"role": "user", "content": "q"}]
TURNS = [{"from": "human", "value": "q"}]


@pytest.mark.parametrize(
    ("row", "format"),
    [
        ({"messages": MESSAGES}, Format.CHAT),
        ({"interactions": MESSAGES, "tools": []}, Format.CHAT),
        ({"messages": MESSAGES, "prompt": "q", "prompt_id": "1"}, Format.CHAT),
        ({"messages": TURNS}, Format.SHAREGPT),
        ({"conversations": TURNS}, Format.SHAREGPT),
        ({"system": "SYSTEM: s", "chat": "USER: q"}, Format.SHAREGPT),
        ({"messages": MESSAGES, "labels": {"a": "b"}}, Format.CLASSIFIER),
        ({"text": "t", "label": "a"}, Format.CLASSIFIER),
        ({"text": "t"}, Format.TEXT),
        ({"content": "t", "title": "x"}, Format.TEXT),
        ({"prompt": "q", "chosen": "a", "rejected": "b"}, Format.PREFERENCE),
        ({"conversations": TURNS, "chosen": {}, "rejected": {}}, Format.PREFERENCE),
        ({"input": {}, "preferred_output": [], "non_preferred_output": []}, Format.PREFERENCE),
        ({"instruction": "i", "input": "", "output": "o"}, Format.ALPACA),
        ({"instruction": "i", "instances": []}, Format.ALPACA),
        ({"prompt": "q", "completion": "a"}, Format.PROMPT_COMPLETION),
        ({"context": "c", "question": "q", "answer": "a"}, Format.PROMPT_COMPLETION),
        ({"input": "q", "output": "a"}, Format.PROMPT_COMPLETION),
        ({"chat_id": 1, "role": "user", "content": "q"}, Format.CHAT_TABLE),
        ({"role": "assistant", "tool_calls": []}, Format.CHAT_TABLE),
        ({"title": "t", "abstract": "a"}, None),
        ({"instruction": "i"}, None),
        ({}, None),
        ([], None),
        ("text", None),
    ],
)
def test_keys_tell_the_format(row: Any, format: Format | None) -> None:
    assert format_of(row) is format


def test_the_reason_names_the_keys() -> None:
    rows = [{"context": "c", "question": "q", "answer": "a"}] * 3
    assert infer(rows).why == "the first 3 rows hold context, question and answer"


def test_what_else_rows_could_be_is_said() -> None:
    found = infer([{"instruction": "i", "output": "o", "text": "whole"}] * 2)
    assert found.format is Format.ALPACA
    assert found.also == (Format.TEXT,)
    assert "could be text as well" in found.why


def test_most_rows_decide_and_the_others_are_counted() -> None:
    found = infer([{"text": "t"}, {"messages": MESSAGES}, {"messages": MESSAGES}, {"odd": 1}])
    assert found.format is Format.CHAT
    assert found.why.startswith("2 of the first 4 rows hold messages; 1 of them looks like text")


def test_rows_of_no_known_format_show_their_keys() -> None:
    found = infer([{"title": "t", "abstract": "a"}])
    assert found.format is None
    assert "title, abstract" in found.why


def test_no_rows_tell_nothing() -> None:
    assert infer([]) == (None, "no row could be read", ())


keys = st.sampled_from(
    ["messages", "text", "label", "prompt", "chosen", "rejected", "role", "chat"]
)
anything = st.recursive(
    st.none() | st.booleans() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=6,
)


@given(st.lists(anything, max_size=4))
def test_any_values_are_told_or_not_but_never_raise(values: list[Any]) -> None:
    found = infer(values)
    assert found.why
    assert all(guess.because for value in values for guess in guesses(value))
