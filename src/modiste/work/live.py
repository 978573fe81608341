"""The rows of a certificate asked as clients are answered, by the live engine or by the vLLM server
that takes its place.

An engine that starts, restarts or is full is asked again; one that stays away leaves the model
unchecked, which is no proof of a fault.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from modiste.errors import Busy, LeaseLost, ModisteError, ParityFailed, Unavailable
from modiste.serve.sequence import Event, Failed, Generate, Sampling, Tokens
from modiste.serve.stream import EngineStream
from modiste.serve.vllm import VllmEngine
from modiste.work.closeness import Answers
from modiste.work.trained_rows import Row

RETRY_S = 2.0
LISTEN_S = 0.5
T = TypeVar("T")
Ask = Callable[[], Coroutine[Any, Any, T]]


class Asked(NamedTuple):
    """The model, and whose answers are wanted."""

    rows: Sequence[Row]
    base: Path
    adapter: str | None
    version: str | None


class Told(NamedTuple):
    answers: Answers
    lane: dict[str, Any] | None
    """What the engine says about the base; None where it was put away since."""


@dataclass(frozen=True)
class Patience:
    still_wanted: Callable[[], None]
    """Called while waiting; raises to give up."""
    absent_s: float
    """How long an engine that is starting, restarting or full is waited for."""
    answer_s: float
    """How long one answer may take."""

    async def __call__(self, ask: Ask[T]) -> T:
        """Ask until there is an answer, or raise ParityFailed that says why there is none."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.absent_s
        while True:
            try:
                return await self._answer(ask)
            except (Unavailable, Busy) as error:
                if loop.time() >= deadline:
                    raise unchecked(
                        f"was not there for {self.absent_s:.0f} s: {error.message}"
                    ) from error
            except TimeoutError as error:
                raise unchecked(f"did not answer within {self.answer_s:.0f} s") from error
            await asyncio.sleep(min(RETRY_S, max(0.05, deadline - loop.time())))

    async def _answer(self, ask: Ask[T]) -> T:
        """One answer, while listening whether anybody still wants it."""
        asking = asyncio.create_task(ask())
        try:
            async with asyncio.timeout(self.answer_s):
                while not asking.done():
                    self.still_wanted()
                    await asyncio.wait({asking}, timeout=LISTEN_S)
            return asking.result()
        finally:
            asking.cancel()


async def of_engine(asked: Asked, process_dir: Path, patiently: Patience) -> Told:
    """What the live engine says of every row."""
    engine = EngineStream(process_dir)
    base, adapter, version = str(asked.base), asked.adapter, asked.version
    try:
        answers = await _answers(
            asked, patiently, lambda ids: engine.score(base, adapter, version, ids), engine.generate
        )
        status = await engine.status(timeout_s=patiently.answer_s)
        return Told(answers, status["bases"].get(base))
    except Unavailable as error:
        raise unchecked(f"answered and was gone: {error.message}") from error
    finally:
        await engine.close()


async def of_server(
    asked: Asked, elsewhere: Callable[[], VllmEngine], patiently: Patience
) -> Answers:
    """What the server that takes the engine's place says of every row."""
    there = elsewhere()
    adapter, version = asked.adapter, asked.version
    try:
        return await _answers(
            asked, patiently, lambda ids: there.score(adapter, version, ids), there.generate
        )
    except ModisteError as error:
        if isinstance(error, ParityFailed | LeaseLost):
            raise
        raise unchecked(f"refused: {error.message}") from error
    finally:
        await there.close()


async def _answers(
    asked: Asked,
    patiently: Patience,
    score: Callable[[list[int]], Coroutine[Any, Any, list[float]]],
    generate: Callable[[Generate], AsyncGenerator[Event, None]],
) -> Answers:
    logprobs = [await patiently(partial(score, row.ids)) for row in asked.rows]
    greedy = [
        await patiently(partial(_most_likely, generate, _request(asked, row)))
        for row in asked.rows
        if row.greedy is not None
    ]
    return Answers(logprobs, greedy)


def _request(asked: Asked, row: Row) -> Generate:
    """Nothing ends the answer: what the model would say behind its end is compared too."""
    return Generate(
        "greedy",
        str(asked.base),
        tuple(row.prompt),
        adapter=asked.adapter,
        adapter_version=asked.version,
        sampling=Sampling(
            temperature=0.0, max_tokens=0 if row.greedy is None else len(row.greedy.ids)
        ),
    )


async def _most_likely(
    generate: Callable[[Generate], AsyncGenerator[Event, None]], request: Generate
) -> list[int]:
    ids: list[int] = []
    async with aclosing(generate(request)) as events:
        async for event in events:
            if isinstance(event, Tokens):
                ids += event.ids
            elif isinstance(event, Failed):
                raise event.error()
    return ids


def unchecked(what: str) -> ParityFailed:
    return ParityFailed(
        f"The serving engine {what}. So the model could not be checked and was not published; the "
        "adapter is kept. When GET /healthz shows the engine as ready, create the job again.",
        code="parity_unchecked",
    )
