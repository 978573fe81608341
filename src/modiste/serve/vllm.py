"""A vLLM server as an engine: the same requests and events as the one on this machine.

Prompts go there as token ids and tokens come back as ids. An adapter is loaded when it is first
asked for; a server that restarted and forgot it gets it again, once per request, before any token
was shown. Same seed, same text holds for one vLLM on its own terms, not between it and ours.
Failures are told as events, like those of our engine.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Any

import httpx
from pydantic import SecretStr

from modiste.errors import BadRequest, Busy, ModisteError, UpstreamFailed
from modiste.serve import outbound, vllm_wire
from modiste.serve.breaker import State
from modiste.serve.hosted import HostedClient, Limits
from modiste.serve.sequence import (
    Event,
    Failed,
    FailureCode,
    Generate,
    Logprob,
    PromptLogprobs,
)
from modiste.serve.vllm_adapters import REQUEST_S, Adapters

WATCH_S = 10.0
TOO_LONG = ("maximum context length", "max_model_len", "longer than the maximum")


class VllmEngine:
    """One server, in one event loop. Nothing is asked before the first request.

    Args:
        key: reads the server's key (`--api-key`), if it has one, at each call.
        base: the name the base has there; None takes the first it lists.
        watch_s: seconds between looks at its health; 0 never looks.
    """

    def __init__(
        self,
        url: str,
        *,
        limits: Limits,
        transport: Callable[[], httpx.AsyncBaseTransport],
        key: Callable[[], SecretStr | None] = lambda: None,
        base: str | None = None,
        watch_s: float = WATCH_S,
    ) -> None:
        self._who = f"vLLM at {outbound.host(url)}"
        self._url, self._key, self._watch_s = url, key, watch_s
        self._http = httpx.AsyncClient(
            transport=transport(), follow_redirects=False, trust_env=False, timeout=REQUEST_S
        )
        self._completions = HostedClient(
            f"{url}/v1",
            path="/completions",
            who=self._who,
            key_name="its --api-key",
            limits=limits,
            transport=transport(),
        )
        self.adapters = Adapters(self._send, who=self._who, base=base)
        self._watching: asyncio.Task[None] | None = None

    @property
    def state(self) -> State:
        return self._completions.breaker.state

    @property
    def last_failure(self) -> str | None:
        return self._completions.breaker.last_failure

    async def generate(self, request: Generate) -> AsyncGenerator[Event, None]:
        """As `EngineStream.generate`: closing the iterator aborts the request there."""
        try:
            async with aclosing(self._generate(request)) as events:
                async for event in events:
                    yield event
        except ModisteError as error:
            yield _failed(request.id, error)

    async def score(
        self, adapter: str | None, adapter_version: str | None, ids: Sequence[int]
    ) -> list[float]:
        """Log-probability of each of `ids[1:]` given those before it.

        Raises:
            ModisteError: what went wrong, the server named.
        """
        found = await self._scored(adapter, adapter_version, ids, 0)
        return [each.logprob for each in found]

    async def close(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
        await self._completions.close()
        await self._http.aclose()

    async def _generate(self, request: Generate) -> AsyncGenerator[Event, None]:
        if request.prompt_logprobs is not None:  # A stream does not tell them.
            n_top = request.prompt_logprobs
            adapter, version = request.adapter, request.adapter_version
            told = await self._scored(adapter, version, request.ids, n_top)
            yield PromptLogprobs(request.id, tuple(told))
        name = await self._name(request.adapter, request.adapter_version)
        begun = False
        try:
            async with aclosing(self._streamed(request, name)) as events:
                async for event in events:
                    begun = True
                    yield event
            return
        except BadRequest as error:
            if begun or not self._forgotten(name, error):
                raise
        name = await self._name(request.adapter, request.adapter_version)
        async with aclosing(self._streamed(request, name)) as events:
            async for event in events:
                yield event

    async def _streamed(self, request: Generate, name: str) -> AsyncGenerator[Event, None]:
        reader = vllm_wire.Reader(request)
        body = vllm_wire.completion(request, name)
        async with aclosing(self._completions.stream(body, self._key())) as chunks:
            async for chunk in chunks:
                for event in reader.events(chunk):
                    yield event
        yield reader.finished()

    async def _scored(
        self, adapter: str | None, version: str | None, ids: Sequence[int], n_top: int
    ) -> list[Logprob]:
        name = await self._name(adapter, version)
        try:
            answer = await self._whole(vllm_wire.scoring(ids, name, n_top))
        except BadRequest as error:
            if not self._forgotten(name, error):
                raise
            name = await self._name(adapter, version)
            answer = await self._whole(vllm_wire.scoring(ids, name, n_top))
        return vllm_wire.prompt_logprobs(answer, ids, n_top)

    async def _whole(self, body: Mapping[str, Any]) -> dict[str, Any]:
        return await self._completions.whole(body, self._key())

    async def _name(self, adapter: str | None, version: str | None) -> str:
        if self._watching is None and self._watch_s:
            self._watching = asyncio.create_task(self.adapters.watch(self._watch_s))
        return await self.adapters.name_of(adapter, version)

    def _forgotten(self, name: str, error: BadRequest) -> bool:
        """Whether the server restarted since it was told this name; then it is told again."""
        if error.error_code != "upstream_not_found" or name not in self.adapters.names:
            return False
        self.adapters.forget(name)
        return True

    async def _send(self, method: str, path: str, body: Mapping[str, Any] | None) -> httpx.Response:
        key = self._key()
        headers = {} if key is None else {"authorization": f"Bearer {key.get_secret_value()}"}
        try:
            return await self._http.request(
                method, f"{self._url}{path}", json=body, headers=headers
            )
        except httpx.HTTPError as error:
            how = str(error) or type(error).__name__
            raise UpstreamFailed(
                f"{self._who} cannot be reached: {how}", retry_after_s=2.0
            ) from None


def _failed(name: str, error: ModisteError) -> Failed:
    """The same failure as an event."""
    code: str = error.error_code
    if isinstance(error, Busy):
        code = FailureCode.BUSY
    elif isinstance(error, BadRequest) and any(sign in error.message for sign in TOO_LONG):
        code = FailureCode.TOO_LONG
    elif error.http_status < 500:
        code = FailureCode.INVALID
    return Failed(name, code, error.message, error.retry_after_s)
