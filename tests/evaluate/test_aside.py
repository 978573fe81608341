"""Long work in a thread of its own: the loop goes on, and closing ends what waits."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from modiste.evaluate.aside import Aside


def test_the_loop_goes_on_while_work_is_done_aside() -> None:
    async def both() -> str:
        begun, go_on = threading.Event(), threading.Event()

        def work() -> str:
            begun.set()
            return "done" if go_on.wait(10) else "the loop stood still"

        aside = Aside()
        working = asyncio.create_task(aside.do(work))
        while not begun.is_set():
            await asyncio.sleep(0.001)
        go_on.set()
        return await working

    assert asyncio.run(both()) == "done"


def test_work_is_done_in_order_in_one_thread() -> None:
    async def many() -> list[tuple[int, int]]:
        aside, seen = Aside(), list[tuple[int, int]]()

        def work(nth: int) -> None:
            time.sleep(0.001)
            seen.append((nth, threading.get_ident()))

        await asyncio.gather(*(aside.do(lambda nth=nth: work(nth)) for nth in range(8)))
        return seen

    seen = asyncio.run(many())
    assert [nth for nth, _ in seen] == list(range(8))
    assert len({thread for _, thread in seen}) == 1


def test_closing_gives_up_what_waits_and_more_work_begins_anew() -> None:
    async def closed() -> tuple[list[int], int]:
        aside, done = Aside(), list[int]()

        def work(nth: int) -> int:
            time.sleep(0.02)
            done.append(nth)
            return nth

        waiting = [asyncio.create_task(aside.do(lambda nth=nth: work(nth))) for nth in range(5)]
        await asyncio.sleep(0.005)
        aside.close()
        ended = await asyncio.gather(*waiting, return_exceptions=True)
        assert sum(isinstance(each, asyncio.CancelledError) for each in ended) == 5 - len(done)
        return list(done), await aside.do(lambda: work(9))

    done, anew = asyncio.run(closed())
    assert 1 <= len(done) < 5
    assert anew == 9


def test_what_work_raises_reaches_who_asked() -> None:
    async def broken() -> None:
        await Aside().do(lambda: 1 // 0)

    with pytest.raises(ZeroDivisionError):
        asyncio.run(broken())
