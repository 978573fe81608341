"""Batches of a step computed by several threads of one process, as if by one.

Between its large products a step is thousands of small operations, which several threads of one
product cannot share; two batches side by side keep two cores busy. Each lane learns into a gradient
of its own (nn.lanes), and these are added up in the order of the batches: how many lanes there are
changes no bit, as long as each has the same number of threads. A batch of more than a lane's share
of tokens runs alone, on all threads, so that no more is in memory than one thread would have there.
"""

from __future__ import annotations

import itertools
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Generic, TypeVar, cast

import torch
from torch import Tensor, nn

from modiste.nn.lanes import Lane

Item = TypeVar("Item")
Result = TypeVar("Result")


class Lanes(Generic[Item]):
    """`n` of them share `threads` and learn on `flat`, which has a gradient."""

    def __init__(
        self,
        n: int,
        flat: nn.Parameter,
        *,
        threads: int,
        alone: Callable[[Item], bool] = lambda item: False,
    ) -> None:
        """`alone` says what leaves no room for another beside it."""
        self.n, self.threads, self._alone = n, threads, alone
        self._sum = cast(Tensor, flat.grad)
        self._free: SimpleQueue[Lane] = SimpleQueue()
        for _ in range(n if n > 1 else 0):
            self._free.put(Lane(flat))
        self._pool = ThreadPoolExecutor(n, thread_name_prefix="lane")
        self._turn = threading.Condition()

    def each(
        self, items: Iterable[Item], compute: Callable[[int, Item], Result]
    ) -> Generator[Result, None, None]:
        """What `compute` makes of each number and item, in order, and its gradients added up.

        Left early, or by an exception, it waits for what has begun.
        """
        if self.n == 1:
            yield from itertools.starmap(compute, enumerate(items))
            return
        self._next = 0
        running: deque[Future[Result]] = deque()
        try:
            for number, item in enumerate(items):
                if self._alone(item):
                    while running:
                        yield running.popleft().result()
                    torch.set_num_threads(self.threads)  # MKL has one number for all
                    yield compute(number, item)
                    self._next = number + 1
                    continue
                running.append(self._pool.submit(self._one, number, item, compute))
                if len(running) > self.n:
                    yield running.popleft().result()
            while running:
                yield running.popleft().result()
        finally:
            for future in running:
                future.cancel() or future.exception()

    def _one(self, number: int, item: Item, compute: Callable[[int, Item], Result]) -> Result:
        torch.set_num_threads(max(1, self.threads // self.n))
        lane = self._free.get()
        try:
            lane.gradient.zero_()
            with lane.entered():
                result = compute(number, item)
        except BaseException:
            lane.gradient.zero_()
            raise
        finally:
            with self._added_in_turn(number):
                self._sum += lane.gradient
            self._free.put(lane)
        return result

    @contextmanager
    def _added_in_turn(self, number: int) -> Iterator[None]:
        with self._turn:
            self._turn.wait_for(lambda: self._next == number)
            yield
            self._next = number + 1
            self._turn.notify_all()

    def close(self) -> None:
        self._pool.shutdown()
        torch.set_num_threads(self.threads)
