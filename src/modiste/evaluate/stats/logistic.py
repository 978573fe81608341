"""Logistic regression by Newton's method, with the covariance of what it finds.

Outcomes may be fractions (a tie is half a win): then the covariance is the sandwich one, which is
also right where the outcomes of an item vary less or more than a coin's.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import special

from modiste.evaluate.stats.columns import Floats

_STEPS = 100
_CLOSE = 1e-9


class Fit(NamedTuple):
    coefficients: Floats
    """(p,)"""
    covariance: Floats
    """(p, p) from the curvature, as if the model were right."""
    robust: Floats
    """(p, p) sandwich."""
    converged: bool


def logistic(
    x: Floats, y: Floats, *, weights: Floats | None = None, ridge: float | Floats = 0.0
) -> Fit:
    """Maximises Σ w (y log σ(xβ) + (1 − y) log(1 − σ(xβ))) − ½ Σ ridge β².

    Args:
        x: (n, p), a column of ones where an intercept is wanted.
        y: (n,) in 0 to 1.
        ridge: per coefficient or one for all. Without any, separable outcomes do not converge.
    """
    n, p = x.shape
    w = np.ones(n) if weights is None else weights
    penalty = np.broadcast_to(np.asarray(ridge, dtype=np.float64), (p,))
    beta = np.zeros(p)
    best = _objective(x, y, w, penalty, beta)
    converged = False
    for _ in range(_STEPS):
        mu = special.expit(x @ beta)
        slope = x.T @ (w * (y - mu)) - penalty * beta
        step = np.linalg.lstsq(_curvature(x, w, penalty, mu), slope, rcond=None)[0]
        size = 1.0
        while (now := _objective(x, y, w, penalty, beta + size * step)) < best and size > 1e-6:
            size /= 2
        beta, best = beta + size * step, now
        if np.abs(slope).max() < _CLOSE * w.sum() and np.abs(x @ step).max() < 1e-6:
            converged = True
            break
    mu = special.expit(x @ beta)
    curvature = _curvature(x, w, penalty, mu)
    inverse: Floats = np.linalg.pinv(curvature, hermitian=True).astype(np.float64)
    scores = x * (w * (y - mu))[:, None]
    return Fit(beta, inverse, inverse @ (scores.T @ scores) @ inverse, converged)


def _curvature(x: Floats, w: Floats, penalty: Floats, mu: Floats) -> Floats:
    weighted: Floats = (x.T * (w * mu * (1 - mu))) @ x + np.diag(penalty)
    return weighted


def _objective(x: Floats, y: Floats, w: Floats, penalty: Floats, beta: Floats) -> float:
    eta = x @ beta
    likelihood = w * (y * eta - np.logaddexp(0.0, eta))
    return float(likelihood.sum() - 0.5 * (penalty * beta**2).sum())
