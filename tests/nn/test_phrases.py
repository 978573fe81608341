"""Which tokens and pairs stand in a text, and how much each counts."""

from __future__ import annotations

import math

import numpy as np
import pytest

from modiste.nn.phrases import FIRST, Phrases, found_in, keys_of


def test_a_token_and_a_pair_never_share_a_key() -> None:
    assert keys_of([0, 5, 0]).tolist() == [0, 5, 0, FIRST + 5, 6 * FIRST]
    assert keys_of([4]).tolist() == [4]
    assert keys_of([]).tolist() == []


def test_what_is_known_counts_by_how_often_it_stands_there_and_has_length_one() -> None:
    keys = np.array([3, 4, 4 * FIRST + 4], dtype=np.int64)
    found = found_in([3, 3, 4, 9], keys)
    assert found.places.tolist() == [0, 1, 2]
    twice, length = 1 + math.log(2), math.sqrt((1 + math.log(2)) ** 2 + 2)
    assert found.values.tolist() == pytest.approx([twice / length, 1 / length, 1 / length])


def test_a_text_of_unknown_tokens_says_nothing() -> None:
    phrases = Phrases(np.array([3], dtype=np.int64), np.ones((1, 2), dtype=np.float16))
    assert phrases.logits([8, 900_000]).tolist() == [0, 0]
    assert phrases.logits([]).tolist() == [0, 0]
    assert phrases.logits([3, 8]).tolist() == [1, 1]
