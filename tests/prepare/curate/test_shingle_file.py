"""Shingles on disk are the shingles of the texts."""

import random

import numpy as np
import pytest

from modiste.prepare.curate import shingle_file as module
from modiste.prepare.curate.near import similarity
from modiste.prepare.curate.shingle_file import ANSWER, MIN_SAMPLE, ShingleFile, filled

WORDS = [f"w{i}" for i in range(500)]


def text(seed: int, n: int = 30) -> str:
    return " ".join(random.Random(seed).choices(WORDS, k=n))


def test_rows_read_one_by_one_and_in_batches_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BATCH_NUMBERS", 100)
    sets = ShingleFile(3)
    for seed in range(40):
        sets.add(text(seed, seed % 7 * 9), text(seed + 100, seed % 3))
    read = [batch.of(i).tolist() for _, batch in sets.batches() for i in range(batch.lengths.size)]
    assert read == [sets.of(row).tolist() for row in range(40)]
    assert all(numbers == sorted(set(numbers)) for numbers in read)


def test_the_answer_is_the_upper_part_and_never_mistaken_for_the_question() -> None:
    sets = ShingleFile(2)
    sets.add("a b c", "")
    sets.add("", "a b c")
    sets.settle()
    assert (sets.of(0) < ANSWER).all()
    assert (sets.of(1) >= ANSWER).all()
    assert sets.compare(0, [1]).whole.tolist() == [0.0]


def test_comparison_is_the_similarity_of_the_texts() -> None:
    one, other = text(1), f"{text(1)[:90]} {text(2)}"
    sets = filled([one, other, "", one], 5)
    likeness = sets.compare(0, [1, 2, 3])
    assert likeness.whole.tolist() == pytest.approx([similarity(one, other), 0.0, 1.0])
    assert likeness.answer.tolist() == [1.0, 1.0, 1.0]


def test_answers_are_compared_on_their_own_too() -> None:
    sets = ShingleFile(1)
    sets.add("a b c d", "x y")
    sets.add("a b c d", "x z")
    sets.settle()
    likeness = sets.compare(0, [1])
    assert likeness.whole.tolist() == pytest.approx([5 / 7])
    assert likeness.answer.tolist() == pytest.approx([1 / 3])


def test_what_many_rows_have_in_common_does_not_count_once_it_is_known() -> None:
    frame = text(999, 60)
    sets = filled([f"{frame} {text(seed, 12)}" for seed in range(MIN_SAMPLE)], 5)
    before = sets.compare(0, [1]).whole[0]
    assert sets.find_boilerplate(range(MIN_SAMPLE), 0.05) == 56
    assert before > 0.5 > sets.compare(0, [1]).whole[0]
    batch = next(iter(sets.batches()))[1]
    assert np.array_equal(batch.of(3), sets.of(3))


def test_an_answer_that_many_rows_share_still_counts() -> None:
    sets = ShingleFile(5)
    for seed in range(MIN_SAMPLE):
        sets.add(text(seed), "yes" if seed % 2 else "no")
    assert sets.find_boilerplate(range(MIN_SAMPLE), 0.05) == 0
    assert sets.compare(0, [1]).answer.tolist() == [0.0]


def test_few_rows_do_not_tell_what_boilerplate_is() -> None:
    sets = filled([text(1)] * 50, 5)
    assert sets.find_boilerplate(range(50), 0.05) == 0
