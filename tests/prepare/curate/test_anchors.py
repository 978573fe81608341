"""Candidates are few, and no paraphrase is missing among them."""

import random
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest

from modiste.prepare.curate import anchors as module
from modiste.prepare.curate.anchors import Anchors, Weights
from modiste.prepare.curate.eval_items import EvalItems, Known
from modiste.prepare.curate.row_words import row_words
from modiste.prepare.curate.stage import Corpus

Rows = Callable[..., Corpus]
Chat = Callable[..., dict[str, Any]]
WORDS = ["".join(letters) for letters in product("bdgk", "aeiou", "bdgk", "aeiou")]


def text(seed: int, n: int = 20) -> list[str]:
    return random.Random(seed).choices(WORDS, k=n)


def anchors(items: EvalItems, n_rows: int = 1000) -> tuple[Anchors, Weights]:
    vocabulary = Known(np.concatenate([unit.hashes for unit in items.units]))
    counts = np.random.default_rng(0).integers(0, n_rows // 2, vocabulary.numbers.size)
    weights = Weights(items.units, vocabulary, n_rows=n_rows, rows_with=counts)
    return Anchors(weights, len(items.units)), weights


def test_every_row_with_enough_of_a_unit_s_weight_is_a_candidate(
    corpus: Rows, chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BLOCK", 64)
    evals = corpus([chat(" ".join(text(i))) for i in range(40)], "eval.jsonl")
    items = EvalItems(evals, n=8, min_answer=16)
    found, weights = anchors(items)
    rows = []
    for i in range(40):
        kept = [word for word in text(i) if random.Random(word).random() < 0.8]
        rows.append(chat(" ".join([*text(1000 + i, i * 9), *kept, *text(2000 + i, 300)])))
    n_expected = n_found = 0
    for batch in row_words(corpus(rows)):
        candidates = {(c.row, c.unit) for c in found.candidates(batch)}
        for row in range(len(batch.records)):
            unit = weights.questions[row]
            start = row * 9
            own = batch.of(row)[start : start + 20]
            share = unit.weights[np.isin(unit.hashes, own)].sum() / unit.weights.sum()
            if share >= module.WEIGHT and own.size == 20:
                n_expected += 1
                n_found += (row, row) in candidates
    assert n_found == n_expected > 10


def test_rows_about_something_else_are_no_candidates(corpus: Rows, chat: Chat) -> None:
    items = EvalItems(corpus([chat(" ".join(text(i))) for i in range(5)]), n=8, min_answer=16)
    found, _ = anchors(items)
    batch = next(row_words(corpus([chat("nothing of this kind here at all"), chat("")])))
    assert found.candidates(batch) == []


def test_units_of_few_words_anchor_nothing(corpus: Rows, chat: Chat) -> None:
    items = EvalItems(corpus([chat("too short")]), n=8, min_answer=16)
    found, _ = anchors(items)
    assert found.candidates(next(row_words(corpus([chat("too short")])))) == []
