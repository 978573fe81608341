"""One client for each upstream, kept with what it learned."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import httpx
import pytest

from modiste.errors import UpstreamFailed
from modiste.serve.breaker import State
from modiste.serve.upstream import Upstreams
from modiste.settings import Settings
from modiste.types import Model, ModelKind, Upstream, UpstreamKind

NOW = datetime(2026, 1, 1, tzinfo=UTC)
BODY = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


def model(name: str, url: str = "https://x.test/v1") -> Model:
    upstream = Upstream(UpstreamKind.OPENAI, url, "m")
    return Model(name, ModelKind.HOSTED, NOW, 0, "", "x.test", upstream=upstream)


def test_a_client_is_kept_and_tells_how_its_upstream_does() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        return httpx.Response(501, json={"error": {"message": "no"}})

    async def ask() -> None:
        upstreams = Upstreams(Settings(), transport=lambda: httpx.MockTransport(refuse))
        big, other = model("big"), model("other")
        assert upstreams.told(big) is None
        assert upstreams.hosted(big) is upstreams.hosted(big)
        assert upstreams.hosted(big) is not upstreams.hosted(other)
        moved = upstreams.hosted(model("big", "https://y.test/v1"))
        assert moved is not upstreams.hosted(big)
        for _ in range(5):
            with pytest.raises(UpstreamFailed, match=r"big \(x\.test\)"):
                await upstreams.hosted(big).whole(BODY, None)
        told = upstreams.told(big)
        assert told is not None
        assert told.state is State.OPEN
        assert "status 501: no" in (told.last_failure or "")
        assert upstreams.count() == {"closed": 2, "open": 1, "half_open": 0}
        await upstreams.close()
        assert upstreams.told(big) is None

    asyncio.run(ask())
