from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from modiste.prepare.curate.groups import chance, hash64, join, repeats


def _u64(numbers: list[int]) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    return np.asarray(numbers, dtype=np.uint64)


def test_rows_linked_through_others_are_one_group() -> None:
    groups = join([_u64([1, 2, 1, 3, 4]), _u64([7, 8, 9, 9, 5])])
    assert groups.root.tolist() == [0, 1, 0, 0, 4]
    assert groups.key.tolist() == [1, 2, 1, 1, 4]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=20))
def test_grouping_agrees_with_the_plain_way(pairs: list[tuple[int, int]]) -> None:
    groups = join([_u64([a for a, _ in pairs]), _u64([b for _, b in pairs])])
    plain = list(range(len(pairs)))
    for _ in pairs:
        for i, (a, b) in enumerate(pairs):
            for j, (c, d) in enumerate(pairs):
                if a == c or b == d:
                    plain[i] = plain[j] = min(plain[i], plain[j])
    assert groups.root.tolist() == plain


def test_no_rows_are_no_groups() -> None:
    assert len(join([_u64([])]).root) == 0


def test_chance_depends_on_the_number_and_the_salt_alone() -> None:
    few, many = _u64([5, 6]), _u64([9, 6, 5, 1])
    assert chance(few, salt="a")[0] == chance(many, salt="a")[2]
    assert chance(few, salt="a")[0] != chance(few, salt="b")[0]


def test_chance_is_even() -> None:
    """Of 20,000 figures each tenth holds 2,000 +- 42; five standard errors fail once in 170,000."""
    numbers = _u64([hash64(str(n)) for n in range(20_000)])
    counts = np.histogram(chance(numbers, salt="x"), bins=10, range=(0, 1))[0]
    assert np.abs(counts - 2_000).max() < 5 * 42


def test_repeats_are_counted_from_the_first() -> None:
    assert repeats(_u64([4, 7, 4, 4, 7, 1])).tolist() == [0, 0, 1, 2, 1, 0]
