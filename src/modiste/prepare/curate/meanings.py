"""The last pass of dedup: rows whose questions mean the same, and whose answers do too.

Questions are embedded first, and the answers only of rows whose questions are close. Close
questions with other answers are named for review.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from modiste.prepare.curate.embedders import Embed, Vectors
from modiste.prepare.curate.leaders import Like
from modiste.prepare.curate.row_marks import Marks, Sides, sides
from modiste.prepare.curate.semantic import Alike, alike, cosines, embedded
from modiste.prepare.curate.shingles import Indexes
from modiste.prepare.curate.stage import Corpus, chain


class SameMeaning(NamedTuple):
    dropped: list[Like]
    differing: list[Like]
    n_pairs: int
    n_embedded: int


def find_same_meaning(
    inputs: Sequence[Corpus],
    marks: Marks,
    *,
    order: Sequence[int],
    threshold: float,
    embed: Embed,
    centred: bool,
    system: bool,
) -> SameMeaning:
    """Among the rows in `order`, those first that are rather kept."""
    taking = np.zeros(len(marks), dtype=np.bool_)
    taking[np.asarray(order, dtype=np.int64)] = True
    taking &= marks.n_asked > 0
    rows = np.flatnonzero(taking)
    asked = _texts(inputs, taking, lambda said: said.asked, system)
    questions = embedded(asked, embed, centred=centred)
    found = alike(questions, threshold)
    pairs = Alike(rows[found.first], rows[found.second], found.cosine)
    same = _answers_agree(inputs, marks, pairs, threshold, embed, centred, system)
    dropped = _led(pairs, same, order)
    differing = [
        Like(int(second), int(first), round(float(cosine), 4))
        for first, second, cosine in zip(*(column[~same] for column in pairs), strict=True)
    ]
    return SameMeaning(dropped, differing, pairs.first.size, rows.size)


def _texts(
    inputs: Sequence[Corpus],
    taking: NDArray[np.bool_],
    side: Callable[[Sides], str],
    system: bool,
) -> Iterator[str]:
    for take, record in zip(taking.tolist(), chain(inputs), strict=True):
        if take:
            yield side(sides(record.example, system=system))


def _answers_agree(
    inputs: Sequence[Corpus],
    marks: Marks,
    pairs: Alike,
    threshold: float,
    embed: Embed,
    centred: bool,
    system: bool,
) -> NDArray[np.bool_]:
    one, other = marks.answers[pairs.first], marks.answers[pairs.second]
    agree = np.asarray(one == other)
    open_pairs = np.flatnonzero(~agree & (one != 0) & (other != 0))
    wanted = np.zeros(len(marks), dtype=np.bool_)
    wanted[pairs.first[open_pairs]] = wanted[pairs.second[open_pairs]] = True
    answered = _texts(inputs, wanted, lambda said: said.answered, system)
    vectors = embedded(answered, embed, centred=centred)
    place = np.cumsum(wanted) - 1
    first, second = place[pairs.first[open_pairs]], place[pairs.second[open_pairs]]
    agree[open_pairs] = _close(vectors, first, second, threshold)
    return agree


def _close(
    vectors: Vectors, first: Indexes, second: Indexes, threshold: float, block: int = 4096
) -> NDArray[np.bool_]:
    parts = [
        cosines(vectors[first[at : at + block]], vectors[second[at : at + block]]) >= threshold
        for at in range(0, first.size, block)
    ]
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.bool_)


def _led(pairs: Alike, same: NDArray[np.bool_], order: Sequence[int]) -> list[Like]:
    """One leader is kept for each: as in `leaders`, with all pairs known."""
    near: dict[int, list[tuple[float, int]]] = defaultdict(list)
    columns = (column[same].tolist() for column in pairs)
    for first, second, cosine in zip(*columns, strict=True):
        near[first].append((cosine, second))
        near[second].append((cosine, first))
    kept: set[int] = set()
    dropped = []
    for row in order:
        leaders = [(cosine, other) for cosine, other in near.get(row, ()) if other in kept]
        if leaders:
            cosine, leader = max(leaders)
            dropped.append(Like(row, leader, round(float(cosine), 4)))
        elif row in near:
            kept.add(row)
    return dropped
