"""The pace finds what a server bears: fast back, slowly forth, nobody starved, nobody asleep."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from typing import Any

import pytest

from modiste.evaluate import pace as pace_module
from modiste.evaluate.pace import SUCCESSES_UNTIL_MORE, Pace


def run(work: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(work, 30))


class Places:
    """A server that answers N requests at a time and refuses the next."""

    def __init__(self, n: int) -> None:
        self.n, self.n_running, self.n_answered = n, 0, 0
        self.limits: list[int] = []
        """Of the pace, at each refusal."""

    async def ask(self, pace: Pace, *, rest_s: float = 0.0) -> None:
        while True:
            async with pace.turn() as sent:
                full = self.n_running >= self.n
                if not full:
                    self.n_running += 1
                    await asyncio.sleep(0)
                    self.n_running -= 1
            if not full:
                self.n_answered += 1
                return pace.succeeded()
            self.limits.append(pace.limit)
            pace.full(sent, rest_s)


def test_it_starts_at_half_or_where_it_is_told_and_never_below_one() -> None:
    assert [Pace(n).limit for n in (64, 3, 1, 0)] == [32, 1, 1, 1]
    assert [Pace(8, start=n).limit for n in (0, 5, 99)] == [1, 5, 8]


@pytest.mark.parametrize("places", [1, 2, 5, 17, 40])
def test_it_settles_within_one_of_what_the_server_bears(places: int) -> None:
    async def work() -> None:
        pace, server = Pace(64, start=64), Places(places)
        await asyncio.gather(*(server.ask(pace) for _ in range(6000)))
        assert server.n_answered == 6000
        # Found once, the limit is left only by one step too many, which is told and taken back.
        settled = server.limits[len(server.limits) // 2 :]
        assert all(abs(limit - places) <= 1 for limit in settled), settled
        assert places // 2 <= pace.limit <= places + 1
        # A refusal for each climb back from half: refusals are few beside answers.
        assert len(server.limits) < 6000 / 5

    run(work())


def test_a_burst_that_is_refused_together_is_one_step_back() -> None:
    async def work() -> None:
        pace = Pace(16, start=16)

        async def refused() -> None:
            async with pace.turn() as sent:
                await asyncio.sleep(0.01)
            pace.full(sent, 0.0)
            await asyncio.sleep(0.005)

        await asyncio.gather(*(refused() for _ in range(16)))
        assert pace.limit == 8
        await asyncio.gather(*(refused() for _ in range(8)))
        assert pace.limit == 4

    run(work())


def test_answers_in_a_row_allow_one_more_up_to_the_most() -> None:
    pace = Pace(4, start=2)
    for n in range(1, 10 * SUCCESSES_UNTIL_MORE):
        pace.succeeded()
        assert pace.limit == min(4, 2 + n // SUCCESSES_UNTIL_MORE)


def test_a_request_that_fails_for_its_own_reasons_slows_nothing_and_gives_its_place_back() -> None:
    async def work() -> None:
        pace = Pace(2, start=2)
        for _ in range(50):
            with pytest.raises(ValueError, match="mine"):
                async with pace.turn():
                    raise ValueError("mine")
        assert (pace.limit, pace.n_running) == (2, 0)

    run(work())


def test_who_waits_is_woken_by_the_end_of_a_rest_with_nothing_in_flight() -> None:
    async def work() -> None:
        pace = Pace(4)
        async with pace.turn() as sent:
            pass
        pace.full(sent, 0.2)
        begun = time.monotonic()

        async def one() -> None:
            async with pace.turn():
                assert time.monotonic() - begun >= 0.19

        await asyncio.gather(*(one() for _ in range(8)))
        assert time.monotonic() - begun < 20

    run(work())


def test_a_rest_that_is_made_longer_is_kept_to_its_end() -> None:
    async def work() -> None:
        pace = Pace(4)
        async with pace.turn() as sent:
            pass
        pace.full(sent, 0.1)
        waiting = asyncio.create_task(one(pace))
        await asyncio.sleep(0.02)
        begun = time.monotonic()
        pace.full(sent, 0.3)
        await waiting
        assert time.monotonic() - begun >= 0.29

    async def one(pace: Pace) -> None:
        async with pace.turn():
            pass

    run(work())


def test_a_server_that_does_not_say_when_is_left_alone_for_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pace_module, "COOLDOWN_S", 0.15)

    async def work() -> None:
        pace = Pace(4)
        async with pace.turn() as sent:
            pass
        begun = time.monotonic()
        pace.full(sent, None)
        async with pace.turn():
            assert time.monotonic() - begun >= 0.14

    run(work())


def test_places_are_given_in_the_order_they_were_asked_for() -> None:
    async def work() -> None:
        pace, order = Pace(1), []

        async def one(n: int) -> None:
            async with pace.turn():
                order.append(n)
                await asyncio.sleep(0)

        await asyncio.gather(*(one(n) for n in range(200)))
        assert order == list(range(200))

    run(work())


def test_there_are_never_more_than_the_limit() -> None:
    async def work() -> None:
        pace, most = Pace(7, start=7), 0

        async def one() -> None:
            nonlocal most
            async with pace.turn():
                most = max(most, pace.n_running)
                await asyncio.sleep(0.001)

        await asyncio.gather(*(one() for _ in range(100)))
        assert (most, pace.n_running) == (7, 0)

    run(work())


def test_who_is_cancelled_takes_no_place_along() -> None:
    async def work() -> None:
        pace = Pace(1)

        async def one() -> None:
            async with pace.turn():
                await asyncio.sleep(0.001)

        for _ in range(20):  # At every moment of a wait: queued, just given a place, inside.
            tasks = [asyncio.create_task(one()) for _ in range(6)]
            await asyncio.sleep(0.0005)
            for task in tasks[::2]:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        assert pace.n_running == 0
        await one()

    run(work())
