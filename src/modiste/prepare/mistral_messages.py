"""Conversations as Mistral's encoders take them: runs of one role joined, results in order.

It is mistral-common's normaliser done again, because that one forgets the weights which say where
assistant messages part. Golden tests hold it to the original.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import groupby
from typing import NamedTuple

from mistral_common.tokens.tokenizers.base import TokenizerVersion

from modiste.prepare.conversation import normalised_json
from modiste.types import Message, Role, ToolCall

JOIN = "\n\n"
"""Between messages of one role in a row, and between system prompt and user message up to v3."""

_json = lru_cache(maxsize=128)(normalised_json)
"""Every prompt of a conversation asks for the same calls and results again."""


class Conversation(NamedTuple):
    """What the encoders take: messages joined and filled, system prompt apart up to v3."""

    messages: list[Message]
    system_prompt: str | None
    first_user: int
    last_user: int


def normalise(
    messages: Sequence[Message], *, version: TokenizerVersion, weighed: bool
) -> Conversation:
    """Join runs of one role, move or keep system prompts, order tool results by their calls.

    Args:
        weighed: assistant messages of different weight stay apart, as in fine-tuning mode.

    Raises:
        ValueError: JSON that a parser gives up on.
    """
    system_stays = version >= TokenizerVersion.v7
    written: list[Message] = []
    pending: list[str | None] = []
    """Ids of calls whose results may follow, for the order of results from v11 on."""
    for (role, _), run in groupby(messages, key=lambda m: _run(m, weighed)):
        group = list(run)
        if role is Role.SYSTEM and system_stays:
            written += [Message(role, m.content or "") for m in group]
        elif role is Role.USER:
            written.append(Message(role, _joined(group)))
        elif role is Role.ASSISTANT:
            written.append(_assistant(group))
            pending += [call.id for call in written[-1].tool_calls]
        elif role is Role.TOOL:
            written += _results(group, pending, version)
            pending.clear()
    if not written or (not system_stays and written[0].role is not Role.USER):
        written.insert(0, Message(Role.USER, ""))
    users = [at for at, message in enumerate(written) if message.role is Role.USER]
    return Conversation(
        written,
        None if system_stays else _system_prompt(messages),
        users[0] if users else -1,
        users[-1] if users else -1,
    )


def _run(message: Message, weighed: bool) -> tuple[Role, int | None]:
    apart = weighed and message.role is Role.ASSISTANT
    return message.role, message.weight if apart else None


def _joined(messages: Sequence[Message]) -> str:
    return JOIN.join(m.content for m in messages if m.content)


def _system_prompt(messages: Sequence[Message]) -> str | None:
    return _joined([m for m in messages if m.role is Role.SYSTEM]) or None


def _assistant(messages: Sequence[Message]) -> Message:
    calls = tuple(
        ToolCall("null" if call.id is None else call.id, call.name, _json(call.arguments))
        for message in messages
        for call in message.tool_calls
    )
    return Message(
        Role.ASSISTANT,
        _joined(messages),
        tool_calls=calls,
        prefix=any(m.prefix for m in messages),
        thought=JOIN.join(m.thought for m in messages if m.thought) or None,
    )


def _results(
    messages: Sequence[Message], pending: Sequence[str | None], version: TokenizerVersion
) -> list[Message]:
    as_json = version < TokenizerVersion.v7
    results = [
        Message(
            Role.TOOL,
            _json(m.content) if as_json else m.content or "",
            tool_call_id=m.tool_call_id,
            name=m.name,
        )
        for m in messages
    ]
    if version >= TokenizerVersion.v11:
        asked = {call_id: at for at, call_id in enumerate(pending)}
        given = {result.tool_call_id: at for at, result in enumerate(results)}
        results.sort(
            key=lambda r: (asked.get(r.tool_call_id or "null", len(asked)), given[r.tool_call_id])
        )
    return results
