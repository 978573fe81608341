"""Rows as words: nothing a row says is left out, and runs stay within a message."""

from collections.abc import Callable
from typing import Any

import pytest

from modiste.prepare.curate import row_words as module
from modiste.prepare.curate.row_words import row_words, runs_of, told
from modiste.prepare.curate.shingles import shingles, word_hashes
from modiste.prepare.curate.stage import Corpus
from modiste.types import Example, Message, Role, SampleType

Rows = Callable[..., Corpus]
Chat = Callable[..., dict[str, Any]]


def test_every_message_is_told_system_prompts_and_both_preferences_too() -> None:
    example = Example(
        1,
        SampleType.PREFERENCE,
        (Message(Role.SYSTEM, "s"), Message(Role.USER, "u")),
        chosen=(Message(Role.ASSISTANT, "c"),),
        rejected=(Message(Role.ASSISTANT, "r"),),
    )
    assert told(example) == [("s", False), ("u", False), ("c", True), ("r", True)]
    assert told(Example(1, SampleType.PRETRAIN, text="t")) == [("t", False)]


def test_runs_do_not_cross_messages_and_know_their_row_and_place(
    corpus: Rows, chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_BATCH_CHARS", 1)
    rows = corpus([chat("a b c", "d e"), chat("", "f g h i")])
    found = []
    for batch in row_words(rows):
        runs = runs_of(batch, 3)
        found.append(
            list(zip(runs.row.tolist(), runs.word.tolist(), runs.asking.tolist(), strict=True))
        )
    assert found == [[(0, 0, True), (0, 3, False)], [(0, 0, False), (0, 1, False)]]
    [whole] = [batch for batch in row_words(rows) if batch.records[0].line == 1]
    expected = shingles(word_hashes(["a b c", "d e"]), 3).values
    assert runs_of(whole, 3).values.tolist() == expected.tolist()


def test_batches_hold_every_row_once(corpus: Rows, chat: Chat) -> None:
    rows = corpus([chat(f"question {i}") for i in range(50)])
    batches = list(row_words(rows))
    assert [record.line for batch in batches for record in batch.records] == list(range(1, 51))
    assert batches[0].of(3).tolist() == word_hashes(["question 3 yes"]).values.tolist()
    starts, asking = batches[0].messages_of(3)
    assert (starts.tolist(), asking.tolist()) == ([0, 2, 3], [True, False])
