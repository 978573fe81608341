"""Bytes in and out; TLS of both wires is held by what real clients do (`*/test_connection.py`)."""

from __future__ import annotations

import asyncio

import pytest
from memory import channel

from modiste.sql.channel import Gone


def test_exact_lengths_are_read_across_pieces_and_a_break_off_is_told() -> None:
    async def work() -> None:
        one, _ = channel(b"ab", b"cde")
        assert await one.exactly(1) == b"a"
        assert await one.exactly(3) == b"bcd"
        with pytest.raises(Gone):
            await one.exactly(2)

    asyncio.run(work())


@pytest.mark.parametrize(
    ("peer", "private"),
    [("127.0.0.1", True), ("::1", True), ("10.0.0.5", False), ("fe80::1%eth0", False)],
)
def test_only_this_machine_is_private_without_tls(peer: str, private: bool) -> None:
    async def work() -> bool:
        return channel(peer=peer)[0].private

    assert asyncio.run(work()) is private


def test_a_handshake_of_nonsense_ends_the_connection() -> None:
    import ssl

    async def work() -> None:
        one, _ = channel(b"GET / HTTP/1.1\r\n\r\n")
        with pytest.raises(Gone):
            await one.start_tls(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))

    asyncio.run(work())


def test_nobody_waits_for_a_reader_that_is_gone() -> None:
    async def work() -> None:
        one, _ = channel()
        one.gone.set()
        with pytest.raises(Gone):
            await one.drain()

    asyncio.run(work())
