from __future__ import annotations

import asyncio
import struct

import pytest
from memory import channel

from modiste.sql.postgres import messages
from modiste.sql.postgres.messages import Broken, Reading


def test_a_message_is_read_as_it_was_written() -> None:
    async def work() -> tuple[bytes, bytes]:
        one, _ = channel(messages.message(b"Q", b"SELECT 1\0"))
        return await messages.read(one, limit=100)

    assert asyncio.run(work()) == (b"Q", b"SELECT 1\0")


@pytest.mark.parametrize("n", [-1, 3, 101, 2**31 - 1])
def test_lengths_that_cannot_be_end_the_connection(n: int) -> None:
    async def work() -> None:
        one, _ = channel(b"Q" + struct.pack("!i", n))
        await messages.read(one, limit=100)

    with pytest.raises(Broken):
        asyncio.run(work())
    with pytest.raises(Broken):
        one_startup(n)


def one_startup(n: int) -> None:
    async def work() -> None:
        one, _ = channel(struct.pack("!i", n))
        await messages.read_startup(one, limit=100)

    asyncio.run(work())


def test_bodies_shorter_than_they_say_are_broken() -> None:
    for read in (Reading(b"abc").name, Reading(b"\0").short, Reading(b"\0\0\0\5ab").value):
        with pytest.raises(Broken):
            read()
    with pytest.raises(Broken):
        Reading(b"\xff\xff\xff\xfe").value()
    assert Reading(b"\xff\xff\xff\xff").value() is None
    with pytest.raises(Broken, match="UTF-8"):
        Reading(b"\xff\0").name()


def test_errors_name_their_state_and_place() -> None:
    said = messages.error("ERROR", "42601", "no\0such", position=7)
    assert said[5:] == b"SERROR\0VERROR\0C42601\0Mnosuch\0P7\0\0"
