"""Where requests may go: what is refused by looking, what by looking the name up, and rebinding."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import httpx
import pytest

from modiste.errors import Forbidden, InvalidInput
from modiste.serve.outbound import CheckedTransport, checked_url, host, refuse_unlisted

PUBLIC = ("public",)


@pytest.mark.parametrize(
    ("url", "checked"),
    [
        ("https://api.openai.com/v1/", "https://api.openai.com/v1"),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("https://x.test/v1/chat/completions", "https://x.test/v1"),
    ],
)
def test_an_address_is_kept_without_what_is_added_later(url: str, checked: str) -> None:
    assert checked_url(url) == checked


@pytest.mark.parametrize(
    "url",
    [
        "ftp://x.test/v1",
        "file:///etc/passwd",
        "api.openai.com/v1",
        "https://",
        "https://user:sk-secret@x.test/v1",
        "https://x.test/v1?key=sk-secret",
        "https://x.test/v1#sk-secret",
        "https://x.test:0/v1",
        "https://x.test:99999/v1",
    ],
)
def test_what_is_no_address_or_holds_a_key_is_refused_without_saying_it_back(url: str) -> None:
    with pytest.raises(InvalidInput) as told:
        checked_url(url)
    assert "sk-secret" not in told.value.message


@pytest.mark.parametrize(
    "url",
    [
        "http://api.openai.com/v1",
        "https://127.0.0.1/v1",
        "https://[::1]/v1",
        "https://10.1.2.3/v1",
        "https://169.254.169.254/latest",
        "https://[::ffff:10.0.0.1]/v1",
        "https://[64:ff9b::a00:1]/v1",
        "https://[fd00::1]/v1",
    ],
)
def test_private_addresses_and_plain_http_need_to_be_listed(url: str) -> None:
    with pytest.raises(Forbidden, match="MODISTE_UPSTREAM_HOSTS"):
        refuse_unlisted(url, PUBLIC)
    refuse_unlisted(url, (*PUBLIC, host(url).strip("[]")))


def test_a_list_without_public_permits_those_it_names_alone() -> None:
    refuse_unlisted("https://api.openai.com/v1", ("api.openai.com",))
    refuse_unlisted("http://127.0.0.1:8000", ("127.0.0.1:8000",))
    for url in ("https://api.mistral.ai/v1", "https://8.8.8.8/v1", "https://127.0.0.1:8001"):
        with pytest.raises(Forbidden):
            refuse_unlisted(url, ("api.openai.com", "127.0.0.1:8000"))


class Network:
    """Answers like a server at every address; remembers where it was asked and under which name."""

    def __init__(self, *answers: Sequence[str], dead: Sequence[str] = ()) -> None:
        self.answers, self.dead = list(answers), dead
        self.asked: list[tuple[str, str, object]] = []

    async def resolve(self, name: str, port: int) -> Sequence[str]:
        return self.answers.pop(0)

    def handle(self, request: httpx.Request) -> httpx.Response:
        if request.url.host in self.dead:
            raise httpx.ConnectError("refused")
        sni = request.extensions.get("sni_hostname")
        self.asked.append((request.url.host, request.headers["host"], sni))
        return httpx.Response(200)

    def get(self, url: str, hosts: Sequence[str] = PUBLIC) -> int:
        async def ask() -> int:
            inner = httpx.MockTransport(self.handle)
            transport = CheckedTransport(hosts, resolve=self.resolve, inner=inner)
            async with httpx.AsyncClient(transport=transport) as client:
                return (await client.get(url)).status_code

        return asyncio.run(ask())


def test_the_connection_goes_to_the_address_that_was_checked_under_the_name_that_was_meant() -> (
    None
):
    network = Network(["93.184.216.34"])
    assert network.get("https://x.test/v1") == 200
    assert network.asked == [("93.184.216.34", "x.test", "x.test")]


def test_a_name_that_turns_to_a_private_address_is_refused_when_it_does() -> None:
    network = Network(["93.184.216.34"], ["127.0.0.1"])
    assert network.get("https://x.test/v1") == 200
    with pytest.raises(Forbidden, match="private network"):
        network.get("https://x.test/v1")
    assert len(network.asked) == 1


def test_one_private_address_among_public_ones_is_enough_to_refuse() -> None:
    network = Network(["93.184.216.34", "10.0.0.5"])
    with pytest.raises(Forbidden):
        network.get("https://x.test/v1")
    assert network.asked == []


def test_a_network_that_is_listed_permits_names_that_lie_in_it() -> None:
    network = Network(["10.0.0.5"], ["10.9.0.5"])
    assert network.get("http://gpu.test:8000/v1", ("10.0.0.0/16",)) == 200
    with pytest.raises(Forbidden):
        network.get("http://gpu.test:8000/v1", ("10.0.0.0/16",))


def test_the_next_address_is_tried_where_one_does_not_answer() -> None:
    network = Network(["93.184.216.34", "93.184.216.35"], dead=["93.184.216.34"])
    assert network.get("https://x.test/v1") == 200
    assert network.asked[0][0] == "93.184.216.35"


def test_a_name_without_addresses_is_a_failed_connection() -> None:
    with pytest.raises(httpx.ConnectError, match="no address"):
        Network([]).get("https://x.test/v1")
