"""Training rows that give eval items away: found, named with the text they share, and left out.

Eval questions and longer answers are looked for in everything a training row says. Copies and
overlaps are found by runs of words, light paraphrases by rare words in order; what many rows or
many items share counts for nothing. Whole rows are dropped. Rows that share only the context of an
item, and with embeddings rows that mean the same, are listed for review and stay.

Rows are read twice to decide and once to write, each row's work is bounded: time grows with rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import ClassVar, NamedTuple

import numpy as np
from pydantic import BaseModel, Field

from modiste.errors import InvalidInput
from modiste.prepare.curate.anchors import Anchors, Weights
from modiste.prepare.curate.contamination_report import Hit, outcome
from modiste.prepare.curate.embedders import Embed, Meaning, embedder
from modiste.prepare.curate.eval_items import EvalItems, Flags, Known, Side
from modiste.prepare.curate.inputs import corpora
from modiste.prepare.curate.normal import words
from modiste.prepare.curate.resemblance import resembling
from modiste.prepare.curate.row_words import RowWords, Runs, row_words, runs_of, told
from modiste.prepare.curate.shingles import Indexes
from modiste.prepare.curate.stage import Corpus, Outcome, Settings, chain
from modiste.prepare.curate.verdicts import (
    LONG,
    Kind,
    Verdict,
    by_runs,
    by_weight,
    covered,
    window_of,
)
from modiste.prepare.formats.columns import Columns
from modiste.prepare.formats.kinds import Format


class Decontaminate(Settings):
    against: tuple[str, ...] = Field(min_length=1)
    """Files of eval items: anything that can be read as rows."""
    against_format: Format | None = None
    """None lets each file tell."""
    against_columns: tuple[str, ...] = ()
    """Templates such as `user={prompt}`, for eval files of any columns."""
    n: int = Field(default=8, ge=3, le=32)
    """Words in a run."""
    coverage: float = Field(default=0.5, gt=0, le=1)
    """More than this share of an item's own words in common makes an overlap."""
    common: int = Field(default=10, ge=1)
    """Runs that more training rows than this have count for nothing, except in copies."""
    min_answer: int = Field(default=16, ge=1)
    """Answers of fewer words are not looked for: unrelated rows may share them."""
    paraphrases: bool = True
    semantic: Meaning | None = None


class DecontaminateStage:
    name: ClassVar[str] = "decontaminate"
    version: ClassVar[int] = 1
    settings: ClassVar[type[BaseModel]] = Decontaminate
    reads: ClassVar[tuple[str, ...]] = ("against",)

    def __init__(self, local: Callable[[str], Embed] | None = None) -> None:
        """`local` makes an embedder of an installed base."""
        self._local = local

    def run(self, inputs: Sequence[Corpus], settings: Decontaminate) -> Outcome:
        columns = Columns.parse(settings.against_columns) if settings.against_columns else None
        against = corpora(settings.against, format=settings.against_format, columns=columns)
        embed = embedder(settings.semantic, self._local) if settings.semantic else None
        return decontaminate(inputs, against, settings, embed=embed)


STAGE = DecontaminateStage()


def decontaminate(
    inputs: Sequence[Corpus],
    against: Sequence[Corpus],
    settings: Decontaminate,
    *,
    embed: Embed | None = None,
) -> Outcome:
    """
    Raises:
        InvalidInput: there is no eval item with a word in it, or a file is train and eval at once.
    """
    _refuse_same_files(inputs, against)
    items = EvalItems(chain(against), n=settings.n, min_answer=settings.min_answer)
    if not items.units:
        names = ", ".join(corpus.filename for corpus in against)
        raise InvalidInput(f"{names}: no eval item asks or answers anything in words")
    seen = _count(inputs, items)
    hits = list(_hits(inputs, items, seen, settings))
    similar = None
    if settings.semantic is not None and embed is not None:
        similar = resembling(inputs, items, settings.semantic, embed)
    return outcome(inputs, against, items, hits, n_rows=seen.n_rows, similar=similar)


def _refuse_same_files(inputs: Sequence[Corpus], against: Sequence[Corpus]) -> None:
    trained = {corpus.path.resolve() for corpus in inputs}
    both = [corpus.filename for corpus in against if corpus.path.resolve() in trained]
    if both:
        raise InvalidInput(
            f"{', '.join(both)}: training rows and eval items in one file; nothing would be left"
        )


class Seen(NamedTuple):
    """What training rows have, all in all."""

    n_rows: int
    rows_with_gram: Indexes
    vocabulary: Known
    rows_with_word: Indexes


def _count(inputs: Sequence[Corpus], items: EvalItems) -> Seen:
    vocabulary = Known(np.concatenate([unit.hashes for unit in items.units]))
    grams = np.zeros(items.grams.numbers.size, dtype=np.int64)
    found_words = np.zeros(vocabulary.numbers.size, dtype=np.int64)
    n_rows = 0
    for batch in row_words(chain(inputs)):
        n_rows += len(batch.records)
        runs = runs_of(batch, items.n)
        places, which = items.grams.find(runs.values)
        _add_rows(grams, runs.row[places], which)
        places, which = vocabulary.find(batch.messages.values)
        _add_rows(found_words, batch.row_of_word()[places], which)
    return Seen(n_rows, grams, vocabulary, found_words)


def _add_rows(counts: Indexes, row: Indexes, which: Indexes) -> None:
    """Each row counts once for each thing it has."""
    pairs = np.unique(row * np.int64(max(counts.size, 1)) + which)
    counts += np.bincount(pairs % max(counts.size, 1), minlength=counts.size)


def _hits(
    inputs: Sequence[Corpus], items: EvalItems, seen: Seen, settings: Decontaminate
) -> Iterator[Hit]:
    weights = Weights(
        items.units, seen.vocabulary, n_rows=seen.n_rows, rows_with=seen.rows_with_word
    )
    judge = _Judge(items, weights, seen.rows_with_gram <= settings.common, settings)
    n_before = 0
    for batch in row_words(chain(inputs)):
        for row, verdicts in sorted(judge.verdicts(batch).items()):
            record = batch.records[row]
            said = [word for one in told(record.example) for word in words(one.text).split()]
            texts = tuple(" ".join(said[v.first : v.end]) for v in verdicts)
            yield Hit(n_before + row, record.file, record.line, record.id, tuple(verdicts), texts)
        n_before += len(batch.records)


class _Judge:
    def __init__(
        self, items: EvalItems, weights: Weights, rare: Flags, settings: Decontaminate
    ) -> None:
        self._items, self._weights, self._rare = items, weights, rare
        self._threshold = settings.coverage
        self._anchors = Anchors(weights, len(items.units)) if settings.paraphrases else None

    def verdicts(self, batch: RowWords) -> dict[int, list[Verdict]]:
        """By row of the batch, rows with any."""
        found: dict[int, list[Verdict]] = {}
        runs = runs_of(batch, self._items.n)
        places, grams = self._items.grams.find(runs.values)
        starts = np.searchsorted(runs.row[places], np.arange(len(batch.records) + 1))
        for row in np.flatnonzero(np.diff(starts)).tolist():
            own = slice(starts[row], starts[row + 1])
            verdicts = self._by_runs(batch, row, runs, places[own], grams[own])
            if verdicts:
                found[row] = verdicts
        for row, unit in self._anchors.candidates(batch) if self._anchors else ():
            known = found.get(row, [])
            if any(v.unit == unit and v.kind is not Kind.SHARED_CONTEXT for v in known):
                continue
            verdict = self._by_weight(batch, row, unit)
            if verdict is not None:
                found[row] = [*(v for v in known if v.unit != unit), verdict]
        return found

    def _by_runs(
        self, batch: RowWords, row: int, runs: Runs, places: Indexes, grams: Indexes
    ) -> list[Verdict]:
        items = self._items
        distinct = np.unique(grams)
        at = items.places(distinct[~items.template[distinct]])
        verdicts = []
        for unit in np.unique(items.unit_of[at]).tolist():
            unit_grams = items.gram_of[items.starts[unit] : items.starts[unit + 1]]
            mine = np.isin(grams, unit_grams)
            given = items.units[unit]
            if given.hashes.size < items.n:  # so few words are a question only where one is asked
                mine &= runs.asking[places]
            cover = covered(
                given.hashes.size,
                items.n,
                np.isin(unit_grams, grams[mine]),
                self._rare[unit_grams],
                items.template[unit_grams],
            )
            kind = by_runs(given, cover, batch.of(row), self._threshold)
            if kind is Kind.OVERLAP and given.side is Side.QUESTION and given.hashes.size <= LONG:
                confirmed = self._by_weight(batch, row, unit) is not None
                kind = Kind.OVERLAP if confirmed else Kind.SHARED_CONTEXT
            if kind is not None:
                left, right = _longest(runs.word[places[mine]], items.n)
                coverage = cover.every if kind is Kind.COPY else cover.rare
                verdicts.append(Verdict(kind, unit, coverage, cover.longest, left, right))
        return verdicts

    def _by_weight(self, batch: RowWords, row: int, unit: int) -> Verdict | None:
        weighted, words = self._weights.questions[unit], batch.of(row)
        window = window_of(weighted.hashes, words, *batch.messages_of(row))
        if window is None:
            return None
        share = by_weight(self._items.units[unit], weighted, words, window)
        return None if share is None else Verdict(Kind.PARAPHRASE, unit, share, 0, *window)


def _longest(starts: Indexes, n: int) -> tuple[int, int]:
    """The longest stretch of words that runs starting at `starts` cover without a gap."""
    ordered = np.unique(starts)
    breaks = np.flatnonzero(np.diff(ordered) > 1)
    firsts = ordered[np.concatenate(([0], breaks + 1))]
    lasts = ordered[np.concatenate((breaks, [ordered.size - 1]))]
    best = int(np.argmax(lasts - firsts))
    return int(firsts[best]), int(lasts[best]) + n
