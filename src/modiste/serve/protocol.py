"""What the engine and its client say to each other: JSON frames on a Unix socket.

A frame is four bytes of length, big-endian, and one JSON object. Client to engine:
`{"op": "generate" | "score" | "embed" | "abort" | "status", "id": n, ...}`; engine to client: one
frame per step, `{"events": [...]}`, each event with the `id` it answers. The ids on the wire are
numbers that the client counts up per connection, so that two callers may use one name.

No pickles: a frame can say only what this file lets it say. It refuses a frame over
`MAX_FRAME_BYTES`, so that a lost byte cannot ask for all memory.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import orjson

from modiste.errors import InvalidInput
from modiste.serve.sequence import (
    Embed,
    Embedded,
    Event,
    Failed,
    Finished,
    FinishReason,
    Generate,
    Grammar,
    GrammarKind,
    Logprob,
    Pooling,
    PromptLogprobs,
    Request,
    Sampling,
    Score,
    Scored,
    Tokens,
)

MAX_FRAME_BYTES = 64 * 1024 * 1024
LENGTH = struct.Struct(">I")
OPERATIONS: Mapping[type[Request], str] = {Generate: "generate", Score: "score", Embed: "embed"}

ENGINE_FILE = "engine.json"
"""In the process folder: `{"pid", "socket"}` of the engine that listens now."""
RESTART_S = 3.0
"""What a new engine needs to listen: import torch, open the socket."""


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
        "op": OPERATIONS[type(request)],
        "id": number,
        "name": request.id,
        "base": request.base,
        "adapter": request.adapter,
        "adapter_version": request.adapter_version,
        "owner": request.owner,
        "ids": request.ids,
    }
    if isinstance(request, Embed):
        message["pooling"] = request.pooling
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
            "repetition_penalty": sampling.repetition_penalty,
            "top_k": sampling.top_k,
            "min_p": sampling.min_p,
            "min_tokens": sampling.min_tokens,
            "logit_bias": list(sampling.logit_bias.items()),
            "logprobs": sampling.logprobs,
        }
        message["prompt_logprobs"] = request.prompt_logprobs
        if (grammar := request.grammar) is not None:
            message["grammar"] = {
                "kind": grammar.kind,
                "text": grammar.text,
                "after": grammar.after,
                "begun": grammar.begun,
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
        owner = str(message.get("owner", ""))
        stop_ids = frozenset(message.get("stop_ids", ()))
        if not all(type(token) is int for token in (*ids, *stop_ids)):
            raise InvalidInput("ids and stop_ids hold whole numbers only", param="ids")
        if not all(isinstance(text, str | None) for text in (adapter, version)):
            raise InvalidInput("adapter and adapter_version are texts or absent", param="adapter")
        if message["op"] == "score":
            return Score(name, base, ids, adapter=adapter, adapter_version=version, owner=owner)
        if message["op"] == "embed":
            pooling = Pooling(message["pooling"])
            return Embed(name, base, ids, adapter, version, owner, pooling)
        return Generate(
            name,
            base,
            ids,
            adapter=adapter,
            adapter_version=version,
            stop_ids=stop_ids,
            sampling=_sampling(message["sampling"]),
            grammar=_grammar(message.get("grammar")),
            prompt_logprobs=message.get("prompt_logprobs"),
            owner=owner,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InvalidInput(f"a request lacks or misnames a field: {error}") from None


def _sampling(fields: Mapping[str, Any]) -> Sampling:
    return Sampling(**{**fields, "logit_bias": dict(fields.get("logit_bias", ()))})


def _grammar(fields: Mapping[str, Any] | None) -> Grammar | None:
    if fields is None:
        return None
    kind, text, after = GrammarKind(fields["kind"]), fields["text"], fields.get("after")
    begun = fields.get("begun", "")
    if not (isinstance(text, str) and isinstance(begun, str)):
        raise InvalidInput("grammar.text and grammar.begun are texts", param="grammar")
    if not (after is None or type(after) is int):
        raise InvalidInput("grammar.after is a token id", param="grammar")
    return Grammar(kind, text, after, begun=begun)


def event_to_wire(event: Event, number: int) -> dict[str, Any]:
    match event:
        case Tokens():
            told: dict[str, Any] = {"id": number, "tokens": event.ids}
            if event.logprobs:
                told["token_logprobs"] = _told(event.logprobs)
            if event.fingerprint:
                told["fingerprint"] = event.fingerprint
            return told
        case PromptLogprobs():
            return {"id": number, "prompt_logprobs": _told(event.logprobs)}
        case Finished():
            return {
                "id": number,
                "finished": event.reason,
                "n_generated": event.n_generated,
                "n_cached": event.n_cached,
            }
        case Scored():
            return {"id": number, "logprobs": event.logprobs}
        case Embedded():
            return {"id": number, "vector": event.vector}
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
        logprobs = _logprobs(message.get("token_logprobs", ()))
        return Tokens(name, tuple(message["tokens"]), logprobs, message.get("fingerprint", ""))
    if "prompt_logprobs" in message:
        return PromptLogprobs(name, _logprobs(message["prompt_logprobs"]))
    if "finished" in message:
        reason = FinishReason(message["finished"])
        return Finished(name, reason, message["n_generated"], message["n_cached"])
    if "logprobs" in message:
        return Scored(name, tuple(message["logprobs"]))
    if "vector" in message:
        return Embedded(name, tuple(message["vector"]))
    return Failed(name, message["failed"], message["message"], message["retry_after_s"])


def ends(message: Mapping[str, Any]) -> bool:
    """Whether nothing follows this answer of the engine."""
    return "tokens" not in message and "prompt_logprobs" not in message


def _told(logprobs: Iterable[Logprob]) -> list[Any]:
    return [[logprob, top] for logprob, top in logprobs]


def _logprobs(told: Iterable[Any]) -> tuple[Logprob, ...]:
    return tuple(
        Logprob(logprob, tuple((token, beside) for token, beside in top)) for logprob, top in told
    )
