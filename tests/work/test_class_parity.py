"""How far a served classifier may be from training: every way is named."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from modiste.nn.heads_file import HeadPooling, HeadsFile
from modiste.types import ClassifierTarget, Example, LossFunction, SampleType
from modiste.work.class_parity import FLOOR, Row, apart
from modiste.work.closeness import EXACT, ROUNDED

TARGETS = (
    ClassifierTarget("mood", ("bad", "good"), LossFunction.SINGLE_CLASS),
    ClassifierTarget("of", ("food",), LossFunction.MULTI_CLASS),
)
ABOUT = HeadsFile(TARGETS, HeadPooling.MEAN, (1.0, 1.0))
EXAMPLE = Example(1, SampleType.CLASSIFIER, text="x")
ROW = Row(1, EXAMPLE, [1, 2], [0.3, 0.7, 0.2], [0.5, 0.5, 0.5])


def test_equal_probabilities_are_not_apart() -> None:
    found = apart([ROW], [ROW.said], ABOUT, EXACT)
    assert (found.mean, found.largest, found.parted) == (0.0, 0.0, [])
    assert found.gap == pytest.approx(
        (math.log(5 / 3) + math.log(7 / 5) + math.log(5 / 2)) / 3, rel=1e-6
    )


@pytest.mark.parametrize(
    ("served", "said"),
    [
        ([0.301, 0.699, 0.2], "the probability of label 1 is 0.30000 in training and 0.30100"),
        ([0.7, 0.3, 0.2], "mood is 'good' in training and 'bad' served"),
        ([0.3, 0.7, math.nan], "label 3"),
        ([0.3, 0.7], "3 labels in training, 2 served"),
        ([0.3001, 0.6999, 0.2], "apart on average"),
    ],
)
def test_every_way_of_being_apart_is_named(served: list[float], said: str) -> None:
    assert said in "; ".join(apart([ROW], [served], ABOUT, EXACT).parted)


def test_weights_that_are_rounded_may_move_what_they_cost() -> None:
    assert not apart([ROW], [[0.302, 0.698, 0.201]], ABOUT, ROUNDED["bf16"]).parted


def test_a_label_that_is_as_good_as_impossible_may_be_so_by_any_amount() -> None:
    sure = replace(ROW, said=[1.0, FLOOR / 10, 0.5], of_base=[0.5, 0.5, 0.5])
    assert not apart([sure], [[1.0, FLOOR / 1e9, 0.5]], ABOUT, EXACT).parted
