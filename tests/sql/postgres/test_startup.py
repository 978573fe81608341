from __future__ import annotations

import asyncio
import struct

import pytest
from memory import channel

from modiste.sql.channel import Gone
from modiste.sql.postgres import startup
from modiste.sql.postgres.messages import Broken


def hello(code: int, body: bytes = b"") -> bytes:
    return struct.pack("!iI", len(body) + 8, code) + body


def begun(*fed: bytes, peer: str = "127.0.0.1") -> tuple[dict[str, str], bytes, list[object]]:
    cancelled: list[object] = []

    async def work() -> tuple[dict[str, str], bytes]:
        one, writer = channel(*fed, peer=peer)
        said = await startup.names(one, None, lambda *each: cancelled.append(each))
        return dict(said), bytes(writer.sent)

    said, sent = asyncio.run(work())
    return said, sent, cancelled


def test_tls_that_is_not_there_is_declined_and_names_are_read() -> None:
    names = b"user\0me\0database\0shop\0\0"
    said, sent, _ = begun(hello(80877103), hello(80877104), hello(3 << 16, names))
    assert said == {"user": "me", "database": "shop"}
    assert sent == b"NN"


def test_newer_protocols_are_told_which_one_is_spoken() -> None:
    _, sent, _ = begun(hello(3 << 16 | 2, b"user\0me\0_pq_.new\0x\0\0"))
    assert sent[:1] == b"v"
    assert b"_pq_.new" in sent


@pytest.mark.parametrize(
    "fed",
    [hello(2 << 16), hello(3 << 16, b"user\0"), hello(3 << 16, b"client_encoding\0LATIN1\0\0"),
     struct.pack("!i", 2**30)],
    ids=["protocol 2", "broken", "latin1", "too long"],
)  # fmt: skip
def test_what_is_not_spoken_is_refused(fed: bytes) -> None:
    with pytest.raises(Broken):
        begun(fed)


def test_cancelling_another_is_no_connection() -> None:
    with pytest.raises(Gone):
        begun(hello(80877102, struct.pack("!II", 1, 2)))


def test_nobody_is_asked_for_a_key_where_others_read_along() -> None:
    async def work() -> None:
        one, writer = channel(peer="10.0.0.7")
        with pytest.raises(Broken, match="TLS"):
            await startup.password(one)
        assert writer.sent == b""

    asyncio.run(work())


def test_options_are_settings() -> None:
    said = {"user": "me", "options": "-c search_path=shop --geqo=off", "application_name": "psql"}
    assert startup.options(said) == {
        "search_path": "shop", "geqo": "off", "application_name": "psql",
    }  # fmt: skip
