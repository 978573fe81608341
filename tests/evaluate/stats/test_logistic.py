"""Logistic regression against what statsmodels says."""

import numpy as np
import pytest

from modiste.evaluate.stats.logistic import logistic

RNG = np.random.default_rng(0)
X = np.column_stack([np.ones(200), RNG.normal(size=200)])
Y = (RNG.uniform(size=200) < 1 / (1 + np.exp(-0.5 - X[:, 1]))).astype(float)

# statsmodels 0.15: `Logit(Y, X).fit()` and `.fit(cov_type="HC0")`.
COEFFICIENTS = [0.36512815, 1.01015406]
ERRORS = [0.15801093, 0.18909655]
ROBUST = [0.15785792, 0.17745226]


def test_coefficients_and_both_errors_are_those_of_statsmodels() -> None:
    fit = logistic(X, Y)
    assert fit.converged
    assert fit.coefficients == pytest.approx(COEFFICIENTS, abs=1e-6)
    assert np.sqrt(np.diag(fit.covariance)) == pytest.approx(ERRORS, abs=1e-6)
    assert np.sqrt(np.diag(fit.robust)) == pytest.approx(ROBUST, abs=1e-6)


def test_half_wins_are_two_halves_of_an_item() -> None:
    ties = logistic(X, np.full(200, 0.5))
    assert ties.coefficients == pytest.approx([0, 0], abs=1e-9)
    doubled = np.concatenate([X, X])
    both = logistic(doubled, np.r_[Y, 1 - Y], weights=np.r_[np.full(200, 0.7), np.full(200, 0.3)])
    assert logistic(X, 0.7 * Y + 0.3 * (1 - Y)).coefficients == pytest.approx(both.coefficients)


def test_outcomes_that_are_told_apart_without_fail_do_not_converge_but_a_ridge_holds_them() -> None:
    x = np.column_stack([np.ones(6), [-3, -2, -1, 1, 2, 3]])
    y = np.array([0, 0, 0, 1, 1, 1.0])
    assert not logistic(x, y).converged
    held = logistic(x, y, ridge=1.0)
    assert held.converged
    assert 0 < held.coefficients[1] < 3
