"""What all renderers share, on the shipped base."""

from __future__ import annotations

import pytest

from modiste.errors import BadRequest, InvalidInput
from modiste.prepare.chat import SAFE_PROMPT, with_safe_prompt
from modiste.types import Message, Role


def test_the_safe_prompt_comes_first_and_keeps_the_system_prompt():
    asked = Message(Role.USER, "q")

    assert with_safe_prompt([asked]) == [Message(Role.SYSTEM, SAFE_PROMPT), asked]
    assert with_safe_prompt([Message(Role.SYSTEM, "Be brief"), asked]) == [
        Message(Role.SYSTEM, f"{SAFE_PROMPT}\n\nBe brief"),
        asked,
    ]


def test_a_prompt_does_not_depend_on_weights(tiny):
    def asked(weight):
        return [
            Message(Role.USER, "q"),
            Message(Role.ASSISTANT, "a", weight=weight),
            Message(Role.USER, "q"),
        ]

    assert tiny.prompt(asked(0)) == tiny.prompt(asked(None))


def test_a_refused_request_names_its_field(tiny):
    with pytest.raises(BadRequest) as refusal:
        tiny.prompt([Message(Role.USER, "q"), Message(Role.TOOL, "r")])

    assert refusal.value.param == "messages[1].role"
    assert refusal.value.http_status == 400


def test_a_refused_row_names_its_line(tiny, example):
    with pytest.raises(InvalidInput, match=r"line 1: messages\[0\]\.role: Expected last role"):
        tiny.training(example(Message(Role.USER, "q")))


def test_an_unfinished_conversation_is_no_training_row(tiny, example):
    row = example(Message(Role.USER, "q"), Message(Role.ASSISTANT, "a", prefix=True))

    with pytest.raises(InvalidInput, match="Cannot continue final message"):
        tiny.training_samples(row)
