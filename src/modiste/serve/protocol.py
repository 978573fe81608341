"""What the engine and its client say to each other: JSON frames on a Unix socket.

A frame is four bytes of length, big-endian, and one JSON object. Client to engine:
`{"op": "generate" | "score" | "abort" | "status", "id": n, ...}`; engine to client: one frame per
step, `{"events": [...]}`, each event with the `id` it answers. The ids on the wire are numbers that
the client counts up per connection, so that two callers may use one name.

No pickles: a frame can say only what this file lets it say. It refuses a frame over
`MAX_FRAME_BYTES`, so that a lost byte cannot ask for all memory.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from modiste.errors import InvalidInput
from modiste.serve.sequence import (
    Event,
    Failed,
    Finished,
    FinishReason,
    Generate,
    Request,
    Sampling,
    Score,
    Scored,
    Tokens,
)

MAX_FRAME_BYTES = 64 * 1024 * 1024
LENGTH = struct.Struct(">I")

ENGINE_FILE = "engine.json"
"""In the process folder: `{"pid", "socket"}` of the engine that listens now."""


def encode(message: Mapping[str, Any]) -> bytes:
    body = orjson.dumps(message)
    if len(body) > MAX_FRAME_BYTES:
        raise InvalidInput(f"a frame of {len(body)} bytes is over the limit of {MAX_FRAME_BYTES}")
    return LENGTH.pack(len(body)) + body


def frame_length(head: bytes) -> int:
    """Length of the body behind these four bytes.

    Raises:
        InvalidInput: longer than `MAX_FRAME_BYTES`.
    """
    length: int = LENGTH.unpack(head)[0]
    if length > MAX_FRAME_BYTES:
        raise InvalidInput(f"a frame of {length} bytes is over the limit of {MAX_FRAME_BYTES}")
    return length


def decode(body: bytes) -> dict[str, Any]:
    try:
        message = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidInput(f"a frame is not JSON: {error}") from None
    if not isinstance(message, dict):
        raise InvalidInput(f"a frame holds a {type(message).__name__}, expected an object")
    return message


class Unframer:
    """Bytes in as they arrive, whole messages out."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[dict[str, Any]]:
        self._buffer += data
        while len(self._buffer) >= LENGTH.size:
            end = LENGTH.size + frame_length(bytes(self._buffer[: LENGTH.size]))
            if len(self._buffer) < end:
                return
            body = bytes(self._buffer[LENGTH.size : end])
            del self._buffer[:end]
            yield decode(body)


def request_to_wire(request: Request, number: int) -> dict[str, Any]:
    message: dict[str, Any] = {
        "op": "generate" if isinstance(request, Generate) else "score",
        "id": number,
        "name": request.id,
        "base": request.base,
        "adapter": request.adapter,
        "adapter_version": request.adapter_version,
        "ids": request.ids,
    }
    if isinstance(request, Generate):
        sampling = request.sampling
        message["stop_ids"] = sorted(request.stop_ids)
        message["sampling"] = {
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "max_tokens": sampling.max_tokens,
            "seed": sampling.seed,
            "presence_penalty": sampling.presence_penalty,
            "frequency_penalty": sampling.frequency_penalty,
        }
    return message


def request_from_wire(message: Mapping[str, Any]) -> Request:
    """
    Raises:
        InvalidInput: a field is missing, of the wrong type or out of range.
    """
    try:
        name, base, ids = str(message["name"]), str(message["base"]), tuple(message["ids"])
        adapter, version = message.get("adapter"), message.get("adapter_version")
        stop_ids = frozenset(message.get("stop_ids", ()))
        if not all(type(token) is int for token in (*ids, *stop_ids)):
            raise InvalidInput("ids and stop_ids hold whole numbers only", param="ids")
        if not all(isinstance(text, str | None) for text in (adapter, version)):
            raise InvalidInput("adapter and adapter_version are texts or absent", param="adapter")
        if message["op"] == "score":
            return Score(name, base, ids, adapter=adapter, adapter_version=version)
        return Generate(
            name,
            base,
            ids,
            adapter=adapter,
            adapter_version=version,
            stop_ids=stop_ids,
            sampling=Sampling(**message["sampling"]),
        )
    except (KeyError, TypeError) as error:
        raise InvalidInput(f"a request lacks or misnames a field: {error}") from None


def event_to_wire(event: Event, number: int) -> dict[str, Any]:
    match event:
        case Tokens():
            return {"id": number, "tokens": event.ids}
        case Finished():
            return {"id": number, "finished": event.reason, "n_generated": event.n_generated}
        case Scored():
            return {"id": number, "logprobs": event.logprobs}
        case Failed():
            return {
                "id": number,
                "failed": event.code,
                "message": event.message,
                "retry_after_s": event.retry_after_s,
            }


def event_from_wire(message: Mapping[str, Any], name: str) -> Event:
    """The event as its caller knows it: `name` is the id of the request it answers."""
    if "tokens" in message:
        return Tokens(name, tuple(message["tokens"]))
    if "finished" in message:
        return Finished(name, FinishReason(message["finished"]), message["n_generated"])
    if "logprobs" in message:
        return Scored(name, tuple(message["logprobs"]))
    return Failed(name, message["failed"], message["message"], message["retry_after_s"])
