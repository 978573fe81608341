"""Models behind other servers: one client for each, kept as long as the process.

Two kinds of servers answer for a model. A hosted one (any OpenAI- or Mistral-compatible endpoint)
is asked in messages: `hosted`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import httpx

from modiste.serve import outbound
from modiste.serve.breaker import State
from modiste.serve.hosted import HostedClient, Limits
from modiste.serve.outbound import CheckedTransport
from modiste.settings import Settings
from modiste.types import Model


class Told(NamedTuple):
    """How an upstream does, as this process sees it."""

    state: State
    last_failure: str | None


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

    def hosted(self, model: Model) -> HostedClient:
        """The client of a hosted model; its breaker remembers."""
        if model.upstream is None:
            raise ValueError(f"{model.id} has no upstream")
        key = (model.id, model.upstream.url)
        if key not in self._hosted:
            settings = self._settings
            self._hosted[key] = HostedClient(
                model.upstream.url,
                who=f"{model.id} ({outbound.host(model.upstream.url)})",
                key_name=model.upstream.key_env or "a sealed key",
                limits=Limits(
                    connect_s=settings.upstream_connect_timeout_s,
                    first_token_s=settings.upstream_first_token_timeout_s,
                    token_s=settings.upstream_token_timeout_s,
                    answer_s=settings.upstream_answer_timeout_s,
                ),
                transport=self._transport(),
            )
        return self._hosted[key]

    def told(self, model: Model) -> Told | None:
        """None where it was never asked since this process started."""
        client = model.upstream and self._hosted.get((model.id, model.upstream.url))
        if not client:
            return None
        return Told(client.breaker.state, client.breaker.last_failure)

    def count(self) -> dict[str, int]:
        """How many are in which state."""
        states = [client.breaker.state for client in self._hosted.values()]
        return {state.value: states.count(state) for state in State}

    async def close(self) -> None:
        for client in self._hosted.values():
            await client.close()
        self._hosted.clear()
