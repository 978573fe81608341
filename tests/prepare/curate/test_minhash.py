"""Signatures estimate similarity as well as theory says, and bands find what they promise."""

import numpy as np
import pytest

from modiste.prepare.curate.minhash import (
    BANDS,
    ROWS,
    agreement,
    band_keys,
    jaccard,
    sign,
)
from modiste.prepare.curate.shingles import U64, Ragged


def pairs_with(similarity: float, *, n_pairs: int = 300, size: int = 120, seed: int = 0) -> Ragged:
    """Sets 2i and 2i+1 share `similarity` of their union."""
    shared = round(size * similarity)
    own = (size - shared) // 2
    random = np.random.default_rng(seed)
    sets: list[U64] = []
    for _ in range(n_pairs):
        numbers = random.integers(0, 2**64 - 1, shared + 2 * own, dtype=np.uint64)
        sets += [numbers[: shared + own], np.delete(numbers, slice(shared, shared + own))]
    starts = np.cumsum([0] + [part.size for part in sets])
    return Ragged(np.concatenate(sets), starts)


def truth(sets: Ragged) -> float:
    return jaccard(np.sort(sets.of(0)), np.sort(sets.of(1)))


@pytest.mark.parametrize("similarity", [0.1, 0.3, 0.5, 0.7, 0.9])
def test_the_error_of_the_estimate_is_the_error_of_125_coin_throws(similarity: float) -> None:
    """300 pairs: mean and RMSE deviate by more than their bounds in less than one run of 10,000.

    Functions that all sort alike, the mistake this guards against, have an RMSE of sqrt(J(1-J)).
    """
    sets = pairs_with(similarity)
    true = truth(sets)
    signed = sign(sets)
    errors = np.array([agreement(signed[i], signed[i + 1]) - true for i in range(0, 600, 2)])
    theory = np.sqrt(true * (1 - true) / (BANDS * ROWS))
    assert abs(errors.mean()) < 4 * theory / np.sqrt(300)
    assert theory * 0.83 < np.sqrt(np.mean(errors**2)) < theory * 1.17


@pytest.mark.parametrize(
    ("similarity", "at_least", "at_most"),
    [(0.3, 0.0, 0.13), (0.5, 0.43, 0.67), (0.7, 0.97, 1.0), (0.83, 1.0, 1.0)],
)
def test_bands_make_candidates_of_the_share_of_pairs_that_theory_gives(
    similarity: float, at_least: float, at_most: float
) -> None:
    """1 - (1 - J^5)^25 is .06, .55, .99, .99999; bounds are 4 standard errors of 300 pairs."""
    keys = band_keys(sign(pairs_with(similarity, seed=1)))
    share = np.mean(np.any(keys[0::2] == keys[1::2], axis=1))
    assert at_least <= share <= at_most


def test_the_order_and_number_of_repeats_of_shingles_do_not_matter() -> None:
    one = np.array([5, 9, 2**63], dtype=np.uint64)
    other = np.array([2**63, 9, 5, 9], dtype=np.uint64)
    signed = sign(Ragged(np.concatenate((one, other)), np.array([0, 3, 7])))
    assert np.array_equal(signed[0], signed[1])


def test_sets_are_signed_alike_alone_and_in_any_batch() -> None:
    sets = pairs_with(0.5, n_pairs=400, size=200)
    alone = [sign(Ragged(sets.of(i), np.array([0, sets.of(i).size])))[0] for i in (0, 399, 799)]
    assert np.array_equal(sign(sets)[[0, 399, 799]], np.stack(alone))


def test_an_empty_set_among_others_disturbs_none() -> None:
    values = np.array([1, 2, 3], dtype=np.uint64)
    signed = sign(Ragged(values, np.array([0, 0, 2, 2, 3, 3])))
    assert (signed[[0, 2, 4]] == 0xFFFFFFFF).all()
    assert np.array_equal(signed[1], sign(Ragged(values[:2], np.array([0, 2])))[0])


def test_jaccard_of_known_sets() -> None:
    one, other = np.array([1, 2, 3], dtype=np.uint64), np.array([2, 3, 4], dtype=np.uint64)
    nothing = one[:0]
    assert jaccard(one, other) == 0.5
    assert jaccard(one, nothing) == 0.0
    assert jaccard(nothing, nothing) == 1.0
