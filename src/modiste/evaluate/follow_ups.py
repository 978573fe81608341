"""Conversations in which the model under test answers several times, as MT-Bench asks.

Where a suite's `messages` hold `{role: assistant}` without content, the model's own answer stands
there, and the conversation goes on from it. Scorers see the last answer; those before it are in
`Answer.earlier`, and the sample's prompt is the whole conversation up to the last answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from modiste.evaluate.items import Answer, Exchange, Failure, Models, Prompt
from modiste.types import Message, Role


async def followed_up(
    model: str, prompt: Prompt, follow_ups: Sequence[tuple[Message, ...]], models: Models
) -> tuple[tuple[Message, ...], Answer]:
    """What was said before the last answer, and that answer with what the whole conversation took.

    A turn without an answer ends the conversation, and is a failure that names the turn.
    """
    messages, earlier = prompt.messages, list[Exchange]()
    answer = await models.chat(model, prompt)
    for said in follow_ups:
        if answer.failure is not None:
            break
        earlier.append(Exchange(_asked(messages), answer.text))
        own = Message(Role.ASSISTANT, answer.text, tool_calls=answer.calls)
        messages = (*messages, own, *said)
        answer = _with(answer, await models.chat(model, replace(prompt, messages=messages)))
    if answer.failure is not None:
        turn = f"answer {len(earlier) + 1} of {len(follow_ups) + 1}: {answer.failure.message}"
        answer = replace(answer, failure=Failure(answer.failure.code, turn))
    return messages, replace(answer, earlier=tuple(earlier))


def _asked(messages: Sequence[Message]) -> str:
    """What the user said since the last answer."""
    found: list[str] = []
    for message in reversed(messages):
        if message.role is not Role.USER:
            break
        found.append(message.content or "")
    return "\n\n".join(reversed(found))


def _with(before: Answer, answer: Answer) -> Answer:
    """Tokens, seconds and costs of both; a cost is known where both are."""
    known = before.cost_micro is not None and answer.cost_micro is not None
    return replace(
        answer,
        prompt_tokens=before.prompt_tokens + answer.prompt_tokens,
        completion_tokens=before.completion_tokens + answer.completion_tokens,
        latency_s=before.latency_s + answer.latency_s,
        cost_micro=(before.cost_micro or 0) + (answer.cost_micro or 0) if known else None,
    )
