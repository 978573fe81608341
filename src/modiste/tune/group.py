"""The processes that train one model together, as the recipe sees them.

Each computes a share of every step's samples; sums make them agree, so every process holds the same
numbers after each step and the recipe reads as if it were alone. `Alone` is one process; several
(torchrun, Ray) are `processes.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, Protocol, TypeVar

from torch import Tensor

from modiste.errors import TuningFailed

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class Group(Protocol):
    rank: int
    size: int
    lockstep: bool
    """The base is spread over the processes, so all must run the model equally often."""

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
        """The speaking process's answer, in every process. It travels as JSON: a StrEnum arrives
        as its string, a tuple as a list."""
        ...

    def everyones(self, answer: Answer) -> list[Answer]:
        """All processes' answers by rank, in every process; JSON as well."""
        ...


class Alone:
    rank, size, speaks, lockstep = 0, 1, True, False

    def share(self, items: Sequence[Item], sizes: Sequence[int]) -> Sequence[Item]:
        return items

    def sum_(self, tensor: Tensor) -> None:
        pass

    def total(self, *values: float) -> tuple[float, ...]:
        return values

    def agree(self, answer: Answer) -> Answer:
        return answer

    def everyones(self, answer: Answer) -> list[Answer]:
        return [answer]


class Round(NamedTuple):
    batch: object
    counts: bool
    """False: computed only so that the others are not left waiting; its numbers are dropped."""


def rounds(
    group: Group, batches: Iterator[object], *, idle: Callable[[], Iterator[object]]
) -> Iterator[Round]:
    """This process's batches; where all must compute equally often, `idle`'s first fills up."""
    if not group.lockstep:
        yield from (Round(batch, True) for batch in batches)
        return
    mine = list(batches)
    n = max(
        group.everyones(len(mine))
    )  # before the first of them: what processes ask comes in one order
    yield from (Round(batch, True) for batch in mine)
    for _ in range(n - len(mine)):
        yield Round(next(idle()), False)


def check_same_run(group: Group, belongs_to: str, *, step: int) -> None:
    """That every process sees the same base, data and checkpoint.

    Raises:
        TuningFailed: in the processes that see others than the speaking one.
    """
    run, at = group.agree((belongs_to, step))
    if run != belongs_to:
        raise TuningFailed(
            f"process {group.rank} of {group.size} sees another base, other data or another spec "
            "than process 0; the folders of base, data and run must be the same for all",
            code="processes_differ",
        )
    if at != step:
        raise TuningFailed(
            f"process {group.rank} of {group.size} finds the checkpoint of step {step}, process 0 "
            f"that of step {at}; the folder of the run must be shared by all machines",
            code="processes_differ",
        )


def shares(sizes: Sequence[int], n: int) -> list[list[int]]:
    """Places of items for each of `n` processes: largest first to whoever has least, so that no
    process has more than the fair share plus one item. Depends on the sizes alone."""
    loads = [0] * n
    places: list[list[int]] = [[] for _ in range(n)]
    for place in sorted(range(len(sizes)), key=lambda i: (-sizes[i], i)):
        least = loads.index(min(loads))
        loads[least] += sizes[place]
        places[least].append(place)
    return [sorted(of_one) for of_one in places]
