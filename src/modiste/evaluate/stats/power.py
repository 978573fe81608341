"""How many items a difference takes to be seen, and what difference so many items show.

Printed beside every comparison: a model that is 3 points better is mostly not found to be so with
200 items. Formulas are those of Miller (2024), "Adding Error Bars to Evals", equation 9.
"""

from __future__ import annotations

from math import ceil, sqrt

from scipy import special

from modiste.errors import InvalidInput
from modiste.evaluate.stats.columns import a_share
from modiste.evaluate.stats.estimates import Estimate, z_of


def sample_size(
    delta: float,
    *,
    omega2: float,
    sigma2_a: float = 0.0,
    sigma2_b: float = 0.0,
    k_a: int = 1,
    k_b: int = 1,
    alpha: float = 0.05,
    power: float = 0.8,
) -> int:
    """Items that show a true difference of `delta` with probability `power`.

    Args:
        omega2: variance between items of the difference of the two models' true scores.
        sigma2_a, sigma2_b: mean variance of the attempts at one item.
        k_a, k_b: attempts per item.
    """
    if not delta > 0:
        raise InvalidInput(f"delta = {delta}; the difference to be shown must be above 0")
    spread = _spread(omega2, sigma2_a, sigma2_b, k_a, k_b)
    return ceil(_sure(alpha, power) ** 2 * spread / delta**2 - 1e-9)


def mde(
    n: int,
    *,
    omega2: float,
    sigma2_a: float = 0.0,
    sigma2_b: float = 0.0,
    k_a: int = 1,
    k_b: int = 1,
    alpha: float = 0.05,
    power: float = 0.8,
) -> float:
    """The smallest true difference that `n` items show with probability `power`."""
    if n < 1:
        raise InvalidInput(f"n = {n}; at least one item is needed")
    spread = _spread(omega2, sigma2_a, sigma2_b, k_a, k_b)
    return _sure(alpha, power) * sqrt(spread / n)


def mde_of(difference: Estimate, *, power: float = 0.8) -> float:
    """The same of a comparison that was made, from its standard error."""
    return _sure(1 - difference.ci.level, power) * difference.se


def items_to_decide(
    difference: Estimate, *, delta: float | None = None, power: float = 0.8
) -> int | None:
    """Items in all that would settle a comparison like this one with probability `power`.

    If the true difference is the one that was seen: enough to show that it is not zero or, with
    `delta`, that it is smaller than that, whichever takes fewer. None where no number would do:
    nothing was seen to go by.
    """
    gap = abs(difference.value)
    if delta is not None:
        gap = max(gap, delta - gap)
    if gap <= 0 or difference.se <= 0:
        return None
    return ceil(difference.n * (_sure(1 - difference.ci.level, power) * difference.se / gap) ** 2)


def _sure(alpha: float, power: float) -> float:
    """Standard errors by which a difference must exceed zero to be seen that often."""
    beta = float(special.ndtri(a_share("power", power)))
    return z_of(1 - a_share("alpha", alpha)) + beta


def _spread(omega2: float, sigma2_a: float, sigma2_b: float, k_a: int, k_b: int) -> float:
    for name, value in (("omega2", omega2), ("sigma2_a", sigma2_a), ("sigma2_b", sigma2_b)):
        if not value >= 0:
            raise InvalidInput(f"{name} = {value}; a variance is not negative")
    if k_a < 1 or k_b < 1:
        raise InvalidInput(f"k_a = {k_a}, k_b = {k_b}; at least one attempt is made")
    return omega2 + sigma2_a / k_a + sigma2_b / k_b
