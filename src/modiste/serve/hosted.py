"""The client of one endpoint that speaks as OpenAI's or Mistral's: chats, or completions.

Requests and answers are JSON objects as the upstream speaks them; `hosted_wire` translates. What
goes wrong is said in our errors with the upstream named, and never with the key in it. A request is
repeated only while nothing of its answer has come, and not after a time-out, since the upstream may
be at work on it. The key goes to the address of the model and nowhere else.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import orjson
from pydantic import SecretStr

from modiste.errors import BadRequest, Busy, ModisteError, UpstreamFailed, UpstreamTimeout
from modiste.serve.breaker import Breaker

Json = dict[str, Any]

TRIES = 3
FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 5.0
"""An upstream that asks for more patience than this is not waited for: its caller is told."""
RETRIED = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
MAX_EVENT_BYTES = 8 * 1024 * 1024
MAX_ANSWER_BYTES = 64 * 1024 * 1024
ANSWERS = {"choices": "a chat completion", "results": "moderations"}
"""What holds which list."""
MAX_SAID = 500
"""Characters of an upstream's own words in our error."""


@dataclass(frozen=True)
class Limits:
    """Seconds."""

    connect_s: float = 5.0
    first_token_s: float = 60.0
    token_s: float = 60.0
    answer_s: float = 600.0


class HostedClient:
    """Chat completions at `url`, or what answers alike at `path`. One per upstream and event loop.

    Args:
        who: how errors call it, e.g. `big (api.openai.com)`.
        key_name: how errors call its key.
        transport: a `CheckedTransport`, or a double.
        sleep: how pauses are made.
        holds: the list that every whole answer has.
    """

    def __init__(
        self,
        url: str,
        *,
        who: str,
        key_name: str,
        limits: Limits,
        transport: httpx.AsyncBaseTransport,
        breaker: Breaker | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        path: str = "/chat/completions",
        holds: str = "choices",
    ) -> None:
        self.breaker = breaker or Breaker()
        self._url = f"{url}{path}"
        self._who, self._key_name = who, key_name
        self._limits, self._sleep, self._holds = limits, sleep, holds
        self._client = httpx.AsyncClient(
            transport=transport,
            follow_redirects=False,
            trust_env=False,
            timeout=limits.answer_s,
        )

    async def close(self) -> None:
        await self._client.aclose()

    async def whole(self, body: Mapping[str, Any], key: SecretStr | None) -> Json:
        """The answer to a request that is not streamed.

        Raises:
            ModisteError: see `_refused`, `_lost`; Forbidden where its address may not be asked.
        """
        async with self._answered(body, key, first_s=self._limits.answer_s) as response:
            content = bytearray()
            async with self._in_time(self._limits.answer_s):
                async for piece in response.aiter_bytes():
                    content += piece
                    if len(content) > MAX_ANSWER_BYTES:
                        raise self._nonsense(f"an answer of over {MAX_ANSWER_BYTES} bytes")
        answer = _object(bytes(content))
        if answer is None or not isinstance(answer.get(self._holds), list):
            raise self._nonsense(f"something else than {ANSWERS[self._holds]}")
        return answer

    async def stream(
        self, body: Mapping[str, Any], key: SecretStr | None
    ) -> AsyncGenerator[Json, None]:
        """The chunks of a streamed answer. Closing the iterator hangs up.

        Raises:
            ModisteError: as `whole`; UpstreamFailed also where the stream breaks off.
        """
        limit_s = self._limits.first_token_s
        async with self._answered(body, key, first_s=limit_s) as response:
            ended, n_events = False, 0
            async with aclosing(_events(response)) as events:
                while True:
                    async with self._in_time(limit_s, after=n_events):
                        event = await anext(events, None)
                    if event is None:
                        break
                    n_events, limit_s = n_events + 1, self._limits.token_s
                    if event == b"[DONE]":
                        ended = True
                        break
                    chunk = _object(event)
                    if chunk is None:
                        raise self._nonsense("an event that is no JSON object")
                    if chunk.get("error") or chunk.get("object") == "error":
                        raise self._broke_off(_said(chunk), key)
                    ended = ended or _has_finish(chunk)
                    yield chunk
            if not ended:
                raise self._broke_off("the stream ended without an end", key)

    @asynccontextmanager
    async def _answered(
        self, body: Mapping[str, Any], key: SecretStr | None, *, first_s: float
    ) -> AsyncGenerator[httpx.Response, None]:
        """A response whose body may be read; its breaker learns how it went."""
        self.breaker.enter(self._who)
        verdict = False
        try:
            response = await self._with_retries(body, key, first_s=first_s)
            try:
                yield response
            finally:
                await response.aclose()
            self.breaker.succeeded()
            verdict = True
        except (UpstreamFailed, UpstreamTimeout) as error:
            self.breaker.failed(error.message)
            verdict = True
            raise
        except httpx.HTTPError as error:  # The connection broke while the body was read.
            lost = self._broke_off(type(error).__name__, key)
            self.breaker.failed(lost.message)
            verdict = True
            raise lost from None
        except (BadRequest, Busy):
            self.breaker.succeeded()  # It lives, and says no.
            verdict = True
            raise
        finally:
            if not verdict:
                self.breaker.undecided()

    async def _with_retries(
        self, body: Mapping[str, Any], key: SecretStr | None, *, first_s: float
    ) -> httpx.Response:
        for attempt in range(1, TRIES + 1):
            pause_s = random.uniform(0.5, 1.0) * FIRST_PAUSE_S * 2 ** (attempt - 1)  # noqa: S311
            try:
                response = await self._sent(body, key, first_s=first_s)
            except (httpx.ReadTimeout, httpx.WriteTimeout, TimeoutError):
                raise self._silent(first_s, after=0) from None
            except httpx.HTTPError as error:
                if attempt == TRIES:
                    raise self._lost(error) from None
            else:
                if response.is_success:
                    return response
                refused = await self._refused(response, key)
                asked_s = refused.retry_after_s or 0.0
                if (
                    attempt == TRIES
                    or response.status_code not in RETRIED
                    or asked_s > LONGEST_PAUSE_S
                ):
                    raise refused
                pause_s = max(pause_s, asked_s)
            await self._sleep(min(pause_s, LONGEST_PAUSE_S))
        raise AssertionError("unreachable: the last try returns or raises")

    async def _sent(
        self, body: Mapping[str, Any], key: SecretStr | None, *, first_s: float
    ) -> httpx.Response:
        headers = {
            "content-type": "application/json",
            "accept": "text/event-stream" if body.get("stream") else "application/json",
            "accept-encoding": "identity",
            "user-agent": "modiste",
        }
        if key is not None:
            headers["authorization"] = f"Bearer {key.get_secret_value()}"
        timeout = httpx.Timeout(
            None, connect=self._limits.connect_s, pool=self._limits.connect_s, write=first_s
        )
        request = self._client.build_request(
            "POST", self._url, content=orjson.dumps(body), headers=headers, timeout=timeout
        )
        async with asyncio.timeout(first_s + self._limits.connect_s):
            return await self._client.send(request, stream=True)

    async def _refused(self, response: httpx.Response, key: SecretStr | None) -> ModisteError:
        """What a status that is no success means for our caller. Closes the response."""
        status, who = response.status_code, self._who
        content = bytearray()
        try:
            async with asyncio.timeout(self._limits.connect_s):
                async for piece in response.aiter_bytes():
                    content += piece
                    if len(content) > MAX_EVENT_BYTES:
                        break
        except (httpx.HTTPError, TimeoutError):
            pass  # The status says enough.
        finally:
            await response.aclose()
        told = _object(bytes(content)) or {}
        said = _without(key, _said(told) or f"status {status}")
        if status in (401, 403):  # Without its words: they may quote the key.
            return UpstreamFailed(
                f"{who} refuses the key of this server ({self._key_name}); give it a valid one.",
                code="upstream_key_refused",
            )
        if status == 429:
            return Busy(f"{who} is busy: {said}", retry_after_s=_retry_after(response))
        if 300 <= status < 400:
            return UpstreamFailed(
                f"{who} answers with a redirect, and keys are not sent on: register the address "
                "it really has."
            )
        if status >= 500 or status in RETRIED:
            wait_s = _retry_after(response)
            return UpstreamFailed(
                f"{who} failed with status {status}: {said}", retry_after_s=wait_s
            )
        code = "upstream_not_found" if status == 404 else "upstream_refused"
        return BadRequest(f"{who} refused the request: {said}", code=code)

    def _lost(self, error: httpx.HTTPError) -> UpstreamFailed:
        how = str(error) or type(error).__name__
        return UpstreamFailed(f"{self._who} cannot be reached: {how}", retry_after_s=2.0)

    def _broke_off(self, how: str, key: SecretStr | None) -> UpstreamFailed:
        return UpstreamFailed(
            f"{self._who} broke off its answer: {_without(key, how)}; send the request again"
        )

    def _nonsense(self, what: str) -> UpstreamFailed:
        return UpstreamFailed(f"{self._who} answered with {what}; is this such an endpoint?")

    def _silent(self, limit_s: float, *, after: int) -> UpstreamTimeout:
        when = f"after {after} events of its stream" if after else "before its answer began"
        return UpstreamTimeout(f"{self._who} said nothing for {limit_s:g} s {when}")

    @asynccontextmanager
    async def _in_time(self, limit_s: float, *, after: int = 0) -> AsyncGenerator[None, None]:
        try:
            async with asyncio.timeout(limit_s):
                yield
        except TimeoutError:
            raise self._silent(limit_s, after=after) from None


async def _events(response: httpx.Response) -> AsyncGenerator[bytes, None]:
    """The data of every server-sent event. A last one without its blank line counts too."""
    buffer, data = bytearray(), list[bytes]()
    async for piece in response.aiter_bytes():
        buffer += piece
        if len(buffer) > MAX_EVENT_BYTES:
            raise httpx.DecodingError("an event without end")
        *lines, rest = bytes(buffer).split(b"\n")
        buffer = bytearray(rest)
        for line in (line.removesuffix(b"\r") for line in lines):
            if line.startswith(b"data:"):
                data.append(line[5:].removeprefix(b" "))
            elif not line and data:
                yield b"\n".join(data)
                data = []
    if buffer.startswith(b"data:"):
        data.append(bytes(buffer[5:]).strip())
    if data:
        yield b"\n".join(data)


def _object(content: bytes) -> Json | None:
    try:
        value = orjson.loads(content)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None


def _has_finish(chunk: Mapping[str, Any]) -> bool:
    choices = chunk.get("choices")
    return isinstance(choices, list) and any(
        isinstance(choice, dict) and choice.get("finish_reason") for choice in choices
    )


def _said(body: Mapping[str, Any]) -> str:
    """The words of an error, in whichever of the usual shapes they come."""
    error = body.get("error", body)
    if isinstance(error, dict):
        error = error.get("message") or error.get("detail") or error.get("msg") or ""
    text = error if isinstance(error, str) else orjson.dumps(error).decode()
    return text if len(text) <= MAX_SAID else text[: MAX_SAID - 1] + "…"


def _without(key: SecretStr | None, text: str) -> str:
    secret = key.get_secret_value() if key is not None else ""
    return text.replace(secret, "…") if secret else text


def _retry_after(response: httpx.Response) -> float | None:
    try:
        seconds = float(response.headers["retry-after"])
    except (KeyError, ValueError):
        return None
    return seconds if 0 <= seconds < 86_400 else None
