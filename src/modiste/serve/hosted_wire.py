"""What a hosted model is asked, in its own vendor's words, and what its answers count to.

Pure functions over JSON. A request comes in either dialect and goes out with every field it has:
names that differ are translated, hints that change no text and that the upstream would refuse are
left out, and a wish that it has no word for is refused by name. All else the upstream judges.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from modiste.errors import InvalidInput, NotYetSupported
from modiste.types import UpstreamKind

Json = dict[str, Any]

MISTRAL_HINTS = (
    "user",
    "store",
    "service_tier",
    "safety_identifier",
    "verbosity",
    "prompt_cache_retention",
)
"""OpenAI's hints that Mistral's endpoints refuse and that change no text."""


class Used(NamedTuple):
    prompt_tokens: int
    completion_tokens: int
    estimated: bool = False


def request_for(kind: UpstreamKind, body: Mapping[str, Any], *, model: str, stream: bool) -> Json:
    """The body to send.

    Raises:
        InvalidInput: two names for one thing with two values.
        NotYetSupported: naming a field that this kind of endpoint has no word for.
    """
    sent = {name: value for name, value in body.items() if value is not None}
    for field in ("messages", "model"):
        sent.pop(field, None)
    wishes = sent.pop("stream_options", None) or {}
    sent.pop("stream", None)
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        raise InvalidInput("messages is missing or empty; send at least one", param="messages")
    translate: Callable[[Json], None] = _TRANSLATE[kind]
    translate(sent)
    head: Json = {"model": model, "messages": [_message(kind, each) for each in messages]}
    if stream:
        head["stream"] = True
        if kind is not UpstreamKind.MISTRAL:
            head["stream_options"] = {**_plain(wishes), "include_usage": True}
    return {**head, **sent}


def used_of(answer: Mapping[str, Any]) -> Used | None:
    """What an answer or a chunk says it took; None where it says nothing."""
    usage = answer.get("usage")
    if not isinstance(usage, dict):
        return None
    asked, answered = usage.get("prompt_tokens"), usage.get("completion_tokens")
    if not (isinstance(asked, int) and isinstance(answered, int) and asked >= 0 <= answered):
        return None
    return Used(asked, answered)


def estimate(body: Mapping[str, Any], n_characters: int) -> Used:
    """Where the upstream never said: four characters a token, rounded up."""
    asked = sum(len(text) for text in _texts(body.get("messages")))
    return Used(-(-asked // 4), -(-n_characters // 4), estimated=True)


def n_characters(part: Any) -> int:
    """Of all texts in a part of an answer."""
    return sum(len(text) for text in _texts(part))


def _to_openai(sent: Json) -> None:
    _rename(sent, "random_seed", "seed")
    if sent.get("tool_choice") == "any":
        sent["tool_choice"] = "required"
    if sent.pop("safe_prompt", False):
        raise _no_word("safe_prompt")
    if "prompt_mode" in sent:
        raise _no_word("prompt_mode")


def _to_mistral(sent: Json) -> None:
    _rename(sent, "seed", "random_seed")
    _rename(sent, "max_completion_tokens", "max_tokens")
    if sent.get("tool_choice") == "required":
        sent["tool_choice"] = "any"
    for name in MISTRAL_HINTS:
        sent.pop(name, None)
    for name in ("functions", "function_call", "logit_bias", "audio", "web_search_options"):
        if sent.get(name):
            raise _no_word(name)
        sent.pop(name, None)
    if sent.get("logprobs") or sent.get("top_logprobs"):
        raise _no_word("logprobs")
    sent.pop("logprobs", None)
    sent.pop("top_logprobs", None)
    if sent.pop("modalities", ["text"]) != ["text"]:
        raise _no_word("modalities")


_TRANSLATE: Mapping[UpstreamKind, Callable[[Json], None]] = {
    UpstreamKind.OPENAI: _to_openai,
    UpstreamKind.MISTRAL: _to_mistral,
}


def _message(kind: UpstreamKind, message: Any) -> Any:
    if not isinstance(message, dict):
        raise InvalidInput("messages holds something that is no object", param="messages")
    sent = dict(message)
    if kind is UpstreamKind.MISTRAL:
        if sent.get("role") == "developer":
            sent["role"] = "system"
        return {name: value for name, value in sent.items() if value is not None}
    if sent.pop("prefix", False):
        raise NotYetSupported(
            "messages ends in one with prefix, and this upstream (kind openai) cannot go on within "
            "a message",
            param="messages",
        )
    calls = sent.get("tool_calls")
    if isinstance(calls, list):
        sent["tool_calls"] = [
            {"type": "function", **call} if isinstance(call, dict) else call for call in calls
        ]
    return sent


def _rename(sent: Json, ours: str, theirs: str) -> None:
    if ours not in sent:
        return
    value = sent.pop(ours)
    if sent.setdefault(theirs, value) != value:
        raise InvalidInput(
            f"{ours} is {value} but {theirs} is {sent[theirs]}; they mean the same, send one",
            param=ours,
        )


def _no_word(name: str) -> NotYetSupported:
    return NotYetSupported(f"{name} is set, and this upstream has no word for it", param=name)


def _plain(value: Any) -> Json:
    return dict(value) if isinstance(value, dict) else {}


def _texts(value: Any) -> list[str]:
    """Every text in a JSON value, but for the names of its fields."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for each in value.values() for text in _texts(each)]
    if isinstance(value, list):
        return [text for each in value for text in _texts(each)]
    return []
