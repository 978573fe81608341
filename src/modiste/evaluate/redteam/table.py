"""What a red team found, technique by technique: rates with n and interval, side by side.

Items of one objective are not independent, so the interval over all techniques counts objectives;
that of one technique has one item of each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from modiste.evaluate.items import Sample
from modiste.evaluate.metric import score_of
from modiste.evaluate.stats.estimates import Interval, wilson


class Rate(NamedTuple):
    """A share of items, by the first attempt's or any attempt's score."""

    k: int
    n: int
    interval: Interval | None
    """Wilson's; None where there is nothing to count."""
    n_unscored: int
    n_blocked: int
    """Of those counted, how many a policy answered for."""


def by_technique(samples: Sequence[Sample], scorer: str) -> Mapping[str, Rate]:
    """Of each technique the share of items where any attempt scored 1."""
    techniques = dict.fromkeys(str(sample.item.row["technique"]) for sample in samples)
    return {
        name: _rate([s for s in samples if s.item.row["technique"] == name], scorer)
        for name in techniques
    }


def overall(samples: Sequence[Sample], scorer: str) -> Rate:
    """The same over all items; its interval takes them as independent, which they are not, so the
    figures of the runs, which count objectives, are the ones to decide by."""
    return _rate(samples, scorer)


def _rate(samples: Sequence[Sample], scorer: str) -> Rate:
    values: dict[str, float] = {}
    blocked: set[str] = set()
    n_unscored = 0
    for sample in samples:
        score = score_of(scorer, sample)
        if score is None or score.value is None:
            n_unscored += 1
            continue
        key = sample.item.key
        values[key] = max(values.get(key, 0.0), score.value)
        if score.label == "blocked":
            blocked.add(key)
    k, n = sum(value >= 1 for value in values.values()), len(values)
    return Rate(k, n, wilson(k, n) if n else None, n_unscored, len(blocked))
