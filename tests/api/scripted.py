"""A real front on a real port with a real database; the engine is a script, so that it can fail."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import uvicorn

from modiste import settings as settings_module
from modiste.api.app import build_app
from modiste.errors import Unavailable
from modiste.prepare import render
from modiste.serve.sequence import (
    Embed,
    Event,
    Failed,
    Finished,
    FinishReason,
    Generate,
    Logprob,
    Pooling,
    PromptLogprobs,
    Tokens,
)
from modiste.settings import Settings

FINGERPRINT = "fp_0123456789"
TINY = Path(settings_module.__file__).parent / "bases" / "tiny"


def chat_row(question: str, answer: str) -> dict[str, object]:
    """One training row."""
    return {
        "messages": [
            {"role": "user", "content": question},
            {"role": "assistant", "content": answer},
        ]
    }


def jsonl(*rows: object) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


@dataclass
class ScriptedEngine:
    """Says what it is told to say, token by token, and remembers what it was asked."""

    asked: list[Generate] = field(default_factory=list)
    aborted: list[str] = field(default_factory=list)
    embedded: list[Embed] = field(default_factory=list)
    text: str = "Hello there."
    ids: tuple[int, ...] = ()
    """Said in place of the text, where there are any."""
    pause_s: float = 0.0
    failure: Failed | None = None
    """Told instead of an answer, or after `fails_after` tokens."""
    fails_after: int = 0
    down: bool = False

    async def generate(self, request: Generate) -> AsyncIterator[Event]:
        self.asked.append(request)
        finished = False
        try:
            async for event in self._tell(request):
                finished = isinstance(event, Finished | Failed)
                yield event
        finally:
            if not finished:
                self.aborted.append(request.id)

    async def _tell(self, request: Generate) -> AsyncIterator[Event]:
        n_told = 0
        if request.prompt_logprobs is not None:
            each = [told_logprobs(request.prompt_logprobs, token)[0] for token in request.ids[1:]]
            yield PromptLogprobs(request.id, tuple(each))
        for token in self.ids or render.load(TINY).encode(self.text):
            if self.failure and n_told == self.fails_after:
                break
            if n_told == request.sampling.max_tokens:
                yield Finished(request.id, FinishReason.LENGTH, n_told)
                return
            await asyncio.sleep(self.pause_s)
            fingerprint = FINGERPRINT if n_told == 0 else ""
            logprobs = told_logprobs(request.sampling.logprobs, token)
            yield Tokens(request.id, (token,), logprobs, fingerprint)
            n_told += 1
        if request.sampling.logprobs is not None and not request.stop_ids:
            yield Tokens(request.id, (2,), told_logprobs(request.sampling.logprobs, 2))
        yield self.failure or Finished(request.id, FinishReason.STOP, n_told + 1)

    async def embed(self, request: Embed) -> tuple[float, ...]:
        """As many ones as the text has tokens, in a vector of the base's size, made length 1; of a
        classifier, that no label holds."""
        self.embedded.append(request)
        await asyncio.sleep(self.pause_s)
        if self.failure:
            raise self.failure.error()
        if request.pooling is Pooling.HEADS:
            return (0.0,) * 256
        n = min(len(request.ids), 256)
        return (n**-0.5,) * n + (0.0,) * (256 - n)

    async def status(self) -> dict[str, object]:
        if self.down:
            raise Unavailable("no engine listens; it is starting or down")
        return {"running": 0}

    async def close(self) -> None:
        """Nothing is open."""


def told_logprobs(n: int | None, token: int) -> tuple[Logprob, ...]:
    """The token itself is the second likeliest, behind `[INST]`."""
    return () if n is None else (Logprob(-0.5, ((3, -0.25), (token, -0.5), (5, -3.0))[:n]),)


@dataclass
class Front:
    url: str
    key: str
    settings: Settings
    engine: ScriptedEngine

    def client(self, key: str | None = None, **headers: str) -> httpx.Client:
        authorization = {"authorization": f"Bearer {key or self.key}"}
        return httpx.Client(base_url=self.url, headers=authorization | headers, timeout=30)


def run_front(settings: Settings, engine: ScriptedEngine) -> Iterator[Front]:
    app = build_app(settings, engine=engine)  # type: ignore[arg-type]
    config = uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the front did not start"
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    key = settings.admin_key_file.read_text().strip()
    try:
        yield Front(f"http://127.0.0.1:{port}", key, settings, engine)
    finally:
        server.should_exit = True
        thread.join(timeout=10)


def settings_for(home: Path, **changes: object) -> Settings:
    flags = {"home": home, "workers": 0, "max_upload_bytes": 200_000, **changes}
    flags["base_aliases"] = {"open-mistral-7b": "modiste-tiny"}
    return settings_module.load(flags, environment={})
