"""One function over many items in several processes, answers in the order of the items.

Processes are forked, so what the function holds (a tokenizer, settings) is there without being
sent; items and answers are sent. Where a fork would not be safe, on other systems than Linux or
beside other threads, everything happens here, with the same answers.
"""

from __future__ import annotations

import gc
import multiprocessing
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkProcess
from typing import Any, TypeVar

from modiste.errors import Unavailable

T = TypeVar("T")
R = TypeVar("R")


def can_fork() -> bool:
    return sys.platform == "linux" and threading.active_count() == 1


def ordered(function: Callable[[T], R], items: Iterable[T], *, workers: int) -> Iterator[R]:
    """`map(function, items)`, computed by `workers` processes.

    An exception of the function is raised here; items after it may have been computed in vain.

    Raises:
        Unavailable: a process was killed, most likely for want of memory.
    """
    rest = iter(items)
    ahead = list(islice(rest, 2))
    if workers < 2 or len(ahead) < 2 or not can_fork():
        yield from map(function, chain(ahead, rest))
        return
    crew = [_Hand(function) for _ in range(workers)]
    try:
        yield from _answers(crew, chain(ahead, rest))
    finally:
        for hand in crew:
            hand.dismiss()


def _answers(crew: list[_Hand], items: Iterator[Any]) -> Iterator[Any]:
    """Each hand holds one item at a time; answers wait here for those before them."""
    idle, asked, told = list(crew), 0, 0
    early: dict[int, Any] = {}
    busy: dict[Any, tuple[_Hand, int]] = {}
    while True:
        while idle and len(early) < 2 * len(crew) and (item := next(items, _END)) is not _END:
            hand = idle.pop()
            hand.connection.send(item)
            busy[hand.connection] = (hand, asked)
            asked += 1
        if not busy:
            return
        for connection in wait(list(busy)):
            hand, number = busy.pop(connection)
            early[number] = hand.answer()
            idle.append(hand)
        while told in early:
            yield early.pop(told)
            told += 1


_END = object()


class _Hand:
    """One process, and the way to it."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        fork = multiprocessing.get_context("fork")
        self.connection, theirs = fork.Pipe()
        self.process: ForkProcess = fork.Process(
            target=_serve, args=(function, theirs, self.connection), daemon=True
        )
        self.process.start()
        theirs.close()

    def answer(self) -> Any:
        try:
            error, value = self.connection.recv()
        except EOFError:
            self.process.join()
            raise Unavailable(
                f"a process of the check ended with status {self.process.exitcode}, most likely "
                "for want of memory; run it with one worker"
            ) from None
        if error is not None:
            raise error
        return value

    def dismiss(self) -> None:
        """It holds nothing that could be lost."""
        self.process.kill()
        self.process.join()
        self.connection.close()


def _serve(function: Callable[[Any], Any], connection: Connection, parents: Connection) -> None:
    """The loop of a hand: answer until the other end is closed."""
    gc.freeze()  # what was there before the fork is never garbage, and need not be copied to see it
    parents.close()
    while True:
        try:
            item = connection.recv()
        except (EOFError, KeyboardInterrupt):
            return
        try:
            answer: tuple[Exception | None, Any] = (None, function(item))
        except Exception as error:  # noqa: BLE001 - raised again by the one who asked
            answer = (error, None)
        try:
            connection.send(answer)
        except (BrokenPipeError, KeyboardInterrupt):
            return
