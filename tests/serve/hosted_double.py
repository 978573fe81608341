"""A double of a hosted endpoint: chat completions on loopback that follow a script.

It stands for what cannot be had in a test (a vendor's servers) and remembers what it was sent.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}


@dataclass
class HostedDouble:
    """What it does next: answers of `script` first, one a request, then `answer` for ever."""

    answer: dict[str, Any] = field(default_factory=lambda: completion("Hello there."))
    chunks: list[Any] = field(default_factory=lambda: streamed("Hello", " there."))
    """Sent as they are (bytes) or as data (objects); a number is a pause in seconds."""
    script: list[Response] = field(default_factory=list)
    usage_in_stream: bool = True
    url: str = ""
    bodies: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    n_left: int = 0
    """Streams whose reader left before the end."""

    async def respond(self, request: Request) -> Response:
        self.bodies.append(await request.json())
        self.headers.append(dict(request.headers))
        if self.script:
            return self.script.pop(0)
        if self.bodies[-1].get("stream"):
            return StreamingResponse(self._stream(), media_type="text/event-stream")
        return JSONResponse(self.answer)

    async def _stream(self) -> AsyncIterator[bytes]:
        ended = False
        try:
            for chunk in self.chunks:
                if isinstance(chunk, float):
                    await asyncio.sleep(chunk)
                else:
                    yield chunk if isinstance(chunk, bytes) else sse(chunk)
            ended = True
        finally:
            self.n_left += not ended


def sse(value: Any) -> bytes:
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def completion(text: str, **message: Any) -> dict[str, Any]:
    said = {"role": "assistant", "content": text, **message}
    choice = {"index": 0, "message": said, "finish_reason": "stop"}
    head = {"id": "there-1", "object": "chat.completion", "created": 1, "model": "their-name"}
    return {**head, "choices": [choice], "usage": USAGE, "system_fingerprint": "fp_1"}


def chunk(delta: dict[str, Any], finish_reason: str | None = None, **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish_reason}
    head = {"id": "there-1", "object": "chat.completion.chunk", "created": 1, "model": "their-name"}
    return {**head, "choices": [choice], **more}


def streamed(*texts: str) -> list[Any]:
    """As OpenAI's endpoint streams when usage is asked for."""
    usage = {**chunk({}), "choices": [], "usage": USAGE}
    return [
        chunk({"role": "assistant", "content": ""}),
        *(chunk({"content": text}) for text in texts),
        chunk({}, "stop"),
        usage,
        b"data: [DONE]\n\n",
    ]


@contextmanager
def running(double: HostedDouble) -> Iterator[HostedDouble]:
    routes = [Route("/v1/chat/completions", double.respond, methods=["POST"])]
    config = uvicorn.Config(Starlette(routes=routes), host="127.0.0.1", port=0, log_level="error")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the double did not start"
        time.sleep(0.01)
    double.url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/v1"
    try:
        yield double
    finally:
        server.should_exit = True
        thread.join(timeout=10)
