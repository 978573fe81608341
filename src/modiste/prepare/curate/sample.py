"""Fewer rows, drawn by chance: evenly, by class, or by a weight each row carries.

Chance is a function of a row's content and a seed: the same rows are drawn from the same data in
any order, and most of them are drawn again when rows are added. Order stays as it was.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, Field, model_validator

from modiste.prepare.curate.groups import Hashes, Indexes, chance, repeats
from modiste.prepare.curate.rows import Rows, read_rows
from modiste.prepare.curate.stage import Corpus, Outcome, Settings, chain
from modiste.prepare.records import Record


class Sample(Settings):
    n: int | None = Field(default=None, ge=1)
    """Rows to draw …"""
    fraction: float | None = Field(default=None, gt=0, le=1)
    """… or their share; exactly one of the two."""
    stratify: str | None = None
    """Where a row's class stands: every class keeps its share."""
    balance: bool = False
    """Every class gets as many rows as any other, while it has them."""
    weight: str | None = None
    """Where a number stands that makes a row that much likelier; 0 is never drawn."""
    seed: int = 0

    @model_validator(mode="after")
    def _one_size(self) -> Sample:
        if (self.n is None) == (self.fraction is None):
            raise ValueError("give exactly one of n and fraction")
        if self.balance and self.stratify is None:
            raise ValueError("balance needs stratify: the name of the classes")
        return self


class _SampleStage:
    name: ClassVar[str] = "sample"
    version: ClassVar[int] = 1
    settings: ClassVar[type[BaseModel]] = Sample
    reads: ClassVar[tuple[str, ...]] = ()

    def run(self, inputs: Sequence[Corpus], settings: Sample) -> Outcome:
        return sample(inputs, settings)


STAGE = _SampleStage()


def sample(inputs: Sequence[Corpus], settings: Sample) -> Outcome:
    """Raises InvalidInput if rows lack the class or the weight that is asked for."""
    rows = read_rows(inputs, fields=(), classes=settings.stratify, weight=settings.weight)
    n_rows = len(rows.ids)
    order = _order(rows, settings)
    wanted = settings.n if settings.n is not None else round((settings.fraction or 0) * n_rows)
    sizes = np.bincount(rows.kinds[order], minlength=len(rows.kind_names))
    quotas = (_level if settings.balance else _in_proportion)(sizes, wanted)
    chosen = np.zeros(n_rows, dtype=bool)
    for kind, quota in enumerate(quotas.tolist()):
        chosen[order[rows.kinds[order] == kind][:quota]] = True
    return Outcome(_kept(inputs, chosen), _report(rows, chosen, wanted))


def _order(rows: Rows, settings: Sample) -> Indexes:
    """Rows that may be drawn, the first to be drawn first.

    With weights this is the order in which an urn without replacement would give them out
    (Efraimidis and Spirakis 2006).
    """
    figures = chance(_told_apart(rows.ids), salt=f"sample {settings.seed}")
    if settings.weight is None:
        return np.argsort(figures, kind="stable")
    with np.errstate(divide="ignore"):
        waits = -np.log1p(-figures) / rows.weights
    order = np.argsort(waits, kind="stable")
    drawable: Indexes = order[rows.weights[order] > 0]
    return drawable


def _told_apart(ids: Hashes) -> Hashes:
    """Identical rows get numbers of their own, or all of them would be drawn together."""
    with np.errstate(over="ignore"):
        return ids + repeats(ids).astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)


def _in_proportion(sizes: NDArray[np.int64], wanted: int) -> NDArray[np.int64]:
    """Shares of `wanted` as the sizes are, rounded so that they sum up (largest remainders)."""
    wanted = min(wanted, int(sizes.sum()))
    exact = sizes * (wanted / max(1, sizes.sum()))
    quotas: NDArray[np.int64] = np.floor(exact).astype(np.int64)
    largest = np.argsort(quotas - exact, kind="stable")
    quotas[largest[: wanted - int(quotas.sum())]] += 1
    return quotas


def _level(sizes: NDArray[np.int64], wanted: int) -> NDArray[np.int64]:
    """The same for all as far as they have it; what small classes lack, larger ones give."""
    wanted = min(wanted, int(sizes.sum()))
    low, high = 0, int(sizes.max(initial=0))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (
            (middle, high) if np.minimum(sizes, middle).sum() <= wanted else (low, middle - 1)
        )
    quotas: NDArray[np.int64] = np.minimum(sizes, low)
    more = np.flatnonzero(sizes > low)[: wanted - int(quotas.sum())]
    quotas[more] += 1
    return quotas


def _kept(inputs: Sequence[Corpus], chosen: NDArray[np.bool_]) -> Iterator[Record]:
    for record, keep in zip(chain(inputs), chosen.tolist(), strict=True):
        if keep:
            yield record


def _report(rows: Rows, chosen: NDArray[np.bool_], wanted: int) -> dict[str, Any]:
    n_kept = int(chosen.sum())
    warnings = []
    if n_kept < wanted:
        warnings.append(f"{wanted:,} rows were asked for, {n_kept:,} could be drawn")
    before = np.bincount(rows.kinds, minlength=len(rows.kind_names)).tolist()
    after = np.bincount(rows.kinds[chosen], minlength=len(rows.kind_names)).tolist()
    return {
        "left_out": len(chosen) - n_kept,
        "classes": {
            name: {"rows": before[at], "kept": after[at]}
            for at, name in sorted(enumerate(rows.kind_names), key=lambda pair: pair[1])
        },
        "warnings": warnings,
    }
