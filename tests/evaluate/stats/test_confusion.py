"""Tables of right against said, and their figures by hand and by scikit-learn 1.9."""

import numpy as np
import pytest

from modiste.errors import InvalidInput
from modiste.evaluate.stats.confusion import (
    balanced_accuracy,
    confusion_of,
    f1s,
    macro_f1,
    mcc,
    precisions,
    recalls,
)


def test_answers_without_a_label_have_their_own_column() -> None:
    table = confusion_of(["a", "a", "b"], ["a", None, "a"], ["a", "b"])
    assert table.tolist() == [[1, 0, 1], [1, 0, 0]]


def test_figures_without_a_denominator_are_not_zero() -> None:
    table = confusion_of(["a", "a"], ["a", "a"], ["a", "b", "c"])
    assert np.isnan(precisions(table)).tolist() == [False, True, True]
    assert np.isnan(recalls(table)).tolist() == [False, True, True]
    assert np.isnan(f1s(table)).tolist() == [False, True, True]
    assert np.isnan(mcc(table))
    assert balanced_accuracy(table) == 1
    assert macro_f1(table) == 1


def test_three_classes_by_hand() -> None:
    """Right a a a b b c, said a a b b c c. MCC = (4·6 − 12) / √((36 − 12)(36 − 14)).

    scikit-learn 1.9 `matthews_corrcoef` and `f1_score(average="macro")` print the last two.
    """
    table = confusion_of(list("aaabbc"), list("aabbcc"), list("abc"))
    assert precisions(table).tolist() == [1, 0.5, 0.5]
    assert recalls(table) == pytest.approx([2 / 3, 1 / 2, 1])
    assert f1s(table) == pytest.approx([4 / 5, 1 / 2, 2 / 3])
    assert mcc(table) == pytest.approx(0.5222329678670935)
    assert macro_f1(table) == pytest.approx(0.6555555555555556)


def test_an_answer_without_a_label_counts_against_every_figure_of_its_class() -> None:
    parsed = confusion_of(["a", "b"], ["a", "b"], ["a", "b"])
    not_parsed = confusion_of(["a", "b", "b"], ["a", "b", None], ["a", "b"])
    for figure in (mcc, balanced_accuracy, macro_f1):
        assert figure(not_parsed) < figure(parsed)


def test_many_tables_at_once_are_each_table() -> None:
    rng = np.random.default_rng(0)
    tables = rng.integers(0, 9, (5, 3, 4))
    for figure in (mcc, balanced_accuracy, macro_f1):
        assert figure(tables) == pytest.approx([float(figure(table)) for table in tables])


def test_all_that_is_no_label_is_named() -> None:
    with pytest.raises(InvalidInput, match=r"y has \[\"'x'\"\] and yhat has"):
        confusion_of(["x"], ["A"], ["a", "b"])
