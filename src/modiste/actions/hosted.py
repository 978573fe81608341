"""Chats with hosted models: the same permission, names and words as with our own.

`begin` refuses what can be refused (name, key, budget, fields) before anything is sent. The answer
is JSON in the upstream's shape under the name that was asked for; doors say it in their dialect,
and `Told` reads it as text where only text is wanted. Whatever ends a request, what it took is
recorded once.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

from pydantic import SecretStr

from modiste.actions import upstreams
from modiste.actions.answers import Choice, Completion, Delta, Ended, Usage
from modiste.actions.keys import require
from modiste.errors import NotYetSupported
from modiste.serve import hosted_wire
from modiste.serve.hosted import HostedClient
from modiste.serve.hosted_wire import Used
from modiste.serve.sequence import FinishReason, Sampling
from modiste.serve.upstream import Upstreams
from modiste.store.database import Database
from modiste.types import Actor, Message, Model, Role, Scope

Json = dict[str, Any]
PASSED_ON = ("model", "messages", "stop", "sampling", "guardrails", "policies")
WORDS_OF_SAMPLING = frozenset(
    {"top_p", "max_tokens", "seed", "presence_penalty", "frequency_penalty"}
)
"""Both vendors know them under these names."""


class HostedAnswer:
    """A chat that was accepted and not sent yet. Read it once: `whole()` or `chunks()`."""

    def __init__(
        self,
        database: Database,
        client: HostedClient,
        model: Model,
        *,
        name: str,
        body: Mapping[str, Any],
        key: SecretStr | None,
    ) -> None:
        if model.upstream is None:
            raise ValueError(f"{model.id} has no upstream")
        self._database, self._client, self._model = database, client, model
        self._name, self._key = name, key
        there = model.upstream.model or model.id
        self._body, self._streamed = (
            hosted_wire.request_for(model.upstream.kind, body, model=there, stream=stream)
            for stream in (False, True)
        )

    async def whole(self) -> Json:
        used: Used | None = hosted_wire.estimate(self._body, 0)
        try:
            answer = await self._client.whole(self._body, self._key)
            n = hosted_wire.n_characters(answer["choices"])
            used = hosted_wire.used_of(answer) or hosted_wire.estimate(self._body, n)
        except Exception:
            used = None  # Refused or broken: nothing was answered.
            raise
        finally:
            await self._record(used)
        return {**answer, "object": "chat.completion", "model": self._name}

    async def chunks(self) -> AsyncGenerator[Json, None]:
        """Chunks as they come; the usage is in one of the last, as the upstream has it."""
        used: Used | None = None
        n, begun = 0, False
        try:
            async with aclosing(self._client.stream(self._streamed, self._key)) as chunks:
                async for chunk in chunks:
                    begun = True
                    used = hosted_wire.used_of(chunk) or used
                    n += hosted_wire.n_characters(
                        [choice.get("delta") for choice in choices_of(chunk)]
                    )
                    yield {**chunk, "object": "chat.completion.chunk", "model": self._name}
        finally:
            await self._record(used or (hosted_wire.estimate(self._body, n) if begun else None))

    async def _record(self, used: Used | None) -> None:
        if used is not None:  # Shielded: a client that hung up does not make it free.
            await asyncio.shield(asyncio.to_thread(self._write, used))

    def _write(self, used: Used) -> None:
        with self._database.transaction() as tx:
            upstreams.record(tx, self._model, used)


class Told:
    """A hosted answer read as text, where only text is wanted."""

    def __init__(self, answer: HostedAnswer, *, n: int) -> None:
        self._answer, self._n = answer, n

    async def events(self) -> AsyncGenerator[Delta | Ended | Usage]:
        """As `Answer.events`: deltas, one Ended per choice, then the Usage."""
        used, n_chunks = Used(0, 0), [0] * self._n
        async with aclosing(self._answer.chunks()) as chunks:
            async for chunk in chunks:
                used = hosted_wire.used_of(chunk) or used
                for choice in choices_of(chunk):
                    index = int(choice.get("index") or 0)
                    if text := text_of((choice.get("delta") or {}).get("content")):
                        n_chunks[index] += 1
                        yield Delta(index, text)
                    if reason := choice.get("finish_reason"):
                        yield Ended(index, _reason(reason), n_chunks[index])
        yield Usage(used.prompt_tokens, used.completion_tokens)

    async def whole(self) -> Completion:
        answer = await self._answer.whole()
        used = hosted_wire.used_of(answer) or Used(0, 0)
        choices = tuple(
            Choice(
                int(choice.get("index") or 0),
                text_of((choice.get("message") or {}).get("content")),
                _reason(choice.get("finish_reason")),
            )
            for choice in choices_of(answer)
        )
        return Completion(choices, Usage(used.prompt_tokens, used.completion_tokens))


async def begin(
    database: Database,
    clients: Upstreams,
    actor: Actor,
    model: Model,
    *,
    name: str,
    body: Mapping[str, Any],
) -> HostedAnswer:
    """Accept or refuse a chat with a hosted model.

    Args:
        name: what the caller called it.
        body: the request, with the fields of either vendor.

    Raises:
        Forbidden: the key may not infer, or the address may not be asked.
        Busy: the day's budget is spent.
        InvalidInput, NotYetSupported: fields that contradict each other or cannot be passed on.
        UpstreamFailed: the server lacks the upstream's key.
    """
    require(actor, Scope.INFER)
    await asyncio.to_thread(_refuse_if_spent, database, model)
    key = upstreams.key_of(database.settings, model)
    return HostedAnswer(database, clients.hosted(model), model, name=name, body=body, key=key)


def body_of(ask: Any) -> Json:
    """An `Ask` in the words of the vendors.

    Raises:
        NotYetSupported: a field is set that has no word here.
    """
    body: Json = {"messages": [_message(message) for message in ask.messages]}
    if ask.stop:
        body["stop"] = list(ask.stop)
    for field in dataclasses.fields(ask):
        value = getattr(ask, field.name)
        if field.name in PASSED_ON or value in (field.default, _made(field)):
            continue
        if field.name not in ("n", "safe_prompt"):
            raise NotYetSupported(
                f"{field.name} is set, and is not passed on to hosted models here",
                param=field.name,
            )
        body[field.name] = value
    return {**body, **_sampling(ask.sampling)}


def _sampling(sampling: Sampling) -> Json:
    body: Json = {"temperature": sampling.temperature}
    for field in dataclasses.fields(sampling):
        value = getattr(sampling, field.name)
        if field.name == "temperature" or value in (field.default, _made(field)):
            continue
        if field.name not in WORDS_OF_SAMPLING:
            raise NotYetSupported(
                f"{field.name} is set, and is not passed on to hosted models here",
                param=field.name,
            )
        body[field.name] = value
    return body


def _made(field: dataclasses.Field[Any]) -> Any:
    """What a field is where nothing was said, if that is made anew each time."""
    return field.default_factory() if field.default_factory is not dataclasses.MISSING else None


def choices_of(answer: Mapping[str, Any]) -> list[Json]:
    choices = answer.get("choices")
    if not isinstance(choices, list):
        return []
    return [choice for choice in choices if isinstance(choice, dict)]


def text_of(content: Any) -> str:
    """The text of a content: a text itself, or the texts among its parts."""
    if isinstance(content, list):
        parts = [part for part in content if isinstance(part, dict)]
        return "".join(str(part.get("text", "")) for part in parts if part.get("type") == "text")
    return content if isinstance(content, str) else ""


def _message(message: Message) -> Json:
    said: Json = {"role": message.role.value}
    if message.content is not None or message.role is not Role.ASSISTANT:
        said["content"] = message.content or ""
    if message.tool_calls:
        said["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for call in message.tool_calls
        ]
    named = {"tool_call_id": message.tool_call_id, "name": message.name}
    said |= {name: value for name, value in named.items() if value is not None}
    return {**said, "prefix": True} if message.prefix else said


def _reason(reason: Any) -> FinishReason:
    return FinishReason.LENGTH if reason in ("length", "model_length") else FinishReason.STOP


def _refuse_if_spent(database: Database, model: Model) -> None:
    with database.transaction(write=False) as tx:
        upstreams.refuse_if_spent(tx, model)
