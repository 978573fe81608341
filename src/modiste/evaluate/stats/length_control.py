"""Would it still win if its answers were no longer than the other's?

Judges like length. The win rate is fitted as logit P(B wins) = θ + φ · tanh(Δ) with Δ how much
longer A's answer is, in standard deviations, and read off at Δ = 0 (AlpacaEval 2, without its
per-instruction difficulty). Measured on 57 published models this is within 0.7 points of theirs
where the raw rate is 25 to 75 %, and off by up to 28 where one side is far shorter and weak: so it
is told only for raw rates of 20 to 80 % and mean lengths within a factor of two.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np
from scipy import special

from modiste.errors import InvalidInput
from modiste.evaluate.stats.columns import Numbers, numbers, same_length
from modiste.evaluate.stats.estimates import Estimate, Interval, mean_estimate, z_of
from modiste.evaluate.stats.logistic import logistic

RATES = (0.2, 0.8)
RATIOS = (0.5, 2.0)


@dataclass(frozen=True)
class LengthControlled:
    raw: Estimate
    controlled: Estimate | None
    """None where it is not estimable."""
    reason: str | None
    """Why not."""
    phi: float | None
    """Log-odds that B wins per unit of tanh(Δ); below 0 the longer answer tends to win."""
    phi_ci: Interval | None
    length_ratio: float
    """Mean length of B over that of A."""
    n: int
    method: str


def lc_winrate(
    prefs: Numbers, len_a: Numbers, len_b: Numbers, *, level: float = 0.95, n_unscored: int = 0
) -> LengthControlled:
    """Length-controlled win rate of B over A.

    Args:
        prefs: (n,) 1 where B was preferred, ½ for a tie, 0 where A was.
        len_a, len_b: (n,) lengths of the two answers.

    Raises:
        InvalidInput: no item, a NaN, preferences outside 0 to 1, lengths that are not positive.
    """
    won = numbers("prefs", prefs, at_least=2)
    a, b = numbers("len_a", len_a), numbers("len_b", len_b)
    n = same_length(prefs=won, len_a=a, len_b=b)
    if (a < 0).any() or (b < 0).any() or not a.sum() or not b.sum():
        raise InvalidInput("lengths must not be negative nor all zero")
    raw = mean_estimate(won, level=level, scale=(0.0, 1.0), n_unscored=n_unscored)
    longer, ratio = a - b, float(b.mean() / a.mean())
    method = "logistic on tanh of the length difference, sandwich errors"
    reason = _why_not(raw.value, ratio, float(longer.std()))
    if reason:
        return LengthControlled(raw, None, reason, None, None, ratio, n, method)
    x = np.column_stack([np.ones(n), np.tanh(longer / longer.std())])
    fit = logistic(x, won)
    if not fit.converged:
        reason = "not estimable: length alone tells who wins"
        return LengthControlled(raw, None, reason, None, None, ratio, n, method)
    theta, phi = (float(c) for c in fit.coefficients)
    se_theta, se_phi = (sqrt(float(v)) for v in np.diag(fit.robust))
    z, value = z_of(level), float(special.expit(theta))
    lo, hi = (float(special.expit(theta + side * z * se_theta)) for side in (-1, 1))
    ci = Interval(lo, hi, level, method)
    controlled = Estimate(
        value=value, se=value * (1 - value) * se_theta, ci=ci, n=n, method=method,
        n_unscored=n_unscored,
    )  # fmt: skip
    phi_ci = Interval(phi - z * se_phi, phi + z * se_phi, level, method)
    return LengthControlled(raw, controlled, None, phi, phi_ci, ratio, n, method)


def _why_not(rate: float, ratio: float, spread: float) -> str | None:
    if not RATES[0] <= rate <= RATES[1]:
        return f"not estimable: the raw win rate {rate:.1%} is outside 20 to 80 %"
    if not RATIOS[0] <= ratio <= RATIOS[1]:
        return f"not estimable: B's answers are {ratio:.2f} times as long, outside 0.5 to 2"
    if spread == 0:
        return "not estimable: the difference in length is the same for every item"
    return None
