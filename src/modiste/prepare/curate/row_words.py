"""Rows as words, many at once: what is looked through for eval items."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from modiste.prepare.curate.eval_items import Flags
from modiste.prepare.curate.normal import words, written
from modiste.prepare.curate.shingles import U64, Indexes, Ragged, shingles, word_hashes
from modiste.prepare.records import Record
from modiste.types import Example, Role

_BATCH_CHARS = 1 << 19


class Told(NamedTuple):
    """One message of a row, system prompts and few-shot examples included."""

    text: str
    is_answer: bool


class RowWords(NamedTuple):
    """Words of some rows, message by message."""

    records: list[Record]
    messages: Ragged
    message_starts: Indexes
    """Each row's first message, and at last how many there are."""
    asking: Flags
    """By message: it is no answer."""

    def row_of_word(self) -> Indexes:
        return np.repeat(self.row_of_message(), self.messages.lengths)

    def row_of_message(self) -> Indexes:
        return np.repeat(np.arange(len(self.records)), np.diff(self.message_starts))

    @property
    def word_starts(self) -> Indexes:
        """Each row's first word, and at last how many there are."""
        return self.messages.starts[self.message_starts]

    def of(self, row: int) -> U64:
        starts = self.word_starts
        return self.messages.values[starts[row] : starts[row + 1]]

    def messages_of(self, row: int) -> tuple[Indexes, Flags]:
        """Where a row's messages begin among its words, and which of them are not answers."""
        first, end = self.message_starts[row], self.message_starts[row + 1]
        starts = self.messages.starts[first : end + 1]
        return starts - starts[0], self.asking[first:end]


class Runs(NamedTuple):
    """Runs of words of some rows."""

    values: U64
    row: Indexes
    word: Indexes
    """Of each run's first word, counted in its row."""
    asking: Flags


def told(example: Example) -> list[Told]:
    if not example.messages:
        return [Told(example.text or "", False)]
    messages = (*example.messages, *example.chosen, *example.rejected)
    return [
        Told("\n".join(written(message)), message.role is Role.ASSISTANT) for message in messages
    ]


def row_words(rows: Iterable[Record]) -> Iterator[RowWords]:
    """In batches of about half a million characters."""
    records: list[Record] = []
    texts: list[list[Told]] = []
    n_chars = 0
    for record in rows:
        said = told(record.example)
        records.append(record)
        texts.append(said)
        n_chars += sum(len(one.text) for one in said)
        if n_chars >= _BATCH_CHARS:
            yield _batch(records, texts)
            records, texts, n_chars = [], [], 0
    if records:
        yield _batch(records, texts)


def _batch(records: list[Record], texts: list[list[Told]]) -> RowWords:
    every = [one for said in texts for one in said]
    starts = np.cumsum([0, *(len(said) for said in texts)])
    asking = np.array([not one.is_answer for one in every], dtype=np.bool_)
    return RowWords(records, word_hashes([words(one.text) for one in every]), starts, asking)


def runs_of(batch: RowWords, n: int) -> Runs:
    """Runs within one message; a message of fewer words is one run."""
    found = shingles(batch.messages, n)
    message = np.repeat(np.arange(found.lengths.size), found.lengths)
    row = batch.row_of_message()[message]
    within = np.arange(found.values.size) - found.starts[message]
    word = batch.messages.starts[message] + within - batch.word_starts[row]
    return Runs(found.values, row, word, batch.asking[message])
