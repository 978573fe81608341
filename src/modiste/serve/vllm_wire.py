"""What a vLLM server is asked and what it says, as JSON: pure functions.

Token ids go in and come out; text is never exchanged, so that one renderer serves all engines.
Every way of drawing is said explicitly, since the server would otherwise take what it misses from
the model's generation_config.json. Written against vLLM 0.32; ids are read from `token_ids`, or
from token strings of the form `token_id:5` where an older server knows only those.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any, NamedTuple

from modiste.errors import NotYetSupported, UpstreamFailed
from modiste.serve.sequence import (
    Finished,
    FinishReason,
    Generate,
    Grammar,
    GrammarKind,
    Logprob,
    Sampling,
    Tokens,
)

Json = dict[str, Any]
SEED_MASK = 2**63 - 1
"""The server's seeds are signed; ours are not."""
TOKEN_ID = "token_id:"  # noqa: S105
SAID = frozenset(
    {
        *("temperature", "top_p", "top_k", "min_p", "max_tokens", "min_tokens", "seed", "logprobs"),
        *("presence_penalty", "frequency_penalty", "repetition_penalty", "logit_bias"),
    }
)
"""Fields of `Sampling` that are said in `completion`."""


class Metrics(NamedTuple):
    """What `/metrics` says that concerns us."""

    running: int = 0
    waiting: int = 0
    cache_used: float = 0.0
    """Share of the KV cache, 0 to 1."""
    max_adapters: int | None = None
    """Adapters that can be computed with at once."""
    waiting_adapters: tuple[str, ...] = ()
    """Names for which requests wait because all places are taken."""


def completion(request: Generate, model: str) -> Json:
    """The body of a streamed `/v1/completions`.

    Raises:
        NotYetSupported: the request asks for something that cannot be said to vLLM.
    """
    sampling = request.sampling
    default = Sampling()
    for field in fields(sampling):
        if field.name not in SAID and getattr(sampling, field.name) != getattr(default, field.name):
            raise NotYetSupported(
                f"{field.name} is set, and is not passed on to vLLM", param=field.name
            )
    body: Json = {
        "model": model,
        "prompt": list(request.ids),
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_tokens": sampling.max_tokens,
        "min_tokens": sampling.min_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p if sampling.top_p > 0 else 1e-6,  # The server refuses 0.
        "top_k": sampling.top_k or 0,
        "min_p": sampling.min_p,
        "presence_penalty": sampling.presence_penalty,
        "frequency_penalty": sampling.frequency_penalty,
        "repetition_penalty": sampling.repetition_penalty,
        "stop_token_ids": sorted(request.stop_ids),
        "ignore_eos": True,  # Which tokens end an answer, the request says.
        "skip_special_tokens": False,
        "logprobs": sampling.logprobs or 0,
        "return_token_ids": True,
        "return_tokens_as_token_ids": True,
    }
    if sampling.seed is not None:
        body["seed"] = sampling.seed & SEED_MASK
    if sampling.logit_bias:
        body["logit_bias"] = {str(token): bias for token, bias in sampling.logit_bias.items()}
    if request.grammar is not None:
        body["structured_outputs"] = _grammar(request.grammar)
    return body


def scoring(ids: Sequence[int], model: str, n_top: int = 0) -> Json:
    """The body that asks for the log-probabilities of a prompt: one token too many is drawn."""
    return {
        "model": model,
        "prompt": list(ids),
        "max_tokens": 1,
        "temperature": 0.0,
        "prompt_logprobs": n_top,
        "add_special_tokens": False,
    }


def prompt_logprobs(answer: Mapping[str, Any], ids: Sequence[int], n_top: int = 0) -> list[Logprob]:
    """Of `ids[1:]`. Raises UpstreamFailed: they are not there, or are for other tokens."""
    try:
        told = answer["choices"][0]["prompt_logprobs"]
        if told[0] is not None or len(told) != len(ids):
            raise ValueError("not one entry per token")
        return [
            _of_prompt(entry, token, n_top) for entry, token in zip(told[1:], ids[1:], strict=True)
        ]
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise UpstreamFailed(
            f"vLLM told no log-probabilities of the prompt ({type(error).__name__}: {error})"
        ) from None


class Reader:
    """The chunks of one streamed answer to events; feed them in order."""

    def __init__(self, request: Generate) -> None:
        self._request = request
        self._n_generated = 0
        self._reason: FinishReason | None = None
        self._n_cached = 0

    def events(self, chunk: Mapping[str, Any]) -> Iterator[Tokens]:
        """
        Raises:
            UpstreamFailed: not a completion in token ids.
        """
        details = (chunk.get("usage") or {}).get("prompt_tokens_details") or {}
        self._n_cached = details.get("cached_tokens") or self._n_cached
        for choice in chunk.get("choices") or ():
            ids, logprobs = _ids(choice), _logprobs(choice, self._request.sampling.logprobs)
            reason = choice.get("finish_reason")
            self._n_generated += len(ids)
            if reason is not None:
                self._reason = _REASONS.get(reason, FinishReason.STOP)
            while ids and ids[-1] in self._request.stop_ids:
                ids.pop()  # A stop token is counted, and never shown.
            if ids:
                told = tuple(logprobs[: len(ids)])
                yield Tokens(self._request.id, tuple(ids), told)

    def finished(self) -> Finished:
        """Raises UpstreamFailed: the answer has no end."""
        if self._reason is None:
            raise UpstreamFailed("vLLM ended its stream without a reason")
        return Finished(self._request.id, self._reason, self._n_generated, self._n_cached)


def metrics(text: str) -> Metrics:
    """Prometheus' text; what is not there counts as nothing."""
    found: dict[str, float] = {}
    adapters: tuple[float, Json] = (-1.0, {})
    for line in text.splitlines():
        if not line.startswith("vllm:"):
            continue
        name, labels, value = _sample(line)
        if name == "vllm:lora_requests_info":
            adapters = max(adapters, (value, labels), key=lambda each: each[0])
        else:
            found[name] = found.get(name, 0.0) + value
    waiting = str(adapters[1].get("waiting_lora_adapters", ""))
    most = str(adapters[1].get("max_lora", ""))
    return Metrics(
        running=int(found.get("vllm:num_requests_running", 0)),
        waiting=int(found.get("vllm:num_requests_waiting", 0)),
        cache_used=found.get("vllm:kv_cache_usage_perc", 0.0),
        max_adapters=int(most) if most.isdigit() else None,
        waiting_adapters=tuple(name for name in waiting.split(",") if name),
    )


_REASONS = {
    "stop": FinishReason.STOP,
    "length": FinishReason.LENGTH,
    "abort": FinishReason.CANCELLED,
}


def _grammar(grammar: Grammar) -> Json:
    schema = grammar.text if grammar.kind is GrammarKind.JSON_SCHEMA else grammar.schema
    whole = grammar.after is None and not grammar.begun
    if whole and schema is not None:
        return {"json": json.loads(schema)}
    if whole and grammar.kind is GrammarKind.REGEX:
        return {"regex": grammar.text}
    raise NotYetSupported(
        "this answer must follow a grammar of token ids (tools, reasoning) or one that a prefix "
        "has begun, which is not passed on to vLLM; leave tool_choice at auto or none, and "
        "response_format to models without reasoning and messages without prefix",
        param="response_format",
    )


def _ids(choice: Mapping[str, Any]) -> list[int]:
    ids = choice.get("token_ids")
    if ids is None:
        tokens = (choice.get("logprobs") or {}).get("tokens")
        if tokens is None and choice.get("text"):
            raise UpstreamFailed("vLLM told text and no token ids; it is older than 0.5")
        ids = [_token(token) for token in tokens or ()]
    if not all(isinstance(token, int) for token in ids):
        raise UpstreamFailed("vLLM told token ids that are no numbers")
    return list(ids)


def _logprobs(choice: Mapping[str, Any], n_top: int | None) -> list[Logprob]:
    told = choice.get("logprobs")
    if n_top is None or not told:
        return []
    tops = told.get("top_logprobs") or [None] * len(told["token_logprobs"])
    return [
        Logprob(float(own), _top({_token(t): lp for t, lp in (top or {}).items()}, n_top))
        for own, top in zip(told["token_logprobs"], tops, strict=True)
    ]


def _of_prompt(entry: Mapping[str, Any], token: int, n_top: int) -> Logprob:
    found = {int(name): float(value["logprob"]) for name, value in entry.items()}
    return Logprob(found[token], _top(found, n_top))


def _top(found: Mapping[int, float], n: int) -> tuple[tuple[int, float], ...]:
    return tuple(sorted(found.items(), key=lambda each: (-each[1], each[0]))[:n])


def _token(text: str) -> int:
    if not text.startswith(TOKEN_ID):
        raise UpstreamFailed(f"vLLM told a token as {text!r}, expected token_id:N")
    return int(text.removeprefix(TOKEN_ID))


def _sample(line: str) -> tuple[str, Json, float]:
    head, _, value = line.rpartition(" ")
    name, _, rest = head.partition("{")
    labels: Json = {}
    for pair in rest.rstrip("}").split('",'):
        key, _, text = pair.partition('="')
        if text:
            labels[key.strip()] = text.rstrip('"')
    try:
        return name, labels, float(value)
    except ValueError:
        return name, labels, 0.0
