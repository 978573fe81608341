"""What judging takes: money, tokens and calls for a pair, seconds for a call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from modiste.evaluate.judges.pairs import PairVerdict
from modiste.evaluate.judges.summary import estimated
from modiste.evaluate.stats.bootstrap import bootstrap
from modiste.evaluate.stats.estimates import Estimate

DRAWS = 1000


@dataclass(frozen=True)
class Costs:
    """None where nothing is known: verdicts of a file, a model without a price."""

    per_1000: Estimate | None
    """Micro-units of money for a thousand pairs; None where one call has no price."""
    tokens: Estimate | None
    """Of a pair, both orders and repairs together."""
    calls: Estimate | None
    p50_s: Estimate | None
    p95_s: Estimate | None
    """Latency of one call."""


def costs_of(verdicts: Sequence[PairVerdict]) -> Costs:
    """Pairs without a verdict cost too."""
    usages = [verdict.usage for verdict in verdicts if verdict.usage.calls]
    looks = [look.usage for verdict in verdicts for look in verdict.every_look if look.usage.calls]
    money = [usage.cost_micro for usage in usages if usage.cost_micro is not None]
    return Costs(
        per_1000=_mean([1000.0 * cost for cost in money]) if len(money) == len(usages) else None,
        tokens=_mean([float(u.prompt_tokens + u.completion_tokens) for u in usages]),
        calls=_mean([float(usage.calls) for usage in usages]),
        p50_s=_quantile([usage.latency_s / usage.calls for usage in looks], 0.5),
        p95_s=_quantile([usage.latency_s / usage.calls for usage in looks], 0.95),
    )


def _mean(values: Sequence[float]) -> Estimate | None:
    return estimated(values, None, None, 0)


def _quantile(values: Sequence[float], at: float) -> Estimate | None:
    if len(values) < 2:
        return None
    return bootstrap(lambda column: float(np.quantile(column, at)), values, n=DRAWS)
