"""The processes that train one model together, as the recipe sees them.

Each computes a share of every step's samples; sums make them agree, so every process holds the same
numbers after each step and the recipe reads as if it were alone. `Alone` is one process; several
(torchrun, Ray) are `tune/processes.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

from torch import Tensor

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class Group(Protocol):
    rank: int
    size: int

    @property
    def speaks(self) -> bool:
        """Whether this process writes files and events: exactly one does."""
        ...

    def share(self, items: Sequence[Item], sizes: Sequence[int]) -> Sequence[Item]:
        """This process's items, in order; every item goes to exactly one process. `sizes` (tokens)
        balance the work. May be empty."""
        ...

    def sum_(self, tensor: Tensor) -> None:
        """Replace by the sum over all processes, in place."""
        ...

    def total(self, *values: float) -> tuple[float, ...]:
        """Each value summed over all processes."""
        ...

    def agree(self, answer: Answer) -> Answer:
        """The speaking process's answer, in every process."""
        ...


class Alone:
    rank, size, speaks = 0, 1, True

    def share(self, items: Sequence[Item], sizes: Sequence[int]) -> Sequence[Item]:
        return items

    def sum_(self, tensor: Tensor) -> None:
        pass

    def total(self, *values: float) -> tuple[float, ...]:
        return values

    def agree(self, answer: Answer) -> Answer:
        return answer
