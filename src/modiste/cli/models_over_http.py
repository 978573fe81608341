"""Models as judges reach them from the command line: one chat route, several requests at a time.

Full and restarting servers are waited for, as long as they ask and at a pace of its own per model;
whatever else goes wrong with a request is a failure in its answer.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar

from modiste.client import Client
from modiste.errors import Busy, ModisteError, NotYetSupported, Unavailable, UpstreamTimeout
from modiste.evaluate.items import Answer, Failure, Likelihood, Prompt, TokenLogprob
from modiste.evaluate.pace import Pace
from modiste.types import Message

T = TypeVar("T")
MAX_TRIES = 6
FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 30.0


class Price(NamedTuple):
    """Micro-units per million tokens."""

    prompt: int
    completion: int


class HttpModels:
    """`evaluate.items.Models` over a client of the server; close it with `with`."""

    def __init__(self, client: Client, *, at_once: int) -> None:
        self._client = client
        self._at_once = at_once
        self._threads = ThreadPoolExecutor(max_workers=at_once, thread_name_prefix="judge")
        self._paces: dict[str, Pace] = {}
        self._prices: dict[str, Price | None] = {}

    def __enter__(self) -> HttpModels:
        return self

    def __exit__(self, *error: object) -> None:
        self._threads.shutdown(cancel_futures=True)

    async def chat(self, model: str, prompt: Prompt) -> Answer:
        body = body_of(model, prompt)
        try:
            told, latency_s = await self._paced(model, lambda: self._timed(body))
            price = await self._price(model)
        except UpstreamTimeout as error:
            return Answer(failure=Failure("timeout", error.message))
        except ModisteError as error:
            return Answer(failure=Failure(error.error_code, error.message))
        return answer_of(told, latency_s, price)

    async def embed(self, model: str, texts: Sequence[str]) -> list[list[float]]:
        body = {"model": model, "input": list(texts)}
        told = await self._paced(model, lambda: self._client.post("/v1/embeddings", body))
        return [list(map(float, row["embedding"])) for row in told["data"]]

    async def likelihoods(
        self, model: str, text: str, continuations: Sequence[str]
    ) -> tuple[Likelihood, ...]:
        raise NotYetSupported("log-likelihoods of given texts are not asked for from here")

    def _timed(self, body: Mapping[str, Any]) -> tuple[dict[str, Any], float]:
        started = time.perf_counter()
        return self._client.chat(body), time.perf_counter() - started

    async def _price(self, model: str) -> Price | None:
        """Of a hosted model whose owner gave one; looked up once."""
        if model not in self._prices:
            card = await self._in_thread(lambda: self._client.get(f"/v1/models/{model}"))
            self._prices[model] = _price_of(card.get("upstream") or {})
        return self._prices[model]

    async def _paced(self, model: str, send: Callable[[], T]) -> T:
        """
        Raises:
            ModisteError: what the last try ended in.
        """
        pace = self._paces.setdefault(model, Pace(self._at_once, start=self._at_once))
        for n_tries in range(1, MAX_TRIES + 1):
            try:
                async with pace.turn() as sent:
                    answer = await self._in_thread(send)
            except Busy as error:
                if error.error_code == "budget_spent" or n_tries == MAX_TRIES:
                    raise
                pace.full(sent, error.retry_after_s)
            except Unavailable as error:
                if n_tries == MAX_TRIES:
                    raise
                await asyncio.sleep(_wait_s(error, n_tries))
            else:
                pace.succeeded()
                return answer
        raise AssertionError("every try returns or raises")

    async def _in_thread(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)


def _price_of(upstream: Mapping[str, Any]) -> Price | None:
    p_in, p_out = upstream.get("price_in_micro"), upstream.get("price_out_micro")
    return None if p_in is None or p_out is None else Price(p_in, p_out)


def _wait_s(gone: Unavailable, n_tries: int) -> float:
    """As long as it asks, or longer every time, with full jitter."""
    jittered = FIRST_WAIT_S * 2**n_tries * random.random()  # noqa: S311
    wanted = jittered if gone.retry_after_s is None else gone.retry_after_s
    return min(LONGEST_WAIT_S, wanted)


def body_of(model: str, prompt: Prompt) -> dict[str, Any]:
    """The request as the server takes it; what was not asked for is left out."""
    body: dict[str, Any] = {
        "model": model,
        "messages": [_message(message) for message in prompt.messages],
        "temperature": prompt.temperature,
        "top_p": prompt.top_p,
    }
    given = {"max_tokens": prompt.max_tokens, "seed": prompt.seed, "stop": list(prompt.stop)}
    body |= {name: value for name, value in given.items() if value not in (None, [])}
    if prompt.schema is not None:
        schema = {"name": "answer", "schema": dict(prompt.schema), "strict": True}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    if prompt.tools:
        body["tools"] = [dict(tool) for tool in prompt.tools]
    if prompt.top_logprobs is not None:
        body |= {"logprobs": True, "top_logprobs": prompt.top_logprobs}
    return body


def answer_of(told: Mapping[str, Any], latency_s: float, price: Price | None) -> Answer:
    choice = (told.get("choices") or [{}])[0]
    message, usage = choice.get("message") or {}, told.get("usage") or {}
    n_in, n_out = usage.get("prompt_tokens") or 0, usage.get("completion_tokens") or 0
    cost = None if price is None else round((n_in * price.prompt + n_out * price.completion) / 1e6)
    return Answer(
        text=_text(message.get("content")),
        finish=choice.get("finish_reason") or "stop",
        prompt_tokens=n_in,
        completion_tokens=n_out,
        latency_s=latency_s,
        cost_micro=cost,
        logprobs=tuple(map(_logprob, (choice.get("logprobs") or {}).get("content") or ())),
    )


def _message(message: Message) -> dict[str, str]:
    return {"role": message.role.value, "content": message.content or ""}


def _text(content: Any) -> str:
    """Content may come in chunks, thoughts among them, which are no part of the verdict."""
    if isinstance(content, list):
        return "".join(part.get("text") or "" for part in content if isinstance(part, dict))
    return content or ""


def _logprob(token: Mapping[str, Any]) -> TokenLogprob:
    top = tuple((each["token"], float(each["logprob"])) for each in token.get("top_logprobs") or ())
    return TokenLogprob(token["token"], float(token["logprob"]), top)
