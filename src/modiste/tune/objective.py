"""What a step minimises: the seam between the recipe and its losses.

The recipe asks for batches, adds up their losses, divides by the units of the whole step and knows
nothing else.
"""

from __future__ import annotations

import bisect
import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol, cast

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from modiste.errors import TuningFailed
from modiste.tune.group import Group
from modiste.tune.loss import Batch, Document, Measured, Scorer, collate
from modiste.tune.machine import Machine
from modiste.tune.mixture import Sample, Samples


class Computed(NamedTuple):
    loss: Tensor
    """Sum over the batch's units, with gradient."""
    measures: Mapping[str, float] = {}
    """More sums over the units, by the objective's names; what is told are their means."""


class Objective(Protocol):
    unit: str
    """What losses are averaged over: `token` or `pair`."""
    conversations: int
    """In each sample: a sequence has room for as many times its length."""
    measures: tuple[str, ...]
    """Names of what is told beside the loss."""

    def prepare(
        self,
        data: Sequence[Samples],
        *,
        run_dir: Path,
        belongs_to: str,
        group: Group,
        tell: Callable[[int, int], None],
    ) -> None:
        """Called once before anything is learned or restored, with all samples there are.

        `tell` hears how many of how many samples are done; what it raises ends the preparation.
        """
        ...

    def n_units(self, samples: Samples) -> NDArray[np.int64]:
        """(n,) of each sample; a sample of 0 units is left out."""
        ...

    def batches(self, samples: Sequence[Sample]) -> Iterator[object]:
        """The samples in order, as many together as the machine takes, at least one."""
        ...

    def n_tokens(self, batch: object) -> int: ...

    def loss(self, batch: object) -> Computed: ...

    def measure(self, batch: object) -> Measured:
        """Without gradient, for evaluation."""
        ...

    def losses(self, batch: object) -> list[tuple[float, int]]:
        """Mean loss and units of each sample of the batch, in order, without gradient."""
        ...


class NextToken:
    """Cross-entropy on the trained tokens: instruction tuning and continued pre-training."""

    unit = "token"
    conversations = 1
    measures: tuple[str, ...] = ()

    def __init__(self, scorer: Scorer, machine: Machine) -> None:
        self.scorer, self.machine = scorer, machine

    def prepare(
        self,
        data: Sequence[Samples],
        *,
        run_dir: Path,
        belongs_to: str,
        group: Group,
        tell: Callable[[int, int], None],
    ) -> None:
        pass

    def n_units(self, samples: Samples) -> NDArray[np.int64]:
        """Raises TuningFailed for pairs: run as one text, the rejected answer would be learned."""
        if samples.has_pairs:
            raise TuningFailed(
                "objective sft trains chats and texts, these rows are pairs of answers; leave the "
                "objective out, or convert them with `modiste data convert --to chat`",
                code="kind_not_trained",
            )
        return samples.n_targets()

    def batches(self, samples: Sequence[Sample]) -> Iterator[Batch]:
        for part in together(samples, self.machine):
            documents = [Document(sample.ids, sample.mask) for sample in part]
            yield collate(documents, device=self.machine.device)

    def n_tokens(self, batch: object) -> int:
        return cast(Batch, batch).ids.numel()

    def loss(self, batch: object) -> Computed:
        return Computed(self.scorer.loss(cast(Batch, batch)))

    def measure(self, batch: object) -> Measured:
        return self.scorer.measure(cast(Batch, batch))

    def losses(self, batch: object) -> list[tuple[float, int]]:
        """Every sample has a trained token; what fills up a row behind them has none."""
        documents = cast(Batch, batch)
        owners = documents.owners.cpu().numpy()
        losses = -np.asarray(self.scorer.logprobs(documents))
        sums, counts = np.bincount(owners, weights=losses), np.bincount(owners)
        return [(float(total) / int(n), int(n)) for total, n in zip(sums, counts, strict=True)]


def together(samples: Sequence[Sample], machine: Machine) -> Iterator[Sequence[Sample]]:
    """Samples in order, together up to the machine's micro-batch, at least one; where it has lanes,
    in so many parts of about one size that none waits long for the others."""
    sizes = [len(sample.ids) for sample in samples]
    most, n_lanes = machine.microbatch_tokens, machine.lanes
    if n_lanes > 1:
        n_parts = n_lanes * max(1, -(-sum(sizes) // (most * n_lanes)))
        ends = _even(sizes, n_parts)
    else:
        ends = _filled(sizes, most)
    for first, end in itertools.pairwise([0, *ends]):
        yield samples[first:end]


def _filled(sizes: Sequence[int], most: int) -> Iterator[int]:
    """Where parts end that grow until the next item would be too much."""
    size = 0
    for place, more in enumerate(sizes):
        if size and size + more > most:
            yield place
            size = 0
        size += more
    if sizes:
        yield len(sizes)


def _even(sizes: Sequence[int], n: int) -> Iterator[int]:
    """Where up to `n` parts of about one size end."""
    ends, total = list(itertools.accumulate(sizes)), sum(sizes)
    middles = [end - size / 2 for end, size in zip(ends, sizes, strict=True)]
    places = {bisect.bisect(middles, total * part / n) for part in range(1, n)}
    yield from sorted({*places, len(sizes)} - {0})


def summed(measures: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Name by name."""
    total: Counter[str] = Counter()
    for each in measures:
        for name, value in each.items():
            total[name] += value  # type: ignore[assignment]  # a Counter adds what it is given
    return dict(total)
