"""Texts that are nearly the same are found, with an estimate or for certain."""

import random

import pytest

from modiste.prepare.curate.near import Pair, Sketches, similarity

WORDS = [f"word{i}" for i in range(2000)]


def text(seed: int, n: int = 120) -> list[str]:
    return random.Random(seed).choices(WORDS, k=n)


def edited(words: list[str], n: int, seed: int = 0) -> list[str]:
    """`n` neighbouring words replaced."""
    at = random.Random(seed).randrange(len(words) - n)
    return words[:at] + ["other"] * n + words[at + n :]


def sketched(texts: list[str]) -> Sketches:
    sketches = Sketches()
    for one in texts:
        sketches.add(one)
    return sketches


def test_a_text_with_one_word_changed_resembles_the_first() -> None:
    texts = [" ".join(text(seed)) for seed in range(50)] + [" ".join(edited(text(7), 1))]
    [pair] = sketched(texts).likely()
    assert (pair.first, pair.second) == (7, 50)
    assert pair.similarity == pytest.approx(similarity(texts[7], texts[50]), abs=0.1)


def test_parts_joined_say_what_one_pass_over_all_says() -> None:
    texts = [" ".join(edited(text(seed % 20), 1, seed)) for seed in range(60)]
    whole, first, second = sketched(texts), sketched(texts[:33]), sketched(texts[33:])
    first.extend(second)
    assert len(first) == 60
    assert first.likely() == whole.likely() != []


def test_texts_without_words_resemble_nothing() -> None:
    assert sketched(["", " ", "\n", ""]).likely() == []
    assert Sketches().likely() == []


def test_case_and_blanks_do_not_make_a_difference() -> None:
    words = text(3)
    assert sketched([" ".join(words), "\n".join(words).upper()]).likely() == [Pair(0, 1, 1.0)]


def test_similarity_is_the_share_of_common_runs() -> None:
    assert similarity("a b c d e f", "a b c d e g") == pytest.approx(1 / 3)
    assert similarity("a b c", "A  B C") == 1.0
    assert similarity("a", "b") == 0.0


def test_sketches_of_different_runs_are_not_joined() -> None:
    with pytest.raises(ValueError, match="different shingles"):
        Sketches(shingle=3).extend(Sketches(shingle=5))
