"""The client of a hosted model against a double on loopback: every way an answer can go."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from starlette.responses import JSONResponse, RedirectResponse, Response

from modiste.errors import BadRequest, Busy, Forbidden, UpstreamFailed, UpstreamTimeout
from modiste.serve.breaker import Breaker, State
from modiste.serve.hosted import HostedClient, Limits
from modiste.serve.outbound import CheckedTransport

sys.path.insert(0, str(Path(__file__).parent))
from hosted_double import HostedDouble, chunk, completion, running, sse, streamed

KEY = SecretStr("sk-very-secret")
BODY = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
LIMITS = Limits(connect_s=1.0, first_token_s=0.4, token_s=0.4, answer_s=0.4)


@pytest.fixture(scope="module")
def server() -> Iterator[HostedDouble]:
    with running(HostedDouble()) as double:
        yield double


@pytest.fixture
def double(server: HostedDouble) -> HostedDouble:
    server.__dict__.update({**HostedDouble().__dict__, "url": server.url})
    return server


class Client:
    """A client that does not wait between tries, but remembers how long it would have."""

    def __init__(self, url: str, hosts: tuple[str, ...] = ("127.0.0.0/8",)) -> None:
        self.pauses: list[float] = []
        self.breaker = Breaker(failures=3)
        self._url, self._hosts = url, hosts

    def client(self) -> HostedClient:
        return HostedClient(
            self._url,
            who="big (x.test)",
            key_name="BIG_KEY",
            limits=LIMITS,
            transport=CheckedTransport(self._hosts),
            breaker=self.breaker,
            sleep=self._sleep,
        )

    async def _sleep(self, pause_s: float) -> None:
        self.pauses.append(pause_s)

    def whole(self, **more: Any) -> dict[str, Any]:
        async def ask() -> dict[str, Any]:
            client = self.client()
            try:
                return await client.whole({**BODY, **more}, KEY)
            finally:
                await client.close()

        return asyncio.run(ask())

    def stream(self, *, leave_after: int | None = None) -> list[dict[str, Any]]:
        async def ask() -> list[dict[str, Any]]:
            client, seen = self.client(), list[dict[str, Any]]()
            try:
                async with aclosing(client.stream({**BODY, "stream": True}, KEY)) as chunks:
                    async for each in chunks:
                        seen.append(each)
                        if len(seen) == leave_after:
                            break
            finally:
                await client.close()
            return seen

        return asyncio.run(ask())


def text(chunks: list[dict[str, Any]]) -> str:
    return "".join(c["choices"][0]["delta"].get("content") or "" for c in chunks if c["choices"])


def test_an_answer_comes_back_as_it_is_and_the_key_went_with_the_request(
    double: HostedDouble,
) -> None:
    assert Client(double.url).whole(top_k=3) == completion("Hello there.")
    assert double.bodies == [{**BODY, "top_k": 3}]
    assert double.headers[0]["authorization"] == "Bearer sk-very-secret"
    assert double.headers[0]["host"] in double.url


def test_a_stream_comes_chunk_by_chunk_whatever_its_lines_look_like(double: HostedDouble) -> None:
    double.chunks = [
        b": ping\n\n",
        b"event: message\r\ndata:",
        sse(chunk({"content": "Hé"}))[5:].replace(b"\n", b"\r\n"),
        sse(chunk({"content": "llo"}))[:20],
        sse(chunk({"content": "llo"}))[20:],
        chunk({}, "stop"),
        b"data: [DONE]",
    ]
    assert text(Client(double.url).stream()) == "Héllo"


def test_a_stream_without_done_is_whole_once_a_reason_to_finish_came(double: HostedDouble) -> None:
    double.chunks = streamed("Hi")[:-1]
    assert text(Client(double.url).stream()) == "Hi"


def test_a_stream_that_breaks_off_is_an_error_and_is_not_sent_again(double: HostedDouble) -> None:
    double.chunks = streamed("Hi", " there")[:2]
    with pytest.raises(UpstreamFailed, match=r"big \(x\.test\) broke off"):
        Client(double.url).stream()
    assert len(double.bodies) == 1


def test_an_error_inside_a_stream_is_told(double: HostedDouble) -> None:
    double.chunks = [
        chunk({"content": "Hi"}),
        {"error": {"message": "out of memory at sk-very-secret"}},
    ]
    with pytest.raises(UpstreamFailed, match="out of memory at …"):
        Client(double.url).stream()


def test_who_leaves_hangs_up_on_the_upstream(double: HostedDouble) -> None:
    double.chunks = [chunk({"content": "x"}), *[0.05, chunk({"content": "x"})] * 40]
    client = Client(double.url)
    assert len(client.stream(leave_after=1)) == 1
    for _ in range(100):
        if double.n_left:
            break
        asyncio.run(asyncio.sleep(0.02))
    assert double.n_left == 1
    assert client.breaker.state is State.CLOSED


@pytest.mark.parametrize("status", [500, 502, 503, 529, 429, 408])
def test_what_may_pass_is_tried_again_with_growing_pauses(
    double: HostedDouble, status: int
) -> None:
    double.script = [JSONResponse({}, status), JSONResponse({}, status)]
    client = Client(double.url)
    assert client.whole() == completion("Hello there.")
    assert len(double.bodies) == 3
    assert 0.25 <= client.pauses[0] <= 0.5 <= client.pauses[1] <= 1.0


def test_a_busy_upstream_is_waited_for_as_long_as_it_says_or_its_caller_is_told(
    double: HostedDouble,
) -> None:
    def busy(seconds: int) -> Response:
        body = {"error": {"message": "slow down"}}
        return JSONResponse(body, 429, headers={"retry-after": str(seconds)})

    double.script = [busy(2)]
    client = Client(double.url)
    client.whole()
    assert client.pauses == [2.0]
    double.script = [busy(40)]
    with pytest.raises(Busy, match=r"big \(x\.test\) is busy: slow down") as told:
        client.whole()
    assert told.value.retry_after_s == 40
    assert client.breaker.state is State.CLOSED


def test_a_refused_request_says_why_and_is_not_repeated(double: HostedDouble) -> None:
    double.script = [JSONResponse({"message": "tools[0] is odd"}, 422)]
    with pytest.raises(BadRequest, match=r"refused the request: tools\[0\] is odd"):
        Client(double.url).whole()
    assert len(double.bodies) == 1


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_is_named_by_its_variable_and_never_said(
    double: HostedDouble, status: int
) -> None:
    double.script = [JSONResponse({"error": {"message": "bad key sk-very-secret"}}, status)]
    with pytest.raises(UpstreamFailed, match="BIG_KEY") as told:
        Client(double.url).whole()
    assert "sk-very" not in told.value.message
    assert told.value.error_code == "upstream_key_refused"


def test_a_redirect_is_not_followed_with_the_key(double: HostedDouble) -> None:
    double.script = [RedirectResponse(f"{double.url}/chat/completions")]
    with pytest.raises(UpstreamFailed, match="redirect"):
        Client(double.url).whole()
    assert len(double.bodies) == 1


def test_nonsense_is_told_from_an_answer(double: HostedDouble) -> None:
    double.script = [Response("<html>", 200)]
    with pytest.raises(UpstreamFailed, match="something else than a chat completion"):
        Client(double.url).whole()
    double.chunks = [b"data: <html>\n\n"]
    with pytest.raises(UpstreamFailed, match="no JSON object"):
        Client(double.url).stream()


def test_silence_before_the_first_token_and_within_a_stream_ends_it_without_a_second_try(
    double: HostedDouble,
) -> None:
    double.chunks = [1.0, *streamed("Hi")]
    with pytest.raises(UpstreamTimeout, match=r"said nothing for 0\.4 s before"):
        Client(double.url).stream()
    double.chunks = [chunk({"content": "x"}), 1.0, *streamed("Hi")]
    with pytest.raises(UpstreamTimeout, match="after 1 events"):
        Client(double.url).stream()
    assert len(double.bodies) == 2


def test_a_server_that_is_gone_is_tried_again_then_left_alone(double: HostedDouble) -> None:
    client = Client("http://127.0.0.1:1/v1")
    for _ in range(3):
        with pytest.raises(UpstreamFailed, match="cannot be reached"):
            client.whole()
    assert len(client.pauses) == 6
    assert client.breaker.state is State.OPEN
    with pytest.raises(Exception, match="left alone for now"):
        client.whole()
    assert len(client.pauses) == 6


def test_an_address_that_is_not_permitted_is_never_connected_to(double: HostedDouble) -> None:
    with pytest.raises(Forbidden):
        Client(double.url, hosts=("public",)).whole()
    assert double.bodies == []


def test_proxies_of_the_environment_are_not_used(
    double: HostedDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert Client(double.url).whole() == completion("Hello there.")


def test_an_answer_may_be_large_but_not_without_bound(
    double: HostedDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modiste.serve.hosted.MAX_ANSWER_BYTES", 50)
    with pytest.raises(UpstreamFailed, match="over 50 bytes"):
        Client(double.url).whole()
