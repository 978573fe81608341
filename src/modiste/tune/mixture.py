"""Which samples each step trains on: a pure function of data, seed and step number.

Every pass over a file has its own shuffled order, made from (seed, file, pass) and nothing else;
samples are packed whole, and packs of different files take turns so that each file's share of the
tokens stays as close to its weight as whole packs allow. Nothing is drawn from a random state, so
a run that starts again at step 700 trains on exactly what it would have trained on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from modiste.errors import TuningFailed
from modiste.prepare.pack import pack


class Sample(NamedTuple):
    ids: NDArray[np.int32]
    mask: NDArray[np.bool_]
    """Which of them are trained."""
    split: int = 0
    """Of a pair: where the rejected conversation begins, behind the chosen one. 0 for all else."""
    reference: tuple[float, float] | None = None
    """Of a pair: log-probability of the chosen and of the rejected answer before training."""
    held: NDArray[np.int32] | None = None
    """Of a classifier row: which of all targets' labels hold, counted through."""


class Conversation(NamedTuple):
    """What a renderer makes of one."""

    ids: Sequence[int]
    mask: Sequence[bool]


class Origin(NamedTuple):
    """The row a sample was made of."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file} line {self.line}"


class Samples:
    """Tokenised samples, kept flat: five bytes per token instead of a Python list's forty."""

    def __init__(
        self,
        samples: Iterable[tuple[Sequence[int], Sequence[bool]]] = (),
        *,
        origins: Iterable[tuple[str, int]] = (),
    ) -> None:
        """`origins` of all samples or of none; it is read behind `samples`, which may fill it."""
        ids: list[NDArray[np.int32]] = []
        masks: list[NDArray[np.bool_]] = []
        for sample_ids, sample_mask, *_ in samples:
            ids.append(np.asarray(sample_ids, dtype=np.int32))
            masks.append(np.asarray(sample_mask, dtype=np.bool_))
        self.ids = np.concatenate(ids) if ids else np.empty(0, np.int32)
        self.mask = np.concatenate(masks) if masks else np.empty(0, np.bool_)
        self.lengths = np.array([len(sample) for sample in ids], dtype=np.int64)
        self.starts = np.concatenate([[0], np.cumsum(self.lengths)])
        self.splits = np.zeros(len(self.lengths), dtype=np.int64)
        """See Sample.split."""
        self.reference: NDArray[np.float64] | None = None
        """(n, 2); see Sample.reference."""
        self.held: NDArray[np.int32] | None = None
        self.held_starts = np.zeros(0, dtype=np.int64)
        """Labels of classifier rows, one after the other; see Sample.held."""
        self.origins = [Origin(*origin) for origin in origins]
        if self.origins and len(self.origins) != len(self.lengths):
            raise ValueError(f"{len(self.origins)} origins of {len(self.lengths)} samples")

    @classmethod
    def of_pairs(
        cls,
        pairs: Iterable[tuple[Conversation, Conversation]],
        *,
        origins: Iterable[tuple[str, int]] = (),
    ) -> Samples:
        """Each pair, chosen and rejected, is one sample: both go through the same step."""
        splits: list[int] = []

        def joined() -> Iterator[tuple[list[int], list[bool]]]:
            for chosen, rejected in pairs:
                splits.append(len(chosen.ids))
                yield [*chosen.ids, *rejected.ids], [*chosen.mask, *rejected.mask]

        made = cls(joined(), origins=origins)
        made.splits = np.array(splits, dtype=np.int64)
        return made

    @classmethod
    def with_labels(
        cls,
        rows: Iterable[tuple[Sequence[int], Sequence[int]]],
        *,
        origins: Iterable[tuple[str, int]] = (),
    ) -> Samples:
        """Of ids and the labels that hold; no token is predicted."""
        held: list[Sequence[int]] = []

        def read() -> Iterator[tuple[Sequence[int], Sequence[bool]]]:
            for ids, labels in rows:
                held.append(labels)
                yield ids, [False] * len(ids)

        made = cls(read(), origins=origins)
        made.held = np.array([label for labels in held for label in labels], dtype=np.int32)
        made.held_starts = np.concatenate([[0], np.cumsum([len(labels) for labels in held])])
        return made

    def __len__(self) -> int:
        return len(self.lengths)

    def __getitem__(self, index: int) -> Sample:
        span = slice(self.starts[index], self.starts[index + 1])
        known = None if self.reference is None else self.reference[index]
        reference = None if known is None else (float(known[0]), float(known[1]))
        labels = None
        if self.held is not None:
            labels = self.held[self.held_starts[index] : self.held_starts[index + 1]]
        return Sample(self.ids[span], self.mask[span], int(self.splits[index]), reference, labels)

    def origin(self, index: int) -> Origin | None:
        """None where nobody said."""
        return self.origins[index] if self.origins else None

    @property
    def has_pairs(self) -> bool:
        return bool(self.splits.any())

    def n_targets(self) -> NDArray[np.int64]:
        """Trained tokens of each sample; the first token can never be predicted."""
        return np.asarray(self.n_targets_of_parts().sum(axis=1), dtype=np.int64)

    def n_targets_of_parts(self) -> NDArray[np.int64]:
        """(n, 2): of the chosen and the rejected conversation; without pairs all in the first."""
        counts = np.concatenate([[0], np.cumsum(self.mask)])
        ends = self.starts[1:]
        middles = np.where(self.splits > 0, self.starts[:-1] + self.splits, ends)
        parts = [(self.starts[:-1], middles), (middles, ends)]
        of_parts = []
        for first, end in parts:
            never = [int(a < z and self.mask[a]) for a, z in zip(first, end, strict=True)]
            of_parts.append(counts[end] - counts[first] - np.array(never, dtype=np.int64))
        return np.stack(of_parts, axis=1).astype(np.int64).reshape(-1, 2)


class Source(NamedTuple):
    name: str
    weight: float
    samples: Samples


class Pack(NamedTuple):
    """Samples of one source that make up one sequence."""

    source: int
    samples: tuple[int, ...]


class Mixture:
    """Refuses samples that do not fit a sequence and sources without any trained token."""

    def __init__(
        self,
        sources: Sequence[Source],
        *,
        units: Sequence[NDArray[np.int64]],
        seed: int,
        max_length: int,
        batch_size: int,
    ) -> None:
        """`units` of each source's samples: what their losses are averaged over."""
        self.sources = tuple(sources)
        self.seed, self.max_length, self.batch_size = seed, max_length, batch_size
        self.useful = tuple(
            _useful(source, of, max_length) for source, of in zip(self.sources, units, strict=True)
        )
        total = sum(source.weight for source in self.sources)
        self.shares = tuple(source.weight / total for source in self.sources)

    @property
    def n_unused(self) -> int:
        """Samples that hold no trained token and are left out."""
        return sum(len(s.samples) - len(u) for s, u in zip(self.sources, self.useful, strict=True))

    @property
    def n_tokens(self) -> int:
        """Of one pass over everything."""
        return sum(
            int(s.samples.lengths[u].sum()) for s, u in zip(self.sources, self.useful, strict=True)
        )

    @property
    def longest(self) -> int:
        return max(
            int(s.samples.lengths[u].max()) for s, u in zip(self.sources, self.useful, strict=True)
        )

    def steps(self, *, first: int = 1) -> Iterator[tuple[Pack, ...]]:
        """The packs of step `first` (counted from 1), of the next one, and so on for ever."""
        packs = self._packs()
        for _ in range((first - 1) * self.batch_size):
            next(packs)
        while True:
            yield tuple(next(packs) for _ in range(self.batch_size))

    def _packs(self) -> Iterator[Pack]:
        """All packs in order; the source furthest below its share of the tokens goes next."""
        streams = [self._packs_of(number) for number in range(len(self.sources))]
        drawn = [0] * len(self.sources)
        while True:
            total = sum(drawn)
            number = max(range(len(streams)), key=lambda i: (self.shares[i] * total - drawn[i], -i))
            chosen = next(streams[number])
            drawn[number] += int(self.sources[number].samples.lengths[list(chosen)].sum())
            yield Pack(number, chosen)

    def _packs_of(self, number: int) -> Iterator[tuple[int, ...]]:
        """Pass after pass over one source, each in its own order."""
        lengths = self.sources[number].samples.lengths
        epoch = 0
        while True:
            order = shuffled(self.useful[number], self.seed, number, epoch)
            for group in pack(lengths.tolist(), self.max_length, order=order):
                yield tuple(group)
            epoch += 1


def shuffled(items: Sequence[int], *key: int) -> list[int]:
    """`items` in an order that depends on the key alone, on any machine and any version."""
    marks = np.asarray(items, dtype=np.uint64)
    state = np.zeros(1, dtype=np.uint64)
    for part in key:
        state = _scramble(state ^ np.uint64(part))
    marks = _scramble(marks ^ state)
    return [int(items[i]) for i in np.argsort(marks, kind="stable")]


def _scramble(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """splitmix64; arrays wrap around silently, as it wants."""
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _useful(source: Source, units: NDArray[np.int64], max_length: int) -> list[int]:
    lengths = source.samples.lengths
    too_long = np.flatnonzero(lengths > max_length)
    if len(too_long):
        raise TuningFailed(
            f"{source.name}: {len(too_long)} samples are longer than the {max_length} tokens of a "
            f"sequence, the longest has {int(lengths.max())}; raise max_length (seq_len) or leave "
            "them out",
            code="sample_too_long",
        )
    useful = [int(i) for i in np.flatnonzero(units > 0)]
    if not useful:
        raise TuningFailed(
            f"{source.name}: none of its {len(source.samples)} samples has a token to train on; "
            "give at least one assistant message a weight other than 0, or leave the file out",
            code="no_trainable_tokens",
        )
    return useful
