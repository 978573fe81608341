"""Figures of one run by their names."""

from __future__ import annotations

import numpy as np
import pytest
from scripted_runs import run, shares

from modiste.errors import InvalidInput
from modiste.evaluate.own_figures import own_figure, quantile_estimate


def test_a_scorers_figure_is_the_stored_one() -> None:
    found = own_figure(run("a", {"exact": [*shares(99, 50), None]}), "exact")
    assert found.estimate is not None
    assert (found.metric, found.estimate.n) == ("exact.mean", 99)
    assert found.unscored_share == 0.01


def test_what_answers_take_has_names_of_its_own() -> None:
    of = run("a", {"exact": shares(100, 50)}, latency_s=0.25)
    found = own_figure(of, "latency.p95")
    assert found.estimate is not None
    assert (found.estimate.value, found.unit) == (0.25, "s")
    mean = own_figure(of, "tokens")
    assert mean.estimate is not None
    assert (mean.metric, mean.estimate.value) == ("tokens.mean", 40.0)


def test_an_unknown_name_is_refused_with_those_there_are() -> None:
    with pytest.raises(InvalidInput, match=r"'speed'; .* has exact\.mean, and latency, ttft"):
        own_figure(run("a", {"exact": shares(10, 5)}), "speed")


def test_the_interval_of_a_quantile_covers_it_as_often_as_it_says() -> None:
    """Order statistics of a binomial are conservative: at least 95 %; of 400 rounds fewer than 368
    (92 %) would hold once in about 200 tries at exactly 95 %."""
    rng = np.random.default_rng(0)
    true = -np.log(0.05)  # The 95th percentile of the exponential distribution.
    held = 0
    for _ in range(400):
        found = quantile_estimate(rng.exponential(1.0, 300), 0.95)
        assert found is not None
        held += found.ci.holds(float(true))
    assert held >= 368


def test_too_few_values_have_no_interval() -> None:
    assert quantile_estimate(np.arange(20.0), 0.95) is None
    assert quantile_estimate(np.array([]), 0.5) is None
