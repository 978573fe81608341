from __future__ import annotations

import math

import numpy as np
import pytest

from modiste.prepare.curate.vectors import (
    condensed,
    covered,
    distinct,
    lexical,
    likeness,
    unit,
)


def test_texts_of_the_same_words_point_the_same_way() -> None:
    sparse = lexical(["cats like milk", "milk: cats like", "stocks fell today", "stocks rose"])
    vectors = sparse.dense(range(4))
    assert vectors[0] @ vectors[1] == pytest.approx(1, abs=1e-6)
    assert vectors[0] @ vectors[2] == 0
    assert 0 < vectors[2] @ vectors[3] < 1


def test_words_of_one_text_only_keep_it_apart_from_others() -> None:
    """Without them `red unicorn` and `red dragon` would be the same text."""
    sparse = lexical(["red unicorn", "red dragon", "blue sky", "blue sea", "green", "green"])
    vectors = sparse.dense(range(6))
    assert vectors[0] @ vectors[1] < 0.5


def test_words_that_are_not_kept_do_not_count() -> None:
    sparse = lexical(["the cat", "the dog", "cat", "dog", "cow", "cow"], keep=lambda w: w != "the")
    assert set(sparse.words) == {"cat", "dog", "cow"}


def test_the_vendi_score_counts_what_is_different() -> None:
    """Closed forms: n equal texts are one, n unlike ones n; two at cosine c have -H((1+-c)/2)."""
    assert likeness(np.eye(5, dtype=np.float32)).vendi == pytest.approx(5)
    same = np.repeat(np.eye(1, 4, dtype=np.float32), 6, axis=0)
    assert likeness(same).vendi == pytest.approx(1, abs=1e-6)
    c = 0.6
    two = np.asarray([[1, 0], [c, math.sqrt(1 - c * c)]], dtype=np.float32)
    p, q = (1 + c) / 2, (1 - c) / 2
    expected = math.exp(-(p * math.log(p) + q * math.log(q)))
    found = likeness(two)
    assert found.vendi == pytest.approx(expected, rel=1e-6)
    assert found.mean_cosine == pytest.approx(c, rel=1e-6)
    assert found.nearest == ((0, 1, 0.6),)


def test_one_text_or_none_is_like_nothing() -> None:
    assert likeness(np.ones((1, 1), dtype=np.float32)).vendi == 1
    assert likeness(np.zeros((0, 3), dtype=np.float32)).n_texts == 0


def test_condensed_vectors_keep_the_topics_apart() -> None:
    animals = [f"the cat and the dog ran after mouse {n % 7}" for n in range(40)]
    money = [f"the bank raised interest on loans by {n % 7}" for n in range(40)]
    vectors = condensed(lexical([*animals, *money]), dimensions=8)
    inside = float((vectors[:40] @ vectors[:40].T).mean())
    across = float((vectors[:40] @ vectors[40:].T).mean())
    assert inside > 0.6
    assert across < 0.3


def test_texts_without_words_are_zeros() -> None:
    vectors = condensed(lexical(["...", "!!"]), dimensions=4)
    assert not vectors.any()
    assert not unit(np.zeros((2, 3), dtype=np.float32)).any()


def test_a_reference_is_covered_where_rows_are_near() -> None:
    random = np.random.default_rng(0)
    points = unit(random.standard_normal((200, 8)).astype(np.float32))
    assert covered(points, points[:100]) > 0.9
    far = points.copy()
    far[:, 0] = -np.abs(far[:, 0]) * 5
    near = points.copy()
    near[:, 0] = np.abs(near[:, 0]) * 5
    assert covered(unit(far), unit(near)) < 0.2


def test_distinct_counts_different_runs_of_words() -> None:
    assert distinct(["a b a b"], 1) == 0.5
    assert distinct(["a b a b"], 2) == pytest.approx(2 / 3)
    assert distinct(["a"], 2) is None
