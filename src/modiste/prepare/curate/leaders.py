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
from enum import Enum, auto
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from modiste.prepare.curate.minhash import BANDS, U32, band_keys, jaccard, sign
from modiste.prepare.curate.shingle_file import ANSWER, Likeness
from modiste.prepare.curate.shingles import U64, Indexes, Ragged

CLOSE_ANSWER = 0.9
SOME_ANSWER, LONG_ANSWER = 20, 40
"""Different words."""
FOLLOWERS = 8
"""Rows beside leaders that a band remembers as company, to find chains by."""
MOST_COMPARED = 256
"""Rows that one row is compared with at most, the latest of each band; `Found.n_capped` counts
rows that met more."""


class Sets(Protocol):
    def __len__(self) -> int: ...
    def batches(self) -> Iterator[tuple[int, Ragged]]: ...
    def of(self, row: int) -> U32: ...
    def compare(self, row: int, others: Sequence[int]) -> Likeness: ...


class Company(NamedTuple):
    """Rows that share bands: row `rows[i]` meets others in `groups[starts[i] : starts[i + 1]]`."""

    rows: Indexes
    starts: Indexes
    groups: Indexes


class Rows(NamedTuple):
    """What else tells rows apart that look alike."""

    questions: U64
    """A number per row: equal where the questions are."""
    answers: Indexes
    words: Sets
    """Words of both sides, without punctuation."""


class Verdict(Enum):
    SAME = auto()
    OTHER_QUESTION = auto()
    OTHER_ANSWER = auto()


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
    rows: Rows | None = None,
) -> Found:
    """Near-duplicates among the rows that are alive.

    Args:
        order: all rows, those first that are rather kept.
        rows: without it, similarity alone decides; with it, `judge` has a say.
    """
    met = company(sets, alive)
    place = np.full(len(sets), -1, dtype=np.int64)
    place[met.rows] = np.arange(met.rows.size)
    search = _Search(sets, threshold, rows)
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

    def __init__(self, sets: Sets, threshold: float, rows: Rows | None) -> None:
        self._sets = sets
        self._threshold = threshold
        self._rows = rows
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
            like = Like(row, others[at], round(float(whole[at]), 4))
            verdict = self._verdict(row, others[at], float(answer[at]))
            if verdict is Verdict.SAME:
                same.append(like)
            elif verdict is Verdict.OTHER_ANSWER:
                differing.append(like)
        if differing:  # the most alike only: one prompt with many answers has all pairs
            self._differing.append(max(differing, key=lambda like: like.similarity))
        return same

    def _verdict(self, row: int, other: int, answer_similarity: float) -> Verdict:
        if self._rows is None:
            return Verdict.SAME
        return judge(self._rows, row, other, answer_similarity, self._threshold)

    def found(self) -> Found:
        return Found(self._dropped, self._links, self._differing, self._n_compared, self._n_capped)


def judge(rows: Rows, row: int, other: int, answer_similarity: float, threshold: float) -> Verdict:
    """Whether two rows that look alike are two versions of one.

    An equal question: the answers must be similar by `threshold`. Another question: it must share
    `threshold` of its words, or one long answer that many questions have would make them the same;
    no word may be new in both question and answer (`BAL` there, `HOU` here: a case of its own); and
    the answers must be equal, or LONG_ANSWER and similar by CLOSE_ANSWER, or of some length and
    similar by `threshold` where words were only put in or left out: words that were exchanged in
    question and answer belong together.
    """
    same_answer = bool(rows.answers[row] == rows.answers[other])
    if rows.questions[row] == rows.questions[other]:
        alike = same_answer or answer_similarity >= threshold
        return Verdict.SAME if alike else Verdict.OTHER_ANSWER
    (asked, answered), (others_asked, others_answered) = (
        np.split(words, [np.searchsorted(words, ANSWER)])
        for words in (rows.words.of(row), rows.words.of(other))
    )
    if jaccard(asked, others_asked) < threshold:
        return Verdict.OTHER_QUESTION
    if same_answer:
        return Verdict.SAME
    if _carried(asked, others_asked, answered, others_answered) or _carried(
        others_asked, asked, others_answered, answered
    ):
        return Verdict.OTHER_ANSWER
    size = min(answered.size, others_answered.size)
    close = CLOSE_ANSWER if size >= LONG_ANSWER else 1.0
    only_more = _only_more(asked, others_asked) and _only_more(answered, others_answered)
    if size >= SOME_ANSWER and only_more:
        close = threshold
    return Verdict.SAME if answer_similarity >= close else Verdict.OTHER_ANSWER


def _only_more(one: U32, other: U32) -> bool:
    return np.intersect1d(one, other, assume_unique=True).size == min(one.size, other.size)


def _carried(asked: U32, others_asked: U32, answered: U32, others_answered: U32) -> bool:
    """Does a word that only this question has come back as one that only this answer has?"""
    asks = np.setdiff1d(asked, others_asked, assume_unique=True)
    answers = np.setdiff1d(answered, others_answered, assume_unique=True) & ~ANSWER
    return bool(np.isin(asks, answers).any())


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
