"""Who is a near-duplicate of whom: candidates from bands, verified, one leader kept for each.

Rows are taken in the order in which they are worth keeping. A row that is verified to be like a
leader is dropped in its favour, any other becomes a leader itself: so everything that is dropped
is like something that is kept, never only linked to it by a chain. The links themselves, chains
included, make clusters for those who must keep like things together.

Bands lie in a file; memory holds one band at a time and the rows that share any with another row.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from modiste.prepare.curate.minhash import BANDS, U32, band_keys, sign
from modiste.prepare.curate.shingle_file import Likeness
from modiste.prepare.curate.shingles import Indexes, Ragged

LEAST_ASKED = 0.5
FOLLOWERS = 8
"""Rows beside leaders that a band remembers as company, to find chains by."""
MOST_COMPARED = 256
"""Rows that one row is compared with at most, the latest of each band; `Found.n_capped` counts
rows that met more."""


class Sets(Protocol):
    def __len__(self) -> int: ...
    def batches(self) -> Iterator[tuple[int, Ragged]]: ...
    def compare(self, row: int, others: Sequence[int]) -> Likeness: ...


class Company(NamedTuple):
    """Rows that share bands: row `rows[i]` meets others in `groups[starts[i] : starts[i + 1]]`."""

    rows: Indexes
    starts: Indexes
    groups: Indexes


class Like(NamedTuple):
    row: int
    of: int
    similarity: float


class Found(NamedTuple):
    dropped: dict[int, Like]
    """By row; `of` is a row that is kept."""
    links: list[Like]
    """All verified pairs that are the same."""
    differing: list[Like]
    """Rows that are alike to another as a whole but answer differently, each with the most alike
    other; both are kept."""
    n_compared: int
    n_capped: int


def find(
    sets: Sets,
    *,
    alive: NDArray[np.bool_],
    order: Iterable[int],
    threshold: float,
    answers: Indexes | None = None,
    questions: Sets | None = None,
) -> Found:
    """Near-duplicates among the rows that are alive.

    Args:
        order: all rows, those first that are rather kept.
        answers: a number per row that tells answers apart; rows whose numbers and whose answers'
            shingles differ are not the same, however alike they are as a whole.
        questions: the words of what each row asks; rows that share fewer than half of them are not
            the same, however much of a common long answer makes them alike.
    """
    met = company(sets, alive)
    place = np.full(len(sets), -1, dtype=np.int64)
    place[met.rows] = np.arange(met.rows.size)
    search = _Search(sets, threshold, answers, questions)
    for row in order:
        at = int(place[row])
        if at >= 0:
            search.meet(row, met.groups[met.starts[at] : met.starts[at + 1]].tolist())
    return search.found()


def company(sets: Sets, alive: NDArray[np.bool_]) -> Company:
    """Sign every row, then look band by band for rows with the same key."""
    n_rows = len(sets)
    alive = alive.copy()
    rows, groups, n_groups = [], [], 0
    with tempfile.TemporaryFile(prefix="modiste-bands-") as file:
        for first, batch in sets.batches():
            alive[first : first + batch.lengths.size] &= batch.lengths > 0
            for band, keys in enumerate(band_keys(sign(batch)).T):
                file.seek((band * n_rows + first) * 4)
                file.write(np.ascontiguousarray(keys).tobytes())
        living = np.flatnonzero(alive)
        for band in range(BANDS):
            file.seek(band * n_rows * 4)
            keys = np.frombuffer(file.read(n_rows * 4), dtype=np.uint32)[living]
            shared, group = _shared(keys)
            rows.append(living[shared])
            groups.append(group + n_groups)
            n_groups += int(group[-1]) + 1 if group.size else 0
    return _by_row(np.concatenate(rows), np.concatenate(groups))


def _shared(keys: U32) -> tuple[Indexes, Indexes]:
    """Places whose key occurs again, and the number of each one's group."""
    order = np.argsort(keys, kind="stable")
    if not order.size:
        return order, order
    fresh = np.concatenate(([True], keys[order][1:] != keys[order][:-1]))
    group = np.cumsum(fresh) - 1
    crowded = np.bincount(group) > 1
    chosen = crowded[group]
    return order[chosen], (np.cumsum(crowded) - 1)[group[chosen]]


def _by_row(rows: Indexes, groups: Indexes) -> Company:
    order = np.argsort(rows, kind="stable")
    distinct, starts = np.unique(rows[order], return_index=True)
    return Company(distinct, np.append(starts, rows.size), groups[order])


class _Search:
    """Leaders so far, and what was found on the way."""

    def __init__(
        self, sets: Sets, threshold: float, answers: Indexes | None, questions: Sets | None
    ) -> None:
        self._sets = sets
        self._threshold = threshold
        self._answers = answers
        self._questions = questions
        self._leaders: dict[int, list[int]] = {}
        self._followers: dict[int, list[int]] = {}
        self._dropped: dict[int, Like] = {}
        self._links: list[Like] = []
        self._differing: list[Like] = []
        self._n_compared = 0
        self._n_capped = 0

    def meet(self, row: int, groups: list[int]) -> None:
        same = self._same(row, self._candidates(groups))
        self._links += same
        led = [like for like in same if like.of not in self._dropped]
        if led:
            self._dropped[row] = max(led, key=lambda like: like.similarity)
        for group in groups:
            if not led:
                self._leaders.setdefault(group, []).append(row)
            elif len(known := self._followers.setdefault(group, [])) < FOLLOWERS:
                known.append(row)

    def _candidates(self, groups: list[int]) -> list[int]:
        leaders: dict[int, None] = {}
        followers: dict[int, None] = {}
        for group in groups:
            leaders.update(dict.fromkeys(self._leaders.get(group, ())[-MOST_COMPARED - 1 :]))
            followers.update(dict.fromkeys(self._followers.get(group, ())))
        found = [*leaders, *followers]
        self._n_capped += len(found) > MOST_COMPARED
        return found[:MOST_COMPARED]

    def _same(self, row: int, others: list[int]) -> list[Like]:
        if not others:
            return []
        self._n_compared += len(others)
        whole, answer = self._sets.compare(row, others)
        same, differing = [], []
        for at in np.flatnonzero(whole >= self._threshold).tolist():
            if self._questions is not None:
                asked = self._questions.compare(row, [others[at]]).whole[0]
                if asked < LEAST_ASKED:
                    continue
            like = Like(row, others[at], round(float(whole[at]), 4))
            if self._agree(row, others[at]) or answer[at] >= self._threshold:
                same.append(like)
            else:
                differing.append(like)
        if differing:  # the most alike only: one prompt with many answers has all pairs
            self._differing.append(max(differing, key=lambda like: like.similarity))
        return same

    def _agree(self, row: int, other: int) -> bool:
        return self._answers is not None and bool(self._answers[row] == self._answers[other])

    def found(self) -> Found:
        return Found(self._dropped, self._links, self._differing, self._n_compared, self._n_capped)


def clusters(links: Iterable[tuple[int, int]]) -> list[tuple[int, ...]]:
    """Everything that is linked, in order of first members (union-find)."""
    parent: dict[int, int] = {}

    def root(row: int) -> int:
        while parent.setdefault(row, row) != row:
            parent[row] = row = parent[parent[row]]
        return row

    for one, other in links:
        low, high = sorted((root(one), root(other)))
        parent[high] = low
    members: dict[int, list[int]] = {}
    for row in sorted(parent):
        members.setdefault(root(row), []).append(row)
    return [tuple(rows) for rows in members.values()]
