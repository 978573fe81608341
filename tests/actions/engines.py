"""An engine that follows a script."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field

from modiste.serve.sequence import Event, Finished, FinishReason, Generate, Tokens

Script = Callable[[Generate], list[Event | BaseException]]


@dataclass
class Engine:
    """Tells what its script says for each request."""

    script: Script
    asked: list[Generate] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)

    async def generate(self, request: Generate) -> AsyncGenerator[Event]:
        self.asked.append(request)
        try:
            for event in self.script(request):
                await asyncio.sleep(0)
                if isinstance(event, BaseException):
                    raise event
                yield event
        finally:
            self.closed.append(request.id)


def says(ids: tuple[int, ...], *, reason: FinishReason = FinishReason.STOP) -> Script:
    """All tokens in one event, as an engine that runs ahead does."""
    stop = int(reason is FinishReason.STOP)
    return lambda request: [
        Tokens(request.id, ids),
        Finished(request.id, reason, len(ids) + stop),
    ]
