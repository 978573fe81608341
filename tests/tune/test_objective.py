"""The seam between the recipe and its losses: units, batches and sums."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from modiste.errors import TuningFailed
from modiste.tune.group import Alone
from modiste.tune.mixture import Conversation, Sample, Samples
from modiste.tune.objective import NextToken, summed, together
from modiste.tune.tuned import load

from .conftest import ONE_THREAD, samples_of, spec_of


def test_units_are_trained_tokens_and_the_first_is_never_one() -> None:
    samples = samples_of(8)
    objective = NextToken(None, ONE_THREAD)  # type: ignore[arg-type]
    units = objective.n_units(samples)
    assert units.tolist() == [int(samples[i].mask[1:].sum()) for i in range(8)]


def test_pairs_are_never_learned_as_one_text() -> None:
    pair = Conversation([1, 2], [False, True])
    with pytest.raises(TuningFailed, match="are pairs of answers"):
        NextToken(None, ONE_THREAD).n_units(Samples.of_pairs([(pair, pair)]))  # type: ignore[arg-type]


def samples_with(*lengths: int) -> list[Sample]:
    samples = Samples([([7] * n, [True] * n) for n in lengths])
    return [samples[i] for i in range(len(lengths))]


def test_batches_keep_the_order_and_stay_below_the_limit_where_they_can() -> None:
    machine = replace(ONE_THREAD, at_once=11)
    found = together(samples_with(5, 6, 30, 2, 3), machine)
    lengths = [[len(sample.ids) for sample in part] for part in found]
    assert lengths == [[5, 6], [30], [2, 3]], "a sample alone may be longer than the limit"
    assert list(together([], machine)) == []


@pytest.mark.parametrize(
    ("lengths", "expected"),
    [
        ([50, 60, 10], [[50], [60, 10]]),
        ([10, 10, 10, 10, 10], [[10, 10, 10], [10, 10]]),
        ([90, 90, 20, 10, 90, 5], [[90], [90], [20, 10], [90, 5]]),
        ([300, 1, 1], [[300], [1, 1]]),
        ([7], [[7]]),
        ([], []),
    ],
)
def test_lanes_get_batches_of_about_one_size(lengths: list[int], expected: list[list[int]]) -> None:
    """A short batch at the end of a step would leave one lane idle for the length of another."""
    machine = replace(ONE_THREAD, at_once=200, lanes=2)
    found = [[len(sample.ids) for sample in p] for p in together(samples_with(*lengths), machine)]
    assert found == expected


def test_each_target_knows_its_document() -> None:
    samples = Samples([([1, 2, 3], [False, True, True]), ([4, 5, 6], [False, False, True])])
    objective = NextToken(None, ONE_THREAD)  # type: ignore[arg-type]
    (batch,) = objective.batches([samples[0], samples[1]])
    assert batch.targets.tolist() == [2, 3, 6]
    assert batch.owners.tolist() == [0, 0, 1]
    assert objective.n_tokens(batch) == 32, "a row is filled up"


def test_losses_of_batches_add_up_whatever_the_batches_are(base: Path) -> None:
    tuned = load(spec_of(), base, ONE_THREAD)
    objective = NextToken(tuned.scorer, ONE_THREAD)
    samples = samples_of(12)
    everything = [samples[i] for i in range(12)]
    totals = []
    for most in (16, 4096):
        objective.machine = replace(ONE_THREAD, at_once=most)
        parts = [objective.loss(batch) for batch in objective.batches(everything)]
        assert all(part.measures == {} for part in parts)
        totals.append(sum(float(part.loss.detach()) for part in parts))
    # fp32 sums of a few hundred losses of about 5 nats, in another order.
    assert totals[0] == pytest.approx(totals[1], rel=1e-5)
    measured = [objective.measure(batch) for batch in objective.batches(everything)]
    assert sum(part.n for part in measured) == int(objective.n_units(samples).sum())
    assert sum(part.nll for part in measured) == pytest.approx(totals[1], rel=1e-5)


def test_the_loss_is_the_sum_over_its_tokens_with_the_same_gradient(base: Path) -> None:
    tuned = load(spec_of(), base, ONE_THREAD)
    objective = NextToken(tuned.scorer, ONE_THREAD)
    samples = samples_of(4)
    (batch,) = objective.batches([samples[i] for i in range(4)])
    objective.loss(batch).loss.backward()  # type: ignore[no-untyped-call]
    assert tuned.learned.flat.grad is not None
    expected = tuned.learned.flat.grad.clone()
    tuned.learned.zero_grad()
    nll = tuned.scorer.nll(batch)
    assert len(nll) == len(batch.targets)
    nll.sum().backward()  # type: ignore[no-untyped-call]
    # One weight of 1 for every row either way.
    torch.testing.assert_close(tuned.learned.flat.grad, expected, rtol=1e-6, atol=1e-6)


def test_next_tokens_need_no_preparation(base: Path, tmp_path: Path) -> None:
    objective = NextToken(load(spec_of(), base, ONE_THREAD).scorer, ONE_THREAD)
    objective.prepare(
        [samples_of(2)], run_dir=tmp_path, belongs_to="x", group=Alone(), tell=lambda *_: None
    )
    assert not list(tmp_path.iterdir())


def test_measures_are_summed_name_by_name() -> None:
    assert summed([{"a": 1.0}, {}, {"a": 2.0, "b": -3.5}]) == {"a": 3.0, "b": -3.5}
    assert summed([]) == {}
