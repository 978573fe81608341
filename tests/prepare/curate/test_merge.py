from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest

from modiste.errors import InvalidInput
from modiste.prepare.curate.merge import Merge, merge
from modiste.prepare.curate.stage import Corpus, Outcome
from modiste.prepare.records import Record

Rows = Callable[..., Corpus]
Chat = Callable[..., dict[str, Any]]


def _kept(outcome: Outcome) -> list[tuple[str, int]]:
    assert isinstance(outcome.kept, Iterable)
    return [(row.file, row.line) for row in outcome.kept if isinstance(row, Record)]


def test_a_row_of_two_files_is_kept_once_and_the_other_listed(corpus: Rows, chat: Chat) -> None:
    one = corpus([chat("a"), chat("b")], "one.jsonl")
    two = corpus([chat("b"), chat("c"), chat("c")], "two.jsonl")
    outcome = merge([one, two], Merge())
    assert _kept(outcome) == [("one.jsonl", 1), ("one.jsonl", 2), ("two.jsonl", 2)]
    assert [(row["file"], row["line"]) for row in outcome.report["dropped"]] == [
        ("two.jsonl", 1),
        ("two.jsonl", 3),
    ]


def test_repeats_can_be_kept(corpus: Rows, chat: Chat) -> None:
    outcome = merge([corpus([chat("a"), chat("a")])], Merge(repeats="keep"))
    assert len(_kept(outcome)) == 2
    assert outcome.report["dropped"] == []


def test_weights_are_shares_and_the_scarcest_file_sets_the_size(corpus: Rows, chat: Chat) -> None:
    one = corpus([chat(f"a{n}") for n in range(100)], "one.jsonl")
    two = corpus([chat(f"b{n}") for n in range(30)], "two.jsonl")
    outcome = merge([one, two], Merge(weights=(2, 1)))
    kept = _kept(outcome)
    assert sum(file == "one.jsonl" for file, _ in kept) == 60
    assert sum(file == "two.jsonl" for file, _ in kept) == 30
    assert outcome.report["files"][0]["not_drawn"] == 40
    assert outcome.report["files"][1]["share"] == 0.3333


def test_files_are_mixed_evenly_when_asked(corpus: Rows, chat: Chat) -> None:
    one = corpus([chat(f"a{n}") for n in range(6)], "one.jsonl")
    two = corpus([chat(f"b{n}") for n in range(2)] + [chat("a0")], "two.jsonl")
    outcome = merge([one, two], Merge(order="interleaved"))
    kept = _kept(outcome)
    assert len(kept) == 8
    for start in (0, 4):
        assert sum(file == "two.jsonl" for file, _ in kept[start : start + 4]) == 1
    assert [row["line"] for row in outcome.report["dropped"]] == [3]


def test_kinds_of_rows_that_cannot_be_trained_as_one_are_refused(corpus: Rows, chat: Chat) -> None:
    one = corpus([chat("a")], "one.jsonl")
    two = corpus([{"text": "plain text"}], "two.jsonl")
    with pytest.raises(InvalidInput, match=r"one\.jsonl.*two\.jsonl"):
        merge([one, two], Merge())


def test_weights_that_fit_no_file_are_refused(corpus: Rows, chat: Chat) -> None:
    with pytest.raises(InvalidInput, match=r"2 for 1 files \(rows\.jsonl\)"):
        merge([corpus([chat("a")])], Merge(weights=(1, 2)))
