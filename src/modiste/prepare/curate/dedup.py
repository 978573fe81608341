"""Rows that say the same, once: exactly, nearly, and by an embedding model in other words.

A row is dropped only in favour of a row that is kept and verified to be like it: equal when
normalised, or with enough common shingles, or close in meaning; and only if both answer alike.
Rows that ask the same and answer differently are never dropped; they are listed for review. System
prompts do not count unless asked for, and neither does what many rows ask in the same words.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field

from modiste.prepare.curate.dedup_report import Drops, borderline, contradictions, listed, outcome
from modiste.prepare.curate.embedders import Embed, Meaning, embedder
from modiste.prepare.curate.leaders import Rows, find
from modiste.prepare.curate.meanings import find_same_meaning
from modiste.prepare.curate.near import SHINGLE, THRESHOLD
from modiste.prepare.curate.row_marks import Marks, Shingled, read_marks
from modiste.prepare.curate.semantic import MAX_EXACT
from modiste.prepare.curate.shingles import Indexes
from modiste.prepare.curate.stage import Corpus, Outcome, Settings


class Keep(StrEnum):
    """Which one of several like rows is kept."""

    FIRST = "first"
    LONGEST = "longest"
    """The longest answer, then the longest question, then the first."""
    WEIGHT = "weight"
    """The highest number under `weight`, then the longest, then the first."""


class Dedup(Settings):
    exact: bool = True
    near: bool = True
    semantic: Meaning | None = None
    threshold: float = Field(default=THRESHOLD, ge=0.5, le=1)
    """Share of common shingles from which rows are near-duplicates; below 0.7 fewer than 99 of 100
    such pairs are found."""
    shingle: int = Field(default=SHINGLE, ge=1, le=32)
    """Words in a shingle."""
    keep: Keep = Keep.FIRST
    weight: str = "weight"
    """Field with a row's weight, where the highest is kept."""
    digits: bool = False
    """Rows that differ only in digits are equal."""
    system: bool = False
    """Rows with different system prompts are different."""
    boilerplate: float = Field(default=0.05, ge=0, lt=1)
    """Shingles in more than this share of the questions do not count; 0 counts all."""


class DedupStage:
    name: ClassVar[str] = "dedup"
    version: ClassVar[int] = 1
    settings: ClassVar[type[BaseModel]] = Dedup
    reads: ClassVar[tuple[str, ...]] = ()

    def __init__(self, local: Callable[[str], Embed] | None = None) -> None:
        """`local` makes an embedder of an installed base."""
        self._local = local

    def run(self, inputs: Sequence[Corpus], settings: Dedup) -> Outcome:
        embed = embedder(settings.semantic, self._local) if settings.semantic else None
        return dedup(inputs, settings, embed=embed)


STAGE = DedupStage()


def dedup(inputs: Sequence[Corpus], settings: Dedup, *, embed: Embed | None = None) -> Outcome:
    """Decide which rows stay; rows are read once or, with `embed`, three times, then once to write.

    Args:
        embed: makes vectors; needed where `settings.semantic` is set.
    """
    shingled = Shingled.empty(settings.shingle) if settings.near else None
    weight = settings.weight if settings.keep is Keep.WEIGHT else None
    marks = read_marks(
        inputs, system=settings.system, digits=settings.digits, weight=weight, shingled=shingled
    )
    order = preference(marks, settings.keep)
    drops = Drops.none(len(marks))
    report: dict[str, Any] = {}
    review: dict[str, Any] = {}
    if settings.exact:
        _drop_equal(marks, order, drops)
    if shingled is not None:
        report["near"] = _drop_near(marks, shingled, order, drops, settings, review)
    if settings.semantic is not None and embed is not None:
        report["semantic"] = _drop_meaning(
            inputs, marks, order, drops, settings, settings.semantic, embed, review
        )
    review["same_question"] = contradictions(marks, drops)
    return outcome(inputs, marks, drops, {**report, "review": review}, system=settings.system)


def preference(marks: Marks, keep: Keep) -> Indexes:
    """All rows, those first that are rather kept."""
    rows = np.arange(len(marks))
    if keep is Keep.FIRST:
        return rows
    keys: list[NDArray[Any]] = [rows, -marks.n_asked, -marks.n_answered]
    if keep is Keep.WEIGHT:
        keys.append(-marks.weights)
    order: Indexes = np.lexsort(keys)
    return order


def _drop_equal(marks: Marks, order: Indexes, drops: Drops) -> None:
    by_digest = order[np.lexsort((marks.rows[order, 1], marks.rows[order, 0]))]
    if not by_digest.size:
        return
    digests = marks.rows[by_digest]
    fresh = np.concatenate(([True], np.any(digests[1:] != digests[:-1], axis=1)))
    first = by_digest[np.flatnonzero(fresh)][np.cumsum(fresh) - 1]
    again = by_digest[~fresh]
    drops.of[again] = first[~fresh]
    drops.reason[again] = 0
    drops.similarity[again] = 1


def _drop_near(
    marks: Marks,
    shingled: Shingled,
    order: Indexes,
    drops: Drops,
    settings: Dedup,
    review: dict[str, Any],
) -> dict[str, Any]:
    alive = drops.of < 0
    n_common = shingled.rows.find_boilerplate(np.flatnonzero(alive).tolist(), settings.boilerplate)
    found = find(
        shingled.rows,
        alive=alive,
        order=order[alive[order]].tolist(),
        threshold=settings.threshold,
        rows=Rows(marks.questions, marks.answers, shingled.words),
    )
    for like in found.dropped.values():
        drops.add(like, 1)
    review["alike_answered_differently"] = listed(marks, found.differing)
    return {
        "threshold": settings.threshold,
        "compared": found.n_compared,
        "pairs": len(found.links),
        "boilerplate_shingles": n_common,
        "rows_with_too_many_candidates": found.n_capped,
    }


def _drop_meaning(
    inputs: Sequence[Corpus],
    marks: Marks,
    order: Indexes,
    drops: Drops,
    settings: Dedup,
    meaning: Meaning,
    embed: Embed,
    review: dict[str, Any],
) -> dict[str, Any]:
    found = find_same_meaning(
        inputs,
        marks,
        order=order[drops.of[order] < 0].tolist(),
        threshold=meaning.threshold,
        embed=embed,
        centred=meaning.base is not None,
        system=settings.system,
    )
    for like in found.dropped:
        drops.add(like, 2)
    review["same_meaning_answered_differently"] = listed(marks, found.differing)
    return {
        "model": meaning.base or meaning.model,
        "threshold": meaning.threshold,
        "rows": found.n_embedded,
        "pairs": found.n_pairs,
        "all_pairs_compared": found.n_embedded <= MAX_EXACT,
        "borderline": borderline(marks, found.dropped),
    }
