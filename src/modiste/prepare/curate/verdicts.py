"""Does a training row give an eval item away? One row, one unit, one verdict.

A copy repeats all that is the unit's own. An overlap covers more than a given share of it with runs
of words that few training rows have. A paraphrase has most of its words in the same order, and most
of their weight, in about as many words. Whatever is no copy must have every number and nearly every
name, and beginning and end: a shared passage with another question gives nothing away.
"""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher
from enum import StrEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from modiste.prepare.curate.eval_items import Flags, Side, Unit
from modiste.prepare.curate.shingles import U64, Indexes

COPY = 0.9
"""Share of a unit's own words that makes a copy; of at most LONG words, all."""
ANSWER = 0.8
"""Share of an answer that makes an overlap, at least: answers to other questions can be alike."""
WEIGHT = 0.75
"""Share of a unit's weight that a paraphrase has …"""
WEIGHT_IN_ORDER = 0.7
"""… and has in order, …"""
WORDS_IN_ORDER = 0.6
"""… share of its words, …"""
END_WEIGHT = 0.6
"""… and share of the weight of its first and of its last sentence."""
CONTENT = 1.5
"""Words in fewer than 22 of 100 rows or questions carry content …"""
CONTENT_WORDS = 0.8
"""… and so many of these must be there (of a SHORT unit all): `Is … inherited?` is not `What are
the treatments for …?`, however heavy the name of the disease."""
NAMES = 0.8
MIN_PARAPHRASED = 5
SHORT = 12
"""Units of fewer words are paraphrased by whole messages only, not by parts of long ones …"""
SHORT_WEIGHT = 0.8
WORDS_BETWEEN = 0.75
"""… of whose words between the first and the last common one so many are common."""
LONG = 64
"""Units of more words need no weight for an overlap: half of so many words is no accident."""
LONGEST = 200
"""Words of a unit that are looked at for a paraphrase."""
SEGMENT = 0.5


class Kind(StrEnum):
    COPY = "copy"
    OVERLAP = "overlap"
    PARAPHRASE = "paraphrase"
    SHARED_CONTEXT = "shared_context"
    """Much in common, but not what the item asks: for review, not for dropping."""


class Verdict(NamedTuple):
    kind: Kind
    unit: int
    coverage: float
    """Share of the unit: of its own words by runs, of its weight for a paraphrase."""
    longest: int
    """Words in a row that both have."""
    first: int
    """Where the common words begin in the row's words …"""
    end: int


class Covered(NamedTuple):
    """How runs of a row cover a unit."""

    every: float
    """Share of the unit's own words covered by any runs …"""
    rare: float
    """… and by runs that few training rows have."""
    longest: int
    words: Flags


def covered(n_words: int, n: int, hit: Flags, rare: Flags, template: Flags) -> Covered:
    """
    Args:
        hit, rare, template: for each run of `n` words of the unit: is it in the row; do few
            training rows have it; do several units have it.
    """
    own = ~_spread(template, n_words, n)
    by_all = own & _spread(hit, n_words, n)
    by_rare = own & _spread(hit & rare, n_words, n)
    total = max(1, int(own.sum()))
    runs = np.flatnonzero(np.diff(np.concatenate(([0], by_all.view(np.int8), [0]))))
    longest = int((runs[1::2] - runs[0::2]).max(initial=0))
    return Covered(float(by_all.sum() / total), float(by_rare.sum() / total), longest, by_all)


def _spread(runs: Flags, n_words: int, n: int) -> Flags:
    """Words that lie in any of the runs."""
    steps = np.zeros(n_words + 1, dtype=np.int32)
    at = np.flatnonzero(runs)
    np.add.at(steps, at, 1)
    np.add.at(steps, np.minimum(at + n, n_words), -1)
    return np.asarray(np.cumsum(steps[:-1]) > 0)


class Window(NamedTuple):
    first: int
    end: int


class Weighted(NamedTuple):
    """A unit as paraphrases are told: its words and what each weighs."""

    hashes: U64
    weights: NDArray[np.float64]


def by_runs(unit: Unit, cover: Covered, row: U64, threshold: float) -> Kind | None:
    """What runs of words tell; an OVERLAP of a question of at most LONG words is still to be
    confirmed by weight.

    Args:
        row: hashes of the row's words.
    """
    short = unit.hashes.size <= LONG
    if unit.side is Side.ANSWER:
        return _answer_by_runs(unit, cover, row, max(threshold, ANSWER), short)
    if cover.every >= (1.0 if short else COPY):
        return Kind.COPY
    if cover.rare <= threshold:
        return None
    return Kind.OVERLAP if short or _ends_match(unit, cover, row) else Kind.SHARED_CONTEXT


def _answer_by_runs(
    unit: Unit, cover: Covered, row: U64, threshold: float, short: bool
) -> Kind | None:
    """An answer that many rows give is no secret; one with another number is another answer."""
    if cover.rare >= (1.0 if short else COPY):
        return Kind.COPY
    if cover.rare <= (COPY if short else threshold):
        return None
    if not _has_fixed_words(unit, unit.hashes, row) or not _ends_match(unit, cover, row):
        return None
    return Kind.OVERLAP


def _ends_match(unit: Unit, cover: Covered, row: U64) -> bool:
    matched = cover.words | in_order(unit.hashes, row)
    ends = (unit.segments[0], unit.segments[-1])
    return all(matched[first:end].mean() >= SEGMENT for first, end in ends)


def by_weight(unit: Unit, weighted: Weighted, row: U64, window: Window) -> float | None:
    """Share of the unit's weight that the window of the row has, if it says the same."""
    seen, hashes, weights = row[window.first : window.end], *weighted
    short = unit.hashes.size < SHORT
    share = _share(weights, np.isin(hashes, seen))
    if share < (SHORT_WEIGHT if short else WEIGHT) or not _has_fixed_words(unit, hashes, seen):
        return None
    if short and _between(np.isin(seen, hashes)) < WORDS_BETWEEN:
        return None
    content = np.unique(hashes[weights >= CONTENT])
    if content.size and np.isin(content, seen).mean() < (1.0 if short else CONTENT_WORDS):
        return None
    ordered = in_order(hashes, seen)
    if _share(weights, ordered) < WEIGHT_IN_ORDER or ordered.mean() <= WORDS_IN_ORDER:
        return None
    # Of a unit longer than what is looked at, only the beginning is known.
    ends = [part for part in (unit.segments[0], unit.segments[-1]) if part[1] <= weights.size]
    alike = all(_share(weights[a:b], ordered[a:b]) >= END_WEIGHT for a, b in ends)
    return share if alike else None


def _share(weights: NDArray[np.float64], of: Flags) -> float:
    return float(weights[of].sum() / max(float(weights.sum()), 1e-9))


def _between(common: Flags) -> float:
    """What stands before and after is often a frame: `Question: …`, `… please`."""
    at = np.flatnonzero(common)
    return float(at.size / (at[-1] - at[0] + 1)) if at.size else 0.0


def _has_fixed_words(unit: Unit, looked_at: U64, seen: U64) -> bool:
    """Numbers as often as the unit has them: `table_2_7_2` is not `table_2_7_3`."""
    numbers, counts = np.unique(looked_at[np.isin(looked_at, unit.numbers)], return_counts=True)
    found = np.searchsorted(np.sort(seen), numbers, side="right") - np.searchsorted(
        np.sort(seen), numbers
    )
    names = unit.names[np.isin(unit.names, looked_at)]
    if (found < counts).any():
        return False
    return not names.size or float(np.isin(names, seen).mean()) >= NAMES


def window_of(unit: U64, row: U64, messages: Indexes, asking: Flags) -> Window | None:
    """The stretch of one message that has most of a unit's words.

    Args:
        messages: where each message begins in the row's words, and where all end.
        asking: which messages are not answers.
    """
    room = unit.size + unit.size // 2 + 4
    known = np.concatenate(([0], np.cumsum(np.isin(row, unit))))
    best, most = None, 0
    for first, end, asks in zip(messages[:-1], messages[1:], asking, strict=True):
        if unit.size < SHORT and not (asks and end - first <= 2 * unit.size + 6):
            continue
        if end - first > room:
            shares = known[first + room : end + 1] - known[first : end + 1 - room]
            first = first + int(np.argmax(shares))
            end = first + room
        if known[end] - known[first] > most:
            best, most = Window(int(first), int(end)), known[end] - known[first]
    return best


def in_order(unit: U64, row: U64) -> Flags:
    """Words of the unit that the row has in the same order."""
    matched = np.zeros(unit.size, dtype=np.bool_)
    shared = row[np.isin(row, unit)]
    matcher = SequenceMatcher(None, unit.tolist(), shared.tolist(), autojunk=False)
    for block in matcher.get_matching_blocks():
        matched[block.a : block.a + block.size] = True
    return matched


def worst(verdicts: Sequence[Verdict]) -> Verdict:
    """The one that says most about why a row goes."""
    order = list(Kind)
    return min(verdicts, key=lambda verdict: (order.index(verdict.kind), -verdict.coverage))
