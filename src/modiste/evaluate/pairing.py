"""The items of two runs side by side: arrays built once, from which every comparison is made.

An item counts where both runs have a score for it; who has how many without one is told for each
side. Attempts at one item are averaged first, since items, not attempts, are the sample.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from modiste.evaluate.items import Item, Sample
from modiste.evaluate.record import Run

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]
Value = Callable[[Sample], float | None]


class Means(NamedTuple):
    """One value of every item of one run."""

    means: Floats
    """(n,) over the attempts that have one; NaN where none has."""
    unscored: Ints
    """(n,) attempts without a value."""
    attempts: Ints
    """(n,) that were made."""
    whole: float
    """Mean over all items of the run, those that the other lacks too; NaN where there is none."""


class Column(NamedTuple):
    """One value of every item of both runs."""

    baseline: Means
    candidate: Means

    @property
    def both(self) -> Mask:
        """(n,) items that have a value on both sides."""
        there: Mask = ~(np.isnan(self.baseline.means) | np.isnan(self.candidate.means))
        return there


@dataclass(frozen=True)
class Pairs:
    """What two runs have in common."""

    baseline: Side
    candidate: Side
    items: tuple[Item, ...]
    """(n,) asked in both, by their keys: runs keep samples in the order they ended in."""
    only_baseline: tuple[str, ...]
    """Keys of items that only one of them was asked."""
    only_candidate: tuple[str, ...]

    @classmethod
    def of(cls, baseline: Run, candidate: Run) -> Pairs:
        samples = [_in_order(run.samples) for run in (baseline, candidate)]
        left, right = _items(samples[0]), _items(samples[1])
        both = tuple(item for key, item in left.items() if key in right)
        only = [
            [key for key in left if key not in right],
            [key for key in right if key not in left],
        ]
        first = [item.key for item in both]
        a, b = ({key: at for at, key in enumerate((*first, *rest))} for rest in only)
        return cls(
            baseline=Side(samples[0], a, len(both)),
            candidate=Side(samples[1], b, len(both)),
            items=both,
            only_baseline=tuple(only[0]),
            only_candidate=tuple(only[1]),
        )

    def column(self, value: Value) -> Column:
        return Column(self.baseline.column(value), self.candidate.column(value))

    def scores(self, scorer: str) -> Column:
        """What one scorer says."""
        return self.column(lambda sample: value_of(sample, scorer))

    @cached_property
    def clusters(self) -> Ints | None:
        """(n,) items of one number share a source; None where no item names one."""
        if all(item.cluster is None for item in self.items):
            return None
        names: dict[tuple[bool, str], int] = {}
        codes = (
            names.setdefault(
                (item.cluster is None, item.key if item.cluster is None else item.cluster),
                len(names),
            )
            for item in self.items
        )
        return np.fromiter(codes, np.int64, len(self.items))

    @cached_property
    def slices(self) -> Mapping[tuple[str, str], Mask]:
        """(n,) which items are of each part of the dataset, by its name and value."""
        found: dict[tuple[str, str], list[int]] = {}
        for at, item in enumerate(self.items):
            for part in item.slices.items():
                found.setdefault(part, []).append(at)
        masks = {}
        for part, members in sorted(found.items()):
            mask = np.zeros(len(self.items), np.bool_)
            mask[members] = True
            masks[part] = mask
        return masks


@dataclass(frozen=True)
class Side:
    """One run, its samples laid on its items."""

    samples: tuple[Sample, ...]
    places: Mapping[str, int]
    """Of each item by its key: first those that both have, then its own."""
    n_both: int

    @cached_property
    def at(self) -> Ints:
        """(samples,) each one's item."""
        found = (self.places[sample.item.key] for sample in self.samples)
        return np.fromiter(found, np.int64, len(self.samples))

    @cached_property
    def first(self) -> Mapping[int, Sample]:
        """The first attempt at each item."""
        found: dict[int, Sample] = {}
        for at, sample in zip(self.at.tolist(), self.samples, strict=True):
            found.setdefault(at, sample)
        return found

    @cached_property
    def attempts(self) -> Ints:
        """(items,) made at each."""
        return np.bincount(self.at, minlength=len(self.places))

    def column(self, value: Value) -> Means:
        drawn = (np.nan if (v := value(sample)) is None else v for sample in self.samples)
        values = np.fromiter(drawn, np.float64, len(self.samples))
        scored = ~np.isnan(values)
        sums = np.bincount(self.at[scored], weights=values[scored], minlength=len(self.places))
        counts = np.bincount(self.at[scored], minlength=len(self.places))
        with np.errstate(invalid="ignore"):
            means = sums / counts
        there = means[counts > 0]
        both = slice(self.n_both)
        return Means(
            means[both],
            (self.attempts - counts)[both],
            self.attempts[both],
            float(there.mean()) if len(there) else np.nan,
        )


def value_of(sample: Sample, scorer: str) -> float | None:
    """A score has a value only where it is scored."""
    score = sample.scores.get(scorer)
    return None if score is None else score.value


def detail_of(sample: Sample, scorer: str, name: str) -> float | None:
    """A number that a scorer keeps beside its value under the name of a figure: `is_json`, or
    `field.city` within its `fields`."""
    score = sample.scores.get(scorer)
    if score is None or score.value is None:
        return None
    head, _, rest = name.partition(".")
    found = score.detail.get(head)
    if rest:
        inside = score.detail.get(f"{head}s")
        found = inside.get(rest) if isinstance(inside, Mapping) else None
    return float(found) if isinstance(found, (bool, int, float)) else None


def _in_order(samples: Iterable[Sample]) -> tuple[Sample, ...]:
    return tuple(sorted(samples, key=lambda sample: (sample.item.key, sample.attempt)))


def _items(samples: Iterable[Sample]) -> dict[str, Item]:
    found: dict[str, Item] = {}
    for sample in samples:
        found.setdefault(sample.item.key, sample.item)
    return found
