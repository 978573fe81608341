"""Questions of one statement: few at a time, answers in order, equal ones once, an end for all."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing

import pytest

from modiste.errors import Unavailable
from modiste.sql import errors, window
from modiste.sql.window import Window, already


class Model:
    """Answers `<n>` after as many milliseconds as it is told; remembers who was out."""

    def __init__(self, pause_ms: Callable[[int], float] = lambda n: 0.0) -> None:
        self.pause_ms = pause_ms
        self.out: set[int] = set()
        self.most, self.asked = 0, 0
        self.cancelled: list[int] = []

    async def __call__(self, n: int) -> str:
        self.out.add(n)
        self.asked += 1
        self.most = max(self.most, len(self.out))
        try:
            await asyncio.sleep(self.pause_ms(n) / 1000)
        except asyncio.CancelledError:
            self.cancelled.append(n)
            raise
        finally:
            self.out.discard(n)
        return f"<{n}>"


def in_pieces(n_rows: int, size: int = 100) -> Callable[[], Awaitable[Sequence[int] | None]]:
    pieces = iter([range(at, min(at + size, n_rows)) for at in range(0, n_rows, size)])

    async def more() -> Sequence[int] | None:
        return next(pieces, None)

    return more


def test_answers_come_in_order_and_a_bounded_number_is_out() -> None:
    model = Model(lambda n: 20 if n == 7 else n % 3)

    async def read() -> list[tuple[int, tuple[str | None, ...]]]:
        made = Window()
        told = made.in_order(in_pieces(1000), lambda n: [made.ask(None, lambda: model(n))])
        async with aclosing(told):
            return [each async for ready in told for each in ready]

    assert asyncio.run(read()) == [(n, (f"<{n}>",)) for n in range(1000)]
    assert 1 < model.most <= window.AT_A_TIME


def test_the_first_answer_waits_for_none_of_the_others() -> None:
    model = Model(lambda n: 0 if n == 0 else 60_000)

    async def read() -> list[int]:
        made = Window()
        told = made.in_order(in_pieces(1000), lambda n: [made.ask(None, lambda: model(n))])
        async with aclosing(told):
            async with asyncio.timeout(20):
                return [n for n, _ in await anext(told)]

    assert asyncio.run(read()) == [0]
    assert model.out == set()
    assert model.asked <= window.AT_A_TIME + 1, "what waited for room was never asked"
    assert len(model.cancelled) == model.asked - 1


def test_equal_questions_are_asked_once_while_their_answers_are_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def read(n_rows: int, n_different: int) -> int:
        model, made = Model(), Window()

        def ask(n: int) -> list[asyncio.Future[str | None]]:
            key = n % n_different
            return [made.ask((key,), lambda: model(key)), already(None)]

        told = made.in_order(in_pieces(n_rows), ask)
        async with aclosing(told):
            found = [each async for ready in told for each in ready]
        assert found == [(n, (f"<{n % n_different}>", None)) for n in range(n_rows)]
        return model.asked

    assert asyncio.run(read(1000, 10)) == 10
    monkeypatch.setattr(window, "KEPT_BYTES", 50 * window.ENTRY_BYTES)
    assert asyncio.run(read(2000, 500)) > 500, "old answers are forgotten"


def test_a_failure_ends_it_after_the_rows_before_and_cancels_the_rest() -> None:
    model, seen = Model(lambda n: 0 if n < 10 else 60_000), []

    async def broken() -> str:
        while len(seen) < 10:
            await asyncio.sleep(0)
        raise Unavailable("the engine is down")

    async def read() -> None:
        made = Window()

        def ask(n: int) -> list[asyncio.Future[str | None]]:
            return [made.ask(None, broken if n == 15 else lambda: model(n))]

        async with aclosing(made.in_order(in_pieces(1000), ask)) as told:
            async for ready in told:
                seen.extend(n for n, _ in ready)

    with pytest.raises(errors.SqlError, match="the engine is down"):
        asyncio.run(read())
    assert seen == list(range(10))
    assert model.out == set()
    assert model.cancelled


def test_what_ends_the_rows_is_told_after_all_that_came() -> None:
    seen: list[int] = []

    async def read() -> None:
        made, model = Window(), Model(lambda n: 5)
        pieces = in_pieces(300)

        async def more() -> Sequence[int] | None:
            found = await pieces()
            if found is None:
                raise errors.bad("the source is gone")
            return found

        async for ready in made.in_order(more, lambda n: [made.ask(None, lambda: model(n))]):
            seen.extend(n for n, _ in ready)

    with pytest.raises(errors.SqlError, match="the source is gone"):
        asyncio.run(read())
    assert seen == list(range(300))


def test_whoever_is_cancelled_cancels_what_is_out_at_once() -> None:
    model = Model(lambda n: 60_000)

    async def read() -> None:
        made = Window()
        async for _ in made.in_order(in_pieces(500), lambda n: [made.ask(None, lambda: model(n))]):
            raise AssertionError("nothing is answered")

    async def work() -> None:
        reading = asyncio.create_task(read())
        while len(model.out) < window.AT_A_TIME:
            await asyncio.sleep(0)
        reading.cancel()
        async with asyncio.timeout(20):
            with pytest.raises(asyncio.CancelledError):
                await reading
        assert model.out == set()

    asyncio.run(work())
    assert len(model.cancelled) == window.AT_A_TIME
