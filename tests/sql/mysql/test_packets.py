"""Frames and numbers, against the worked examples of MySQL's protocol documentation."""

from __future__ import annotations

import asyncio

import pytest
from memory import channel

from modiste.sql.mysql import packets
from modiste.sql.mysql.packets import FRAME_BYTES, Packets, Reading, Refused


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (0, "00"),
        (250, "fa"),
        (251, "fcfb00"),
        (0xFFFF, "fcffff"),
        (0x10000, "fd000001"),
        (0x1000000, "fe0000000100000000"),
    ],
)
def test_numbers_of_any_length(value: int, written: str) -> None:
    assert packets.integer(value).hex() == written
    assert Reading(bytes.fromhex(written)).integer() == value


@pytest.mark.parametrize("n", [0, 1, FRAME_BYTES])
def test_packets_are_cut_into_frames_and_put_together_again(n: int) -> None:
    async def work() -> bytes:
        out, _ = channel()
        framed = Packets(out).framed(bytes(n))
        assert len(framed) == n + 4 * (n // FRAME_BYTES + 1)
        back, _ = channel(bytes(framed))
        return await Packets(back).read(limit=n)

    assert len(asyncio.run(work())) == n


@pytest.mark.parametrize(
    ("fed", "code"),
    [(b"\x05\0\0\0hello", 1153), (b"\x01\0\0\7x", 1156)],
    ids=["over the limit", "out of order"],
)
def test_what_cannot_be_read_ends_the_connection(fed: bytes, code: int) -> None:
    async def work() -> None:
        one, _ = channel(fed)
        await Packets(one).read(limit=4)

    with pytest.raises(Refused) as refused:
        asyncio.run(work())
    assert refused.value.code == code


def test_a_packet_shorter_than_it_says_is_malformed() -> None:
    for broken in (b"\xfc\x01", b"\x05abc", b"\xfb"):
        with pytest.raises(Refused, match="Malformed"):
            Reading(broken).text()
