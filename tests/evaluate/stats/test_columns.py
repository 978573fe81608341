"""What is no column of scores is refused with its place and what to do."""

import numpy as np
import pytest

from modiste.errors import InvalidInput
from modiste.evaluate.stats.columns import coded, matrix, numbers, ranks, same_length


def test_a_score_that_is_missing_is_refused_by_place_and_not_counted_as_zero() -> None:
    with pytest.raises(InvalidInput, match=r"s\[1\] is nan.*2 such values.*n_unscored"):
        numbers("s", [1.0, float("nan"), 0.0, float("inf")])
    with pytest.raises(InvalidInput, match=r"scores\[1, 0\] is nan"):
        matrix("scores", [[1.0, 1.0], [float("nan"), 1.0]])


def test_nothing_and_tables_are_no_column() -> None:
    with pytest.raises(InvalidInput, match="s has 0 items"):
        numbers("s", [])
    with pytest.raises(InvalidInput, match=r"shape \(2, 1\)"):
        numbers("s", np.ones((2, 1)))


def test_columns_of_different_lengths_are_all_named() -> None:
    with pytest.raises(InvalidInput, match="a has 1, b has 2"):
        same_length(a=[1], b=[1, 2])


def test_lists_arrays_and_booleans_are_the_same_numbers() -> None:
    for values in (
        [True, False],
        np.array([1, 0], dtype=np.int8),
        np.array([1.0, 0.0], np.float32),
    ):
        column = numbers("s", values)
        assert column.dtype == np.float64
        assert column.tolist() == [1.0, 0.0]


def test_labels_of_any_kind_are_numbered_in_the_order_they_come() -> None:
    assert coded(["b", None, "b", 3]).codes.tolist() == [0, 1, 0, 2]
    assert coded(np.array(["x", "y", "x"])).names == ("x", "y")


def test_equal_values_share_their_ranks() -> None:
    assert ranks(np.array([3.0, 1.0, 3.0, 2.0])).tolist() == [3.5, 1, 3.5, 2]
