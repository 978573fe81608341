"""One figure of one run, as a gate looks at it: of a scorer, or of what answers take."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
from scipy import special

from modiste.errors import InvalidInput
from modiste.evaluate.figures import QUANTILES
from modiste.evaluate.items import Answer
from modiste.evaluate.metric import estimate_of, means_of
from modiste.evaluate.pairing import Floats
from modiste.evaluate.record import Run
from modiste.evaluate.stats.estimates import Estimate, Interval

LEVEL = 0.95
EXPENSES: Mapping[str, tuple[str, Callable[[Answer], float | None]]] = {
    "latency": ("s", lambda answer: answer.latency_s or None),
    "ttft": ("s", lambda answer: answer.ttft_s),
    "tokens": ("tokens", lambda answer: answer.n_tokens or None),
    "cost": ("micro", lambda answer: answer.cost_micro),
}
"""Of every answer that is there; unit and value, None where nobody measured it."""


class OwnFigure(NamedTuple):
    metric: str
    estimate: Estimate | None
    """None: nothing was scored."""
    unit: str
    n_unscored: int
    n_attempts: int

    @property
    def unscored_share(self) -> float:
        return self.n_unscored / self.n_attempts if self.n_attempts else 1.0


def own_figure(run: Run, wanted: str) -> OwnFigure:
    """
    Raises:
        InvalidInput: the run has no such metric; those that it has are named.
    """
    try:
        metric = run.metric(wanted)
    except KeyError:
        return _expense(run, wanted)
    return OwnFigure(metric.id, metric.estimate, metric.unit, metric.n_unscored, len(run.samples))


def _expense(run: Run, wanted: str) -> OwnFigure:
    name, _, figure = wanted.partition(".")
    figure = figure or "mean"
    if name not in EXPENSES or figure not in {"mean", *QUANTILES}:
        there = ", ".join(metric.id for metric in run.metrics)
        raise InvalidInput(
            f"metric is {wanted!r}; run {run.record.run_id} of suite {run.record.suite!r} has "
            f"{there}, and {', '.join(EXPENSES)} with .mean, .{', .'.join(QUANTILES)}",
            param="metric",
        )
    unit, value = EXPENSES[name]
    found = means_of(
        run.samples, lambda sample: None if sample.answer.failure else value(sample.answer)
    )
    if figure == "mean":
        enough = len(found.values) > 1
        estimate = estimate_of(found, scale=None) if enough else None
    else:
        values = np.array(found.values)
        estimate = quantile_estimate(values, QUANTILES[figure], n_unscored=found.n_unscored)
    return OwnFigure(f"{name}.{figure}", estimate, unit, found.n_unscored, len(run.samples))


def quantile_estimate(values: Floats, q: float, *, n_unscored: int = 0) -> Estimate | None:
    """A quantile with the interval of order statistics, which holds for any distribution.

    The ends are the values whose ranks a binomial count leaves out with probability 2.5 % each; too
    few values for one of them have no interval, and None is the answer.
    """
    n = len(values)
    below = special.bdtr(np.arange(n + 1), n, q)
    lo = int(np.searchsorted(below, (1 - LEVEL) / 2))
    hi = int(np.searchsorted(below, (1 + LEVEL) / 2)) + 1
    if n == 0 or lo == 0 or hi > n:
        return None
    ordered = np.sort(values)
    ends = float(ordered[lo - 1]), float(ordered[hi - 1])
    method = "order statistics"
    return Estimate(
        value=float(np.quantile(values, q)),
        se=(ends[1] - ends[0]) / 3.92,
        ci=Interval(*ends, LEVEL, method),
        n=n,
        method=method,
        n_unscored=n_unscored,
    )
