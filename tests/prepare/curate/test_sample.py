from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from pydantic import ValidationError

from modiste.errors import InvalidInput
from modiste.prepare.curate.sample import Sample, sample
from modiste.prepare.curate.stage import Corpus, Outcome
from modiste.prepare.records import Record

Rows = Callable[..., Corpus]
Chat = Callable[..., dict[str, Any]]


def _kept(outcome: Outcome) -> list[Record]:
    assert isinstance(outcome.kept, Iterable)
    return [row for row in outcome.kept if isinstance(row, Record)]


def test_rows_are_drawn_in_the_order_they_stood(corpus: Rows, chat: Chat) -> None:
    outcome = sample([corpus([chat(str(n)) for n in range(100)])], Sample(n=10))
    lines = [record.line for record in _kept(outcome)]
    assert len(lines) == 10
    assert lines == sorted(lines)
    assert outcome.report["left_out"] == 90


def test_the_same_rows_are_drawn_in_any_order_and_others_with_another_seed(
    corpus: Rows, chat: Chat
) -> None:
    rows = [chat(str(n)) for n in range(100)]

    def drawn(rows: list[dict[str, Any]], seed: int) -> set[str]:
        return {r.id for r in _kept(sample([corpus(rows)], Sample(fraction=0.2, seed=seed)))}

    assert drawn(rows, 1) == drawn(rows[::-1], 1)
    assert len(drawn(rows, 1) & drawn(rows, 2)) < 15


def test_most_rows_are_drawn_again_when_rows_are_added(corpus: Rows, chat: Chat) -> None:
    """Of 50 drawn from 500, 50 of 550 keep all but some 5; 15 gone would be one in a million."""
    rows = [chat(str(n)) for n in range(550)]
    few = {r.id for r in _kept(sample([corpus(rows[:500])], Sample(n=50)))}
    more = {r.id for r in _kept(sample([corpus(rows)], Sample(n=50)))}
    assert len(few & more) > 35


def test_classes_keep_their_shares(corpus: Rows, chat: Chat) -> None:
    rows = [chat(str(n), label="a" if n % 10 else "b") for n in range(200)]
    outcome = sample([corpus(rows)], Sample(n=50, stratify="label"))
    assert Counter(r.value["label"] for r in _kept(outcome)) == {"a": 45, "b": 5}
    assert outcome.report["classes"]["b"] == {"rows": 20, "kept": 5}


def test_classes_are_levelled_as_far_as_they_have_rows(corpus: Rows, chat: Chat) -> None:
    labels = ["a"] * 100 + ["b"] * 50 + ["c"] * 4
    rows = [chat(str(n), label=label) for n, label in enumerate(labels)]
    outcome = sample([corpus(rows)], Sample(n=60, stratify="label", balance=True))
    assert Counter(r.value["label"] for r in _kept(outcome)) == {"a": 28, "b": 28, "c": 4}


def test_heavier_rows_are_likelier_and_weightless_ones_never_drawn(
    corpus: Rows, chat: Chat
) -> None:
    """Nine of ten drawn rows should be heavy: 90 +- 3 of 100; five standard errors are 15."""
    rows = [chat(str(n), w=[0, 1, 9][n % 3]) for n in range(3_000)]
    drawn = Counter(r.value["w"] for r in _kept(sample([corpus(rows)], Sample(n=100, weight="w"))))
    assert drawn[0] == 0
    assert drawn[9] > 75


def test_identical_rows_are_drawn_one_by_one(corpus: Rows, chat: Chat) -> None:
    """Of 500 copies and 500 others half are copies: 50 +- 5 of 100; together it were 0 or 100."""
    rows = [chat("same")] * 500 + [chat(str(n)) for n in range(500)]
    drawn = _kept(sample([corpus(rows)], Sample(n=100)))
    copies = sum(r.example.messages[0].content == "same" for r in drawn)
    assert 25 < copies < 75


def test_asking_for_more_than_there_is_is_said(corpus: Rows, chat: Chat) -> None:
    outcome = sample([corpus([chat("a"), chat("b")])], Sample(n=5))
    assert len(_kept(outcome)) == 2
    assert outcome.report["warnings"] == ["5 rows were asked for, 2 could be drawn"]


def test_weights_that_are_no_numbers_are_all_named(corpus: Rows, chat: Chat) -> None:
    source = corpus([chat("a", w=1), chat("b", w="2"), chat("c"), chat("d", w=-1)])
    with pytest.raises(InvalidInput) as caught:
        sample([source], Sample(n=1, weight="w"))
    assert "'w' is no number from 0 up in rows.jsonl line 2, rows.jsonl line 4" in str(caught.value)
    assert "'w' is missing in rows.jsonl line 3" in str(caught.value)


@pytest.mark.parametrize("values", [{}, {"n": 1, "fraction": 0.5}, {"n": 1, "balance": True}])
def test_sizes_that_contradict_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Sample.model_validate(values)
