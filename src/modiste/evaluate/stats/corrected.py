"""What a cheap judge says, corrected by a few human labels.

A judge's own interval is narrow and wrong: it leaves its bias out. PPI++ measures the bias on items
that humans labelled too; Rogan and Gladen (1978) correct a yes/no rate by how often the judge is
right on known yes and known no.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np

from modiste.errors import InvalidInput
from modiste.evaluate.stats.columns import Numbers, a_count, a_share, numbers, same_length
from modiste.evaluate.stats.estimates import Estimate, Interval, Scale, student

DRAWS = 10_000


@dataclass(frozen=True, kw_only=True)
class PredictionPowered(Estimate):
    """The mean of human labels, sharpened by a judge on items humans did not see."""

    lam: float
    """How far the judge is trusted, 0 to 1."""
    n_judged: int
    """Items of the judge alone."""
    human_only: Estimate
    judge_mean: float
    """What the judge alone would say."""


@dataclass(frozen=True, kw_only=True)
class CorrectedRate(Estimate):
    observed: float
    sensitivity: float
    specificity: float


def ppi_plus_plus(
    y: Numbers, f_lab: Numbers, f_unlab: Numbers, *, level: float = 0.95, scale: Scale | None = None
) -> PredictionPowered:
    """θ = λ · mean(f_unlab) + mean(y − λ f_lab) (Angelopoulos, Duchi and Zrnic 2023).

    λ = Cov(y, f) / ((1 + n/N) Var f), held to 0 to 1, so it is never worse than the labels alone
    by more than the noise of λ. Labelled items must be a random part of all.

    Args:
        y: (n,) human labels.
        f_lab: (n,) the judge on the same items.
        f_unlab: (N,) the judge on other items, not those of `f_lab`.

    Raises:
        InvalidInput: fewer than 3 labelled or 2 other items, or a NaN.
    """
    human, judge = numbers("y", y, at_least=3), numbers("f_lab", f_lab)
    rest = numbers("f_unlab", f_unlab, at_least=2)
    n, more = same_length(y=human, f_lab=judge), len(rest)
    spread = float(np.concatenate([judge, rest]).var(ddof=1))
    lam = 0.0
    if spread > 0:
        lam = float(np.cov(human, judge)[0, 1]) / ((1 + n / more) * spread)
    lam = min(1.0, max(0.0, lam))
    off = human - lam * judge
    value = lam * float(rest.mean()) + float(off.mean())
    se = sqrt(lam**2 * spread / more + float(off.var(ddof=1)) / n)
    found = student(value, se, n=n, df=n - 1, level=level, scale=scale, method="PPI++")
    human_se = float(human.std(ddof=1)) / sqrt(n)
    alone = student(
        float(human.mean()), human_se, n=n, df=n - 1, level=level, scale=scale, method="Student's t"
    )
    return PredictionPowered(
        **{name: getattr(found, name) for name in Estimate.__dataclass_fields__},
        lam=lam,
        n_judged=more,
        human_only=alone,
        judge_mean=float(np.concatenate([judge, rest]).mean()),
    )


def rogan_gladen(
    p_obs: float,
    n: int,
    se: float,
    n_se: int,
    sp: float,
    n_sp: int,
    *,
    level: float = 0.95,
    draws: int = DRAWS,
    seed: int = 0,
) -> CorrectedRate:
    """True rate of yes from a judge's: (p_obs + Sp − 1) / (Se + Sp − 1), held to 0 to 1.

    The interval draws all three shares from what their counts leave open (Jeffreys' beta), so the
    doubt about the judge is in it.

    Args:
        p_obs, n: share of yes the judge says, over n items.
        se, n_se: share of the known yes it calls yes, and how many there were.
        sp, n_sp: share of the known no it calls no, and how many there were.

    Raises:
        InvalidInput: a share outside 0 to 1, no items, or a judge no better than chance.
    """
    shares = {"p_obs": (p_obs, n), "se": (se, n_se), "sp": (sp, n_sp)}
    for name, (share, count) in shares.items():
        a_share(name, share, ends=True)
        if a_count(f"items of {name}", count) == 0:
            raise InvalidInput(f"{name} is of 0 items; at least 1 is needed")
    if se + sp <= 1:
        raise InvalidInput(f"se + sp = {se + sp:g}; a judge no better than chance corrects nothing")
    rng = np.random.default_rng(seed)
    p, right_yes, right_no = (
        rng.beta(share * count + 0.5, (1 - share) * count + 0.5, draws)
        for share, count in shares.values()
    )
    tells = right_yes + right_no > 1
    drawn = np.clip((p + right_no - 1)[tells] / (right_yes + right_no - 1)[tells], 0, 1)
    tail = (1 - a_share("level", level)) / 2
    lo, hi = (float(q) for q in np.quantile(drawn, (tail, 1 - tail)))
    raw = (p_obs + sp - 1) / (se + sp - 1)
    notes = []
    if not 0 <= raw <= 1:
        notes.append(f"the correction gives {raw:.3f}, which is no rate: held to 0 to 1")
    if not tells.all():
        notes.append(f"the judge may be no better than chance ({(~tells).mean():.1%} of draws)")
    method = f"Rogan–Gladen, Jeffreys draws ({draws}, seed {seed})"
    return CorrectedRate(
        value=min(1.0, max(0.0, raw)), se=float(drawn.std(ddof=1)),
        ci=Interval(lo, hi, level, method), n=n, method=method, notes=tuple(notes),
        observed=p_obs, sensitivity=se, specificity=sp,
    )  # fmt: skip
