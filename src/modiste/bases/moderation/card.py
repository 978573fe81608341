"""The card of the moderation classifier: thresholds, held-out tables, and what they do not say.

Thresholds are found on validation rows, figures are of rows that were held out. Shares have
Wilson's interval, F1 and AUC that of draws of the rows. What has no denominator is a dash.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from modiste.bases.moderation.rows import AREAS, LABELS, Row
from modiste.evaluate.stats.estimates import wilson

OVER = 0.01
"""Share of the validation rows without a label that may reach its threshold."""
STEPS = tuple(round(step / 100, 2) for step in range(5, 100, 5))
DRAWS = 1_000
LEAST = 0.025
HARMLESS = {
    "CLINC150": "everyday requests (CLINC150)",
    "Self-Instruct": "instructions (Self-Instruct, written by users)",
    "news": "opening sentences of government news",
    "HH-RLHF": "questions of HH-RLHF that violate nothing here, most of them close to it",
    "made": "made ones in the words of violating ones",
    "tweets": "tweets that are neither hateful nor offensive",
}


class Asked(NamedTuple):
    row: Row
    scores: Mapping[str, float]


class Column(NamedTuple):
    """Of one label: what holds, and what was said."""

    truth: NDArray[np.bool_]
    score: NDArray[np.float64]


def thresholds(rows: Sequence[Asked]) -> dict[str, float]:
    """For each label the lowest step that few of the rows without it reach."""
    found = {}
    for label in LABELS:
        truth, score = column(rows, label)
        over = [float((score[~truth] >= step).mean()) for step in STEPS]
        found[label] = next(
            (step for step, share in zip(STEPS, over, strict=True) if share <= OVER), STEPS[-1]
        )
    return found


def column(rows: Sequence[Asked], label: str) -> Column:
    """Of the rows whose source says something about the label."""
    known = [each for each in rows if label in each.row.known]
    return Column(
        np.array([label in each.row.labels for each in known], dtype=bool),
        np.array([each.scores[label] for each in known], dtype=float),
    )


def written(
    rows: Sequence[Asked], limits: Mapping[str, float], *, n_learned: int, cpu_s: float
) -> str:
    """The whole card."""
    by_origin: dict[str, list[Asked]] = {}
    for each in rows:
        by_origin.setdefault(each.row.origin, []).append(each)
    template = Path(__file__).with_name("card_template.md").read_text(encoding="utf-8")
    return template.format(
        n_learned=n_learned,
        minutes=cpu_s / 60,
        questions=_table(by_origin["HH-RLHF"], limits),
        tweets=_table(by_origin["tweets"], limits),
        unsafe=_unsafe(by_origin, limits),
        harmless=_over(by_origin, limits),
        made=_table(by_origin["made"], limits),
    )


def _table(rows: Sequence[Asked], limits: Mapping[str, float]) -> str:
    lines = [
        "| label | threshold | n | hold it | precision | recall | F1 | AUC |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for label in LABELS:
        held = column(rows, label)
        if not held.truth.any():
            continue
        said = held.score >= limits[label]
        both = int((said & held.truth).sum())
        cells = [
            f"`{label}`", f"{limits[label]:.2f}", f"{len(said):,}", f"{held.truth.mean():.1%}",
            _share(both, int(said.sum())), _share(both, int(held.truth.sum())),
            _drawn(Column(held.truth, said.astype(float)), f1), _drawn(held, auc),
        ]  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _unsafe(by_origin: Mapping[str, Sequence[Asked]], limits: Mapping[str, float]) -> str:
    lines = ["| area | label | label found | anything found |", "|---|---|---|---|"]
    n = own = anything = 0
    for area, label in AREAS.items():
        rows = by_origin[area]
        k_own = sum(each.scores[label] >= limits[label] for each in rows)
        k_any = sum(flagged(each, limits) for each in rows)
        lines.append(
            f"| {area} | `{label}` | {_share(k_own, len(rows))} | {_share(k_any, len(rows))} |"
        )
        n, own, anything = n + len(rows), own + k_own, anything + k_any
    return "\n".join([*lines, f"| all | | {_share(own, n)} | {_share(anything, n)} |"])


def _over(by_origin: Mapping[str, Sequence[Asked]], limits: Mapping[str, float]) -> str:
    lines = ["| texts | n | flagged | of them only `offensive` |", "|---|---|---|---|"]
    for origin, what in HARMLESS.items():
        rows = [each for each in by_origin[origin] if not each.row.labels]
        n_all = sum(flagged(each, limits) for each in rows)
        n_more = sum(flagged(each, limits, but=("offensive",)) for each in rows)
        lines.append(f"| {what} | {len(rows):,} | {_share(n_all, len(rows))} | {n_all - n_more} |")
    return "\n".join(lines)


def flagged(each: Asked, limits: Mapping[str, float], *, but: Sequence[str] = ()) -> bool:
    return any(each.scores[label] >= limits[label] for label in LABELS if label not in but)


def f1(truth: NDArray[np.bool_], said: NDArray[np.float64]) -> float:
    total = float(truth.sum() + said.sum())
    return 2 * float(said[truth].sum()) / total if total else float("nan")


def auc(truth: NDArray[np.bool_], score: NDArray[np.float64]) -> float:
    """How often a row that holds the label scores above one that does not; ties count half."""
    n = int(truth.sum())
    if not 0 < n < len(truth):
        return float("nan")
    above = float(rankdata(score)[truth].sum()) - n * (n + 1) / 2
    return above / (n * (len(truth) - n))


def _share(k: int, n: int) -> str:
    if not n:
        return "–"
    found = wilson(k, n)
    return f"{k / n:.2f} ({found.lo:.2f}–{found.hi:.2f})"


def _drawn(held: Column, figure: Callable[..., float]) -> str:
    """With the middle 95 % of what draws of the rows give."""
    draw = np.random.default_rng(0)
    n = len(held.truth)
    found = []
    for _ in range(DRAWS):
        at = draw.integers(0, n, n)
        found.append(figure(held.truth[at], held.score[at]))
    known = np.array([each for each in found if not np.isnan(each)])
    value = figure(*held)
    if np.isnan(value) or not len(known):
        return "–"
    lo, hi = np.quantile(known, [LEAST, 1 - LEAST])
    return f"{value:.2f} ({lo:.2f}–{hi:.2f})"
