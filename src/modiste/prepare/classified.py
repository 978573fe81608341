"""Texts and chats as a classifier reads them: the same ids in training and in serving.

A text stands between the tokens that open and close documents, so that even an empty one has a
state to be read from. A chat is what the model would answer behind; one that ends with an answer is
read as a whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from modiste.errors import InvalidInput
from modiste.prepare.render import Rendered, Renderer
from modiste.types import Example, Message, Role, SampleType


def rendered(example: Example, renderer: Renderer) -> Rendered:
    """A classifier row; none of its tokens is predicted.

    Raises:
        InvalidInput, BadRequest: the chat breaks the rules of the base's format.
    """
    if example.text is not None:
        ids = text_ids(example.text, renderer)
    else:
        ids = chat_ids(example.messages, renderer, tools=example.tools)
    return Rendered(ids, [False] * len(ids))


def text_ids(text: str, renderer: Renderer) -> list[int]:
    opening = [] if renderer.bos_id is None else [renderer.bos_id]
    return [*opening, *renderer.encode(text), renderer.eos_id]


def chat_ids(
    messages: Sequence[Message], renderer: Renderer, *, tools: Sequence[Mapping[str, Any]] = ()
) -> list[int]:
    """Raises InvalidInput or BadRequest: no chat of this base's format."""
    if not messages:
        raise InvalidInput("messages is empty; a chat has at least one", param="messages")
    if messages[-1].role is not Role.ASSISTANT:
        return renderer.prompt(messages, tools=tools)
    whole = Example(0, SampleType.INSTRUCT, tuple(messages), tools=tuple(tools))
    return list(renderer.training(whole).ids)
