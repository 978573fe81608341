"""How near two computations are: every measure passes, and every measure can fail."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from modiste.types import Example, FormStatus, SampleType
from modiste.work.closeness import EXACT, ROUNDED, Answers, Found, Tolerance, close, form_of
from modiste.work.trained_rows import GreedyAnswer, Row

EXAMPLE = Example(line=1, sample_type=SampleType.PRETRAIN, text="t")
ROW = Row(
    1,
    EXAMPLE,
    ids=[1, 2, 3, 4],
    mask=[False, False, True, True],
    logprobs=[-9.0, -0.2, -0.4],
    base_logprobs=[-9.0, -3.2, -3.4],
    greedy=GreedyAnswer(2, [5, 6], [1.0, 0.0015]),
)
SAME = Answers([[-9.0, -0.2, -0.4]], [[5, 6]])
LOOSE = Tolerance(10.0, 10.0)


def measured(
    answers: Answers, tolerance: Tolerance = EXACT, rows: tuple[Row, ...] = (ROW,)
) -> Found:
    return close(rows, answers, tolerance, lambda ids, at: f"<{ids[at]}>")


def test_equal_answers_pass_every_measure() -> None:
    found = measured(SAME)
    assert (found.parted, found.mean, found.largest, found.gap) == ([], 0.0, 0.0, 2.0)
    assert found.loss is not None
    assert (found.loss.trained, found.loss.n_tokens) == (pytest.approx(0.3), 2)
    assert found.loss.tolerance == pytest.approx(0.003)
    told = form_of(found, "fp32", how="live", live=True)
    assert (told.status, told.live, told.mean_tolerance) == (FormStatus.PASSED, True, 1e-4)
    assert told.message == (
        "live: logprobs 0.0e+00 apart on average and 0.0e+00 at most (tolerance 1.0e-04 and "
        "0.001), loss 0.3000, 0.3000 in training, 1 of 1 greedy answers equal"
    )


def test_a_loss_of_one_per_cent_more_fails_where_each_token_is_near() -> None:
    """Both trained tokens are off in the same direction, the prompt is not."""
    tolerance = Tolerance(mean=0.1, largest=0.05, least=0.001)
    row = replace(ROW, base_logprobs=[-9.0, -0.21, -0.41])
    found = measured(Answers([[-9.0, -0.2, -0.4]], [[5, 6]]), tolerance, (row,))
    assert found.parted == []
    three = replace(row, ids=[1, 2, 3, 4] * 9, mask=[False] * 34 + [True] * 2)
    many = replace(
        three, logprobs=[-1.0] * 33 + [-0.2, -0.4], base_logprobs=[-1.0] * 33 + [-0.3, -0.5]
    )
    served = Answers([[-1.0] * 33 + [-0.205, -0.405]], [[5, 6]])
    (told,) = measured(served, tolerance, (many,)).parted
    assert told == (
        "the loss of the 2 trained tokens is 0.30000 in training and 0.30500 served (tolerance "
        "0.003)"
    )


def test_a_loss_of_nearly_nothing_may_differ_by_rounding() -> None:
    row = replace(ROW, logprobs=[-9.0, -1e-6, -1e-6])
    found = measured(Answers([[-9.0, -5e-5, -5e-5]], [[5, 6]]), rows=(row,))
    assert found.parted == []
    assert found.loss is not None
    assert found.loss.tolerance == 1e-4


def test_rows_without_a_trained_token_have_no_loss() -> None:
    row = replace(ROW, mask=[False] * 4)
    assert measured(SAME, rows=(row,)).loss is None


def test_a_parting_within_rounding_is_told_and_another_fails() -> None:
    near = measured(SAME._replace(greedy=[[5, 9]]))
    assert near.parted == []
    assert near.greedy is not None
    (parting,) = near.greedy.partings
    assert (parting.token, parting.trained_id, parting.found_id) == (2, 6, 9)
    assert parting.by_rounding
    far = measured(SAME._replace(greedy=[[9, 6]]))
    assert far.parted == [
        "row 1: the greedy answer parts at its token 1, 5 in training and 9 served, where training "
        "prefers its own by 1 (rounding explains up to 0.002)"
    ]
    assert measured(SAME._replace(greedy=[[9, 6]]), ROUNDED["bf16"]).parted == []


def test_an_answer_that_ends_early_parts_there() -> None:
    (told,) = measured(SAME._replace(greedy=[[5]])).parted
    assert "6 in training and nothing served" in told


def test_no_number_is_apart_and_is_kept_as_none() -> None:
    found = measured(Answers([[-9.0, math.nan, -0.4]], [[5, 6]]), LOOSE)
    assert "nan apart" in found.parted[0]
    told = form_of(found, "int8", how="again")
    assert told.status is FormStatus.APART
    assert (told.mean_abs_logprob_diff, told.max_abs_logprob_diff, told.loss) == (None, None, None)
