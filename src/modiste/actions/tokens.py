"""Text and token ids of a model's own tokenizer, exactly as prompts are written for it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from modiste.actions import completions, inference
from modiste.actions.completions import Ask
from modiste.actions.inference import Served, Serving
from modiste.actions.text_reading import token_text
from modiste.types import Actor


class Tokenised(NamedTuple):
    ids: list[int]
    texts: list[str]
    """What each token is called."""
    max_context_length: int


async def of_text(
    serving: Serving, actor: Actor, *, model: str, text: str, opened: bool
) -> Tokenised:
    """The ids of a text; `opened` as a prompt is, with the token that begins every text."""
    served = await inference.find(serving, actor, model)
    ids = await asyncio.to_thread(served.renderer.encode, text)
    if opened and served.renderer.bos_id is not None:
        ids = [served.renderer.bos_id, *ids]
    return _tokenised(served, ids)


async def of_chat(serving: Serving, actor: Actor, ask: Ask) -> Tokenised:
    """The ids behind which a chat is answered.

    Raises:
        BadRequest: the messages make no prompt.
    """
    served = await inference.find(serving, actor, ask.model)
    return _tokenised(served, await asyncio.to_thread(completions.prompt_ids, served, ask))


async def to_text(serving: Serving, actor: Actor, *, model: str, ids: Sequence[int]) -> str:
    """The text of token ids; control tokens have none.

    Raises:
        InvalidInput: an id is none of the model's.
    """
    served = await inference.find(serving, actor, model)
    inference.check_ids(served, ids, where="tokens", param="tokens")
    return await asyncio.to_thread(served.renderer.decode, ids)


def _tokenised(served: Served, ids: list[int]) -> Tokenised:
    texts = [token_text(served.renderer, token) for token in ids]
    return Tokenised(ids, texts, served.model.max_context_length)
