"""Figures of sums, drawn again: corpus BLEU, F1 of classes, all that counts added up decide.

Drawing items again and adding up their counts is multiplying the table of counts by how often each
item was drawn, which is fast; whole clusters are one row.
"""

from __future__ import annotations

import numpy as np

from modiste.evaluate.stats.columns import Floats, Labels, coded, same_length

AT_ONCE = 2_000_000
"""Numbers drawn at a time."""


def drawn_sums(
    rows: Floats,
    *,
    draws: int,
    clusters: Labels | None = None,
    strata: Labels | None = None,
    seed: int = 0,
) -> Floats:
    """(draws, D): the sums of as many rows as there are, drawn with replacement.

    Args:
        rows: (n, D) counts of each item.
        clusters: (n,) all rows of a label are drawn at once.
        strata: (n,) within each label as many as there are; not with clusters.
    """
    rng = np.random.default_rng(seed)
    if clusters is not None:
        same_length(rows=rows, clusters=clusters)
        codes = coded(clusters).codes
        units = np.zeros((int(codes.max()) + 1, rows.shape[1]))
        np.add.at(units, codes, rows)
        return _drawn(units, draws, rng)
    if strata is None:
        return _drawn(rows, draws, rng)
    same_length(rows=rows, strata=strata)
    of = coded(strata).codes
    total = np.zeros((draws, rows.shape[1]))
    for at in range(int(of.max()) + 1):
        within = rows[of == at]
        used = np.flatnonzero(within.any(axis=0))
        total[:, used] += _drawn(within[:, used], draws, rng)
    return total


def _drawn(units: Floats, draws: int, rng: np.random.Generator) -> Floats:
    """How often each of the different units is drawn, times what it counts."""
    n = len(units)
    kinds, how_many = np.unique(units, axis=0, return_counts=True)
    step = max(1, AT_ONCE // n)
    found = np.empty((draws, units.shape[1]))
    for start in range(0, draws, step):
        size = min(step, draws - start)
        if len(kinds) * 4 < n:
            often = rng.multinomial(n, how_many / n, size=size)
            found[start : start + size] = often @ kinds
        else:
            picked = rng.integers(0, n, (size, n)) + n * np.arange(size)[:, None]
            often = np.bincount(picked.ravel(), minlength=size * n).reshape(size, n)
            found[start : start + size] = often.astype(np.float64) @ units
    return found
