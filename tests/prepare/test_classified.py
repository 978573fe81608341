"""Texts and chats as classifiers read them."""

from __future__ import annotations

from pathlib import Path

import pytest

from modiste.errors import InvalidInput
from modiste.prepare import render
from modiste.prepare.classified import chat_ids, rendered, text_ids
from modiste.prepare.render import Renderer
from modiste.types import Example, Message, Role, SampleType

TINY = Path(render.__file__).parents[1] / "bases/tiny"
USER, ANSWER = Message(Role.USER, "Hi"), Message(Role.ASSISTANT, "Hello")


@pytest.fixture(scope="module")
def renderer() -> Renderer:
    return render.load(TINY)


def test_a_text_stands_between_the_tokens_of_documents(renderer: Renderer) -> None:
    assert text_ids("Hi", renderer) == [renderer.bos_id, *renderer.encode("Hi"), renderer.eos_id]
    assert text_ids("", renderer) == [renderer.bos_id, renderer.eos_id]
    row = rendered(Example(1, SampleType.CLASSIFIER, text="Hi"), renderer)
    assert row.ids == text_ids("Hi", renderer)
    assert not any(row.mask)


def test_a_chat_is_what_an_answer_would_be_given_to(renderer: Renderer) -> None:
    assert chat_ids([USER], renderer) == renderer.prompt([USER])


def test_a_chat_that_ends_with_an_answer_is_read_as_a_whole(renderer: Renderer) -> None:
    ids = chat_ids([USER, ANSWER], renderer)
    assert ids[: len(renderer.prompt([USER]))] == renderer.prompt([USER])
    assert ids[-1] == renderer.eos_id


def test_a_chat_of_nothing_is_refused(renderer: Renderer) -> None:
    with pytest.raises(InvalidInput, match="messages is empty"):
        chat_ids([], renderer)
