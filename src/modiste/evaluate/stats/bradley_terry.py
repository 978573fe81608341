"""Strengths of many models from games between pairs: θ_i − θ_j is the log-odds that i beats j.

Without a chain of wins from every model to every other there is no answer: somebody's strength
runs off to infinity. Then every pair is given a fraction of a pseudo-game, and the result says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import log

import numpy as np
from scipy.sparse import csgraph

from modiste.errors import InvalidInput
from modiste.evaluate.stats.columns import Floats, Ints, Numbers, matrix, numbers, same_length
from modiste.evaluate.stats.estimates import z_of
from modiste.evaluate.stats.logistic import logistic

ELO = 400 / log(10)
"""Points of an Elo scale per unit of θ."""
_STEPS = 100_000
_CLOSE = 1e-12


@dataclass(frozen=True)
class Strengths:
    theta: tuple[float, ...]
    se: tuple[float, ...]
    """Of θ against the reference; 0 for the reference itself."""
    ref: int | None
    """θ of this one is 0; None where they add up to 0."""
    rank_ci: tuple[tuple[int, int], ...]
    """Best and worst rank that pairwise differences allow, each pair at a level that makes all
    pairs of one model hold together (Bonferroni)."""
    level: float
    n: float
    """Games."""
    method: str
    notes: tuple[str, ...]

    @property
    def elo(self) -> tuple[float, ...]:
        return tuple(ELO * theta for theta in self.theta)


@dataclass(frozen=True)
class CovariateStrengths(Strengths):
    coefficients: tuple[float, ...] = ()
    """Log-odds per unit of each covariate, those of the left answer minus those of the right."""
    coefficient_se: tuple[float, ...] = ()


def bradley_terry(
    wins: object,
    ties: object = None,
    *,
    prior: float = 0.1,
    ref: int | None = None,
    level: float = 0.95,
) -> Strengths:
    """Maximum likelihood by Hunter's MM steps (2004).

    Args:
        wins: (m, m) how often row i beat column j.
        ties: (m, m) symmetric, how often they tied: half a win each.
        prior: pseudo-games per pair, half won by either, where no answer exists without.
        ref: whose strength is 0; otherwise strengths add up to 0.

    Raises:
        InvalidInput: no square table of counts, or prior = 0 where it is needed.
    """
    won = _games(wins, ties)
    m = len(won)
    if ref is not None and not 0 <= ref < m:
        raise InvalidInput(f"ref = {ref}; models are numbered 0 to {m - 1}")
    n = float(won.sum())
    notes = _apart(won)
    if notes:
        if not prior > 0:
            raise InvalidInput(f"{notes[0]}; give a prior above 0 or more games")
        won = won + prior / 2 * (1 - np.eye(m))
        notes = (*notes, f"{prior:g} pseudo-games were added to each pair")
    theta, converged = _minorise(won)
    if not converged:
        notes = (*notes, f"not converged after {_STEPS} steps")
    share = _beats(theta)
    information = -(won + won.T) * share * share.T
    np.fill_diagonal(information, 0.0)
    np.fill_diagonal(information, -information.sum(axis=1))
    covariance: Floats = np.linalg.pinv(information, hermitian=True).astype(np.float64)
    return Strengths(*_told(theta, covariance, ref, level), level, n, "Bradley–Terry, MM", notes)


def bt_logistic(
    left: Sequence[int],
    right: Sequence[int],
    outcome: Numbers,
    covariates: object = None,
    *,
    prior: float = 0.1,
    ref: int | None = None,
    level: float = 0.95,
) -> CovariateStrengths:
    """Bradley–Terry as logistic regression, with what else sways a verdict held apart: length,
    style, who came first.

    Args:
        left, right: (n,) models 0..m−1 that met.
        outcome: (n,) 1 where left won, ½ for a tie, 0 where right won.
        covariates: (n, p) of left minus right.
        prior: weight of the penalty ½ · prior/2 · θ² where strengths would run off to infinity.
    """
    y = numbers("outcome", outcome)
    n = same_length(left=left, right=right, outcome=y)
    if ((y < 0) | (y > 1)).any():
        raise InvalidInput("outcome holds values outside 0 to 1; 1 is a win of left")
    first, second = np.asarray(left, dtype=np.int64), np.asarray(right, dtype=np.int64)
    m = int(max(first.max(), second.max())) + 1
    if min(int(first.min()), int(second.min())) < 0 or (first == second).any():
        raise InvalidInput("left and right must be two different models, numbered from 0")
    extra = np.zeros((n, 0)) if covariates is None else matrix("covariates", covariates)
    same_length(outcome=y, covariates=extra)
    won = np.zeros((m, m))
    np.add.at(won, (first, second), y)
    np.add.at(won, (second, first), 1 - y)
    notes = _apart(won)
    if notes:
        notes = (*notes, f"strengths are held together by a prior of {prior:g}")
    met = np.zeros((n, m))
    met[np.arange(n), first], met[np.arange(n), second] = 1.0, -1.0
    # The level of all strengths is free: a tiny penalty fixes it without moving differences.
    ridge = np.r_[np.full(m, prior / 2 if notes else 1e-9), np.full(extra.shape[1], 1e-9)]
    fit = logistic(np.hstack([met, extra]), y, ridge=ridge)
    if not fit.converged:
        notes = (*notes, "not converged: the covariates tell winners apart without fail")
    spread = fit.covariance
    told = _told(fit.coefficients[:m], spread[:m, :m], ref, level)
    return CovariateStrengths(
        *told, level, float(n), "Bradley–Terry, logistic", notes,
        coefficients=tuple(fit.coefficients[m:].tolist()),
        coefficient_se=tuple(np.sqrt(np.diag(spread)[m:]).tolist()),
    )  # fmt: skip


def _games(wins: object, ties: object) -> Floats:
    won = matrix("wins", wins, rows=2, columns=2)
    if won.shape[0] != won.shape[1] or (won < 0).any() or np.diag(won).any():
        raise InvalidInput(
            f"wins has shape {won.shape}; a square table of counts with an empty diagonal is needed"
        )
    if ties is None:
        return won
    tied = matrix("ties", ties, rows=2, columns=2)
    if tied.shape != won.shape or not np.array_equal(tied, tied.T) or np.diag(tied).any():
        raise InvalidInput("ties must be a symmetric table of the shape of wins, diagonal empty")
    return won + tied / 2


def _apart(won: Floats) -> tuple[str, ...]:
    """Says so where some models never lost to, or never met, the others."""
    groups, of = csgraph.connected_components(won > 0, directed=True, connection="strong")
    if groups == 1:
        return ()
    islands = csgraph.connected_components(won > 0, directed=False)[0]
    if islands > 1:
        return (f"models fall into {islands} groups that never met: not comparable between them",)
    sizes = np.bincount(of)
    return (
        f"no chain of wins leads from every model to every other ({len(sizes)} groups): "
        "differences between the groups are held up by the prior only",
    )


def _minorise(won: Floats) -> tuple[Floats, bool]:
    """θ with mean 0, and whether it settled."""
    total, met = won.sum(axis=1), won + won.T
    strength = np.ones(len(won))
    for _ in range(_STEPS):
        pull = met / (strength[:, None] + strength[None, :])
        np.fill_diagonal(pull, 0.0)
        after = total / pull.sum(axis=1)
        after /= np.exp(np.log(after).mean())
        moved = float(np.abs(np.log(after / strength)).max())
        strength = after
        if moved < _CLOSE:
            return np.log(strength), True
    return np.log(strength), False


def _beats(theta: Floats) -> Floats:
    """(m, m) probability that row beats column."""
    share: Floats = 1 / (1 + np.exp(theta[None, :] - theta[:, None]))
    return share


def _told(
    theta: Floats, covariance: Floats, ref: int | None, level: float
) -> tuple[tuple[float, ...], tuple[float, ...], int | None, tuple[tuple[int, int], ...]]:
    """Strengths against the reference, their errors, the reference, and ranks."""
    m = len(theta)
    base = np.full((m, m), 1 / m) if ref is None else np.eye(m)[[ref] * m]
    against = np.eye(m) - base
    told = against @ theta
    se = np.sqrt(np.clip(np.diag(against @ covariance @ against.T), 0, None))
    ranks = _ranks(theta, covariance, level)
    return tuple(told.tolist()), tuple(se.tolist()), ref, ranks


def _ranks(theta: Floats, covariance: Floats, level: float) -> tuple[tuple[int, int], ...]:
    m = len(theta)
    variance = np.diag(covariance)
    se = np.sqrt(np.clip(variance[:, None] + variance[None, :] - 2 * covariance, 0, None))
    z = z_of(1 - (1 - level) / max(1, m - 1))
    surely_above = theta[:, None] - theta[None, :] > z * se
    np.fill_diagonal(surely_above, False)
    better: Ints = surely_above.sum(axis=0)
    worse: Ints = surely_above.sum(axis=1)
    return tuple((int(b) + 1, m - int(w)) for b, w in zip(better, worse, strict=True))
