"""Models behind other servers: one client for each, kept as long as the process.

Two kinds of servers answer for a model. A hosted one (any OpenAI- or Mistral-compatible endpoint)
is asked in messages: `hosted`. A vLLM server computes a base whose files are here, and its
adapters, from token ids: `vllm`, which is an `Engine` like the one of this machine. `Engines` is
both behind one interface: each request says who computes it.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Callable, Mapping
from functools import partial
from typing import NamedTuple, Protocol

import httpx
from pydantic import SecretStr

from modiste.errors import UpstreamFailed
from modiste.serve import outbound
from modiste.serve.breaker import State
from modiste.serve.hosted import HostedClient, Limits
from modiste.serve.outbound import CheckedTransport
from modiste.serve.sequence import Embed, Event, Generate
from modiste.serve.vllm import VllmEngine
from modiste.serve.vllm_wire import Metrics
from modiste.settings import Settings
from modiste.types import Model, Upstream, UpstreamKind


class Engine(Protocol):
    """What computes tokens."""

    def generate(self, request: Generate) -> AsyncGenerator[Event, None]:
        """See `serve.stream.EngineStream.generate`."""

    async def embed(self, request: Embed) -> tuple[float, ...]:
        """See `serve.stream.EngineStream.embed`."""


class Engines:
    """The engine of this machine and those of other servers as one."""

    def __init__(self, here: Engine, upstreams: Upstreams) -> None:
        self._here, self._upstreams = here, upstreams

    def generate(self, request: Generate) -> AsyncGenerator[Event, None]:
        if request.upstream is None:
            return self._here.generate(request)
        return self._upstreams.vllm(request.upstream).generate(request)

    async def embed(self, request: Embed) -> tuple[float, ...]:
        return await self._here.embed(request)


class Told(NamedTuple):
    """How an upstream does, as this process sees it."""

    state: State
    last_failure: str | None
    metrics: Metrics | None = None
    """Of a vLLM server."""


class Upstreams:
    """The clients of one event loop.

    Args:
        transport: what carries requests; None is the network, its addresses checked.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        transport: Callable[[], httpx.AsyncBaseTransport] | None = None,
    ) -> None:
        self._settings = settings
        self._transport = transport or (lambda: CheckedTransport(settings.upstream_hosts))
        self._hosted: dict[tuple[str, str], HostedClient] = {}
        self._vllm: dict[tuple[str, str | None], VllmEngine] = {}
        self._moderations: dict[tuple[str, float], HostedClient] = {}

    def hosted(self, model: Model) -> HostedClient:
        """The client of a hosted model; its breaker remembers."""
        if model.upstream is None:
            raise ValueError(f"{model.id} has no upstream")
        key = (model.id, model.upstream.url)
        if key not in self._hosted:
            self._hosted[key] = HostedClient(
                model.upstream.url,
                who=f"{model.id} ({outbound.host(model.upstream.url)})",
                key_name=model.upstream.key_env or "a sealed key",
                limits=self._limits,
                transport=self._transport(),
            )
        return self._hosted[key]

    def moderations(self, url: str, *, key_name: str, limit_s: float) -> HostedClient:
        """The client of an endpoint that scores texts at `/moderations`."""
        key = (url, limit_s)
        if key not in self._moderations:
            self._moderations[key] = HostedClient(
                outbound.checked_url(url).removesuffix("/moderations"),
                who=f"moderations of {outbound.host(url)}",
                key_name=key_name,
                limits=Limits(connect_s=limit_s, answer_s=limit_s),
                transport=self._transport(),
                path="/moderations",
                holds="results",
            )
        return self._moderations[key]

    def vllm(self, upstream: Upstream) -> VllmEngine:
        """The engine behind this address, for all models that it answers for."""
        key = (upstream.url, upstream.model)
        if key not in self._vllm:
            self._vllm[key] = VllmEngine(
                upstream.url,
                limits=self._limits,
                transport=self._transport,
                key=partial(key_from_environment, upstream),
                base=upstream.model,
            )
        return self._vllm[key]

    def told(self, model: Model) -> Told | None:
        """None where it was never asked since this process started."""
        if model.upstream is None:
            return None
        if model.upstream.kind is UpstreamKind.VLLM:
            engine = self._vllm.get((model.upstream.url, model.upstream.model))
            if engine is None:
                return None
            return Told(engine.state, engine.last_failure, engine.adapters.metrics)
        client = self._hosted.get((model.id, model.upstream.url))
        if client is None:
            return None
        return Told(client.breaker.state, client.breaker.last_failure)

    def count(self) -> dict[str, int]:
        """How many are in which state."""
        states = [client.breaker.state for client in self._hosted.values()]
        states += [engine.state for engine in self._vllm.values()]
        return {state.value: states.count(state) for state in State}

    async def close(self) -> None:
        for client in self._hosted.values():
            await client.close()
        for scoring in self._moderations.values():
            await scoring.close()
        for engine in self._vllm.values():
            await engine.close()
        self._hosted.clear()
        self._moderations.clear()
        self._vllm.clear()

    @property
    def _limits(self) -> Limits:
        return Limits(
            connect_s=self._settings.upstream_connect_timeout_s,
            first_token_s=self._settings.upstream_first_token_timeout_s,
            token_s=self._settings.upstream_token_timeout_s,
            answer_s=self._settings.upstream_answer_timeout_s,
        )


def key_from_environment(
    upstream: Upstream, environment: Mapping[str, str] | None = None
) -> SecretStr | None:
    """The key to send, read now; None where none is needed.

    Raises:
        UpstreamFailed: the environment lacks it.
    """
    return named_key(upstream.key_env, upstream.url, environment)


def named_key(
    key_env: str | None, url: str, environment: Mapping[str, str] | None = None
) -> SecretStr | None:
    """As `key_from_environment`, of any address."""
    if key_env is None:
        return None
    key = (os.environ if environment is None else environment).get(key_env, "").strip()
    if not key:
        raise UpstreamFailed(
            f"the key of {outbound.host(url)} is read from {key_env}, an "
            "environment variable of the server's process, and it is not set there",
            code="upstream_key_missing",
        )
    return SecretStr(key)
