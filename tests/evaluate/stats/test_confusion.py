"""Tables of right against said, and their figures by hand and by scikit-learn 1.9."""

import numpy as np
import pytest

from modiste.errors import InvalidInput
from modiste.evaluate.stats.confusion import (
    Sums,
    balanced_accuracy,
    confusion_of,
    f1s,
    macro_f1,
    mcc,
    precisions,
    recalls,
    sums_of,
)


def test_answers_without_a_label_have_their_own_column() -> None:
    table = confusion_of(["a", "a", "b"], ["a", None, "a"], ["a", "b"])
    assert table.tolist() == [[1, 0, 1], [1, 0, 0]]


def test_figures_without_a_denominator_are_not_zero() -> None:
    table = confusion_of(["a", "a"], ["a", "a"], ["a", "b", "c"])
    assert np.isnan(precisions(sums_of(table))).tolist() == [False, True, True]
    assert np.isnan(recalls(sums_of(table))).tolist() == [False, True, True]
    assert np.isnan(f1s(sums_of(table))).tolist() == [False, True, True]
    assert np.isnan(mcc(sums_of(table)))
    assert balanced_accuracy(sums_of(table)) == 1
    assert macro_f1(sums_of(table)) == 1


def test_three_classes_by_hand() -> None:
    """Right a a a b b c, said a a b b c c. MCC = (4·6 − 12) / √((36 − 12)(36 − 14)).

    scikit-learn 1.9 `matthews_corrcoef` and `f1_score(average="macro")` print the last two.
    """
    table = confusion_of(list("aaabbc"), list("aabbcc"), list("abc"))
    assert precisions(sums_of(table)).tolist() == [1, 0.5, 0.5]
    assert recalls(sums_of(table)) == pytest.approx([2 / 3, 1 / 2, 1])
    assert f1s(sums_of(table)) == pytest.approx([4 / 5, 1 / 2, 2 / 3])
    assert mcc(sums_of(table)) == pytest.approx(0.5222329678670935)
    assert macro_f1(sums_of(table)) == pytest.approx(0.6555555555555556)


def test_an_answer_without_a_label_counts_against_every_figure_of_its_class() -> None:
    parsed = confusion_of(["a", "b"], ["a", "b"], ["a", "b"])
    not_parsed = confusion_of(["a", "b", "b"], ["a", "b", None], ["a", "b"])
    for figure in (mcc, balanced_accuracy, macro_f1):
        assert figure(sums_of(not_parsed)) < figure(sums_of(parsed))


def test_many_tables_at_once_are_each_table() -> None:
    rng = np.random.default_rng(0)
    tables = rng.integers(0, 9, (5, 3, 4))
    together = Sums(*(np.stack(part) for part in zip(*map(sums_of, tables), strict=True)))
    for figure in (mcc, balanced_accuracy, macro_f1):
        assert figure(together) == pytest.approx([float(figure(sums_of(t))) for t in tables])


def test_all_that_is_no_label_is_named() -> None:
    with pytest.raises(InvalidInput, match=r"y has \[\"'x'\"\] and yhat has"):
        confusion_of(["x"], ["A"], ["a", "b"])
