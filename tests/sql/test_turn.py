from __future__ import annotations

import asyncio

import pytest

from modiste.sql.channel import Gone
from modiste.sql.turn import Interrupted, Turn


def test_a_turn_runs_to_its_end_is_interrupted_or_left() -> None:
    cancelled: list[str] = []

    async def long(name: str) -> None:
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            cancelled.append(name)
            raise

    async def failing() -> None:
        raise ZeroDivisionError

    async def work() -> None:
        gone = asyncio.Event()
        turn = Turn(gone)
        turn.interrupt()  # nothing runs: nothing happens
        with pytest.raises(ZeroDivisionError):
            await turn.take(failing())
        assert not turn.busy
        asyncio.get_running_loop().call_later(0.01, turn.interrupt)
        with pytest.raises(Interrupted):
            await turn.take(long("interrupted"))
        asyncio.get_running_loop().call_later(0.01, gone.set)
        with pytest.raises(Gone):
            await turn.take(long("left"))

    asyncio.run(work())
    assert cancelled == ["interrupted", "left"]


def test_a_connection_that_is_ended_ends_its_turn() -> None:
    ended: list[bool] = []

    async def long() -> None:
        try:
            await asyncio.sleep(30)
        finally:
            ended.append(True)

    async def work() -> None:
        turn = Turn(asyncio.Event())
        task = asyncio.create_task(turn.take(long()))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(work())
    assert ended == [True]
