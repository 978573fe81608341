"""Runs of words as numbers: the arrays say what a loop over words would say."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modiste.prepare.curate import shingles as module
from modiste.prepare.curate.shingles import distinct, shingles, word_hashes

TEXTS = st.lists(st.text(alphabet="ab \n\té\x00", max_size=40), max_size=8)


def runs(text: str, n: int) -> list[tuple[str, ...]]:
    words = text.replace("\x00", " ").split()
    if len(words) < n:
        return [tuple(words)] if words else []
    return [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]


@settings(max_examples=200)
@given(TEXTS, st.integers(1, 4))
def test_two_runs_have_one_number_exactly_when_their_words_are_the_same(
    texts: list[str], n: int
) -> None:
    found = shingles(word_hashes(texts), n)
    numbers: dict[tuple[str, ...], set[int]] = {}
    for index, text in enumerate(texts):
        expected = runs(text, n)
        got = found.of(index).tolist()
        assert len(got) == len(expected)
        for run, number in zip(expected, got, strict=True):
            numbers.setdefault(run, set()).add(number)
    assert all(len(found) == 1 for found in numbers.values())
    assert len(set.union(set(), *numbers.values())) == len(numbers)


def test_a_word_has_the_same_number_wherever_it_stands() -> None:
    long = "filler " * 30_000 + "needle"
    assert word_hashes([long]).values[-1] == word_hashes(["needle"]).values[0]


def test_words_longer_than_a_chunk_are_hashed_whole() -> None:
    huge = "x" * (module.CHUNK_BYTES * 2 + 3)
    found = word_hashes([f"a {huge} b", huge, huge[:-1] + "y"])
    assert found.lengths.tolist() == [3, 1, 1]
    assert found.values[1] == found.values[3] != found.values[4]


def test_texts_in_a_batch_do_not_touch_each_other() -> None:
    alone = [shingles(word_hashes([text]), 2).values.tolist() for text in ("a b c", "", "d", "e f")]
    together = shingles(word_hashes(["a b c", "", "d", "e f"]), 2)
    assert [together.of(i).tolist() for i in range(4)] == alone


def test_nothing_gives_nothing() -> None:
    assert shingles(word_hashes([]), 5).starts.tolist() == [0]
    assert shingles(word_hashes(["", " "]), 5).values.size == 0


def test_a_run_of_no_words_is_refused() -> None:
    with pytest.raises(ValueError, match="runs of 0 words"):
        shingles(word_hashes(["a"]), 0)


def test_distinct_sets_are_sorted_and_hold_each_number_once() -> None:
    found = distinct(shingles(word_hashes(["a b a b a b", "", "c"]), 1))
    assert found.lengths.tolist() == [2, 0, 1]
    assert np.all(np.diff(found.of(0).astype(np.int64)) > 0)
    assert found.values.max() < 2**32


def test_lone_surrogates_are_words_like_others() -> None:
    assert word_hashes(["\ud800 a"]).lengths.tolist() == [2]
