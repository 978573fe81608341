"""Replies of judges that are kept: the same judge is not asked the same thing twice.

The same is: the model with its revision, every word of the prompt, and the sampling with its seed.
Only prompts that allow it (`Prompt.reuse`) and replies that could be read are kept, so that a judge
that failed is asked again. A reply that is reused took no time and no money, and says so.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, replace
from typing import Protocol

from pydantic import TypeAdapter

from modiste.errors import ModisteError
from modiste.evaluate.items import Answer, Likelihood, Models, Prompt

ANSWERS: TypeAdapter[Answer] = TypeAdapter(Answer)
FORM = 1
"""Raised when the same key comes to mean another question."""


class Replies(Protocol):
    """Where they lie; what cannot be read there is not there."""

    async def get(self, key: str) -> bytes | None: ...

    async def put(self, key: str, reply: bytes) -> None: ...


class KeptReplies:
    """`Models` that remember what judges said."""

    def __init__(
        self, models: Models, replies: Replies, *, revision: Callable[[str], Awaitable[str]]
    ) -> None:
        """
        Args:
            revision: what answers to a model's name, down to its weights where that is known;
                raises ModisteError where nothing does.
        """
        self._models, self._replies, self._revision = models, replies, revision

    async def chat(self, model: str, prompt: Prompt) -> Answer:
        key = await self._key(model, prompt)
        if key is not None and (kept := await self._replies.get(key)) is not None:
            return replace(ANSWERS.validate_json(kept), reused=True)
        return await self._models.chat(model, prompt)

    async def keep(self, model: str, prompt: Prompt, answer: Answer) -> None:
        """An answer of `chat` that could be read."""
        key = None if answer.reused else await self._key(model, prompt)
        if key is not None:
            await self._replies.put(key, ANSWERS.dump_json(answer))

    async def likelihoods(
        self, model: str, text: str, continuations: Sequence[str]
    ) -> tuple[Likelihood, ...]:
        return await self._models.likelihoods(model, text, continuations)

    async def embed(self, model: str, texts: Sequence[str]) -> list[list[float]]:
        return await self._models.embed(model, texts)

    async def _key(self, model: str, prompt: Prompt) -> str | None:
        """None where nothing is kept of it."""
        if not prompt.reuse:
            return None
        try:
            revision = await self._revision(model)
        except ModisteError:
            return None
        asked = {"form": FORM, "model": revision, **asdict(prompt)}
        canonical = json.dumps(asked, sort_keys=True, ensure_ascii=True)
        return hashlib.sha256(canonical.encode()).hexdigest()
