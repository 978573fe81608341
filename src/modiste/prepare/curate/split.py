"""Rows into train, validation and test, so that nothing of one is known from another.

Rows that belong together (the same prompt by default; a user, a document, near-duplicates if asked)
go to the same part. The part is a function of what a group shares and of a salt: adding rows never
moves old ones. Where that alone cannot hold (exact shares, clusters that grow together), an earlier
split can be given, and its rows stay where they were. A frozen test set is never added to, and no
row that belongs to one of its rows is trained on. Nothing is left out without being listed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, BeforeValidator, Field, model_validator

from modiste.errors import InvalidInput
from modiste.prepare.curate.allot import (
    FREE,
    Placed,
    by_chance,
    by_quota,
    groups_with,
    stay,
    straddling,
)
from modiste.prepare.curate.groups import Groups, chance, join
from modiste.prepare.curate.inputs import corpora, parts_of
from modiste.prepare.curate.rows import Rows, read_rows
from modiste.prepare.curate.stage import Corpus, Outcome, Parts, Settings, chain
from modiste.prepare.records import Record

PRESETS: Mapping[str, Mapping[str, float]] = {
    "80/20": {"train": 0.8, "validation": 0.2},
    "70/15/15": {"train": 0.7, "validation": 0.15, "test": 0.15},
}
MIN_POSITIVES = 30
"""With 30 rows of a class, a recall of 0.9 is told to within 5.5 points (one standard error)."""
TEST = "test"
LEFT_OUT = -2
"""Of rows that belong to a frozen test row."""
LARGE_GROUP = 0.1
SHOWN = 10
_NAME = re.compile(r"[a-z][a-z0-9_-]*")


def _as_parts(value: Any) -> Any:
    """`70/15/15`, `train=0.9,validation=0.1`, or a mapping."""
    if not isinstance(value, str):
        return value
    if value in PRESETS:
        return dict(PRESETS[value])
    if "=" not in value:
        raise ValueError(f"presets are {', '.join(PRESETS)}; or write train=0.9,validation=0.1")
    return {name.strip(): share for name, _, share in (p.partition("=") for p in value.split(","))}


def _as_names(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


class Split(Settings):
    parts: Annotated[dict[str, float], BeforeValidator(_as_parts)] = Field(
        default_factory=lambda: dict(PRESETS["80/20"])
    )
    """Share of each part, in order; or a preset, `80/20` or `70/15/15`."""
    group_by: Annotated[tuple[str, ...], BeforeValidator(_as_names)] = ("prompt",)
    """What rows may share inside one part only; none means that identical rows stay together."""
    near: bool = False
    """Near-duplicates belong together as well."""
    stratify: str | None = None
    """Where a row's class stands, such as `labels` or `metadata.topic`."""
    min_positives: int | None = Field(default=None, ge=0)
    """Rows of each class that every part but the first needs; 30 where `stratify` is given."""
    exact: bool = False
    """Exact shares of each class. Adding rows may move old ones, unless `previous` is given."""
    salt: str = "modiste"
    """Another salt is another split."""
    frozen_test: str | None = None
    """File of rows that are the test set, whatever is added."""
    previous: str | None = None
    """Folder of an earlier split: its rows stay where they are."""

    @model_validator(mode="after")
    def _whole(self) -> Split:
        if wrong := [name for name in self.parts if not _NAME.fullmatch(name)]:
            raise ValueError(f"parts: {wrong[0]!r} cannot name a file; use a-z, 0-9, - and _")
        if len(self.parts) < 2 or any(share <= 0 for share in self.parts.values()):
            raise ValueError("parts: at least two are needed, each with a share above 0")
        if abs(sum(self.parts.values()) - 1) > 1e-6:
            raise ValueError(f"parts: the shares sum to {sum(self.parts.values()):g}, expected 1")
        if self.min_positives is not None and self.stratify is None:
            raise ValueError("min_positives needs stratify: the name of the classes")
        return self

    @property
    def names(self) -> tuple[str, ...]:
        extra = (TEST,) if self.frozen_test and TEST not in self.parts else ()
        return (*self.parts, *extra)


class _SplitStage:
    name: ClassVar[str] = "split"
    version: ClassVar[int] = 1
    settings: ClassVar[type[BaseModel]] = Split
    reads: ClassVar[tuple[str, ...]] = ("frozen_test", "previous")

    def run(self, inputs: Sequence[Corpus], settings: Split) -> Outcome:
        return split(inputs, settings)


STAGE = _SplitStage()


class _Plan(NamedTuple):
    rows: Rows
    """Of the inputs, then of the frozen test set."""
    n_own: int
    groups: Groups
    held: Placed
    part: Placed


def split(inputs: Sequence[Corpus], settings: Split) -> Outcome:
    """The part of every row.

    Raises:
        InvalidInput: a row without a named field, a part that would stay empty, or a class that
            would have too few rows in one.
    """
    frozen = corpora([settings.frozen_test], traced=True) if settings.frozen_test else []
    plan = _plan(inputs, frozen, settings)
    counts = _by_class(plan, settings)
    _refuse_empty(plan, settings)
    _refuse_few(counts, settings)
    dropped: list[dict[str, Any]] = []
    report = {**_report(plan, counts, settings), "dropped": dropped}
    kept = Parts(settings.names, lambda: _routed(inputs, frozen, plan, settings.names, dropped))
    return Outcome(kept, report)


def _plan(inputs: Sequence[Corpus], frozen: Sequence[Corpus], settings: Split) -> _Plan:
    rows = read_rows(
        [*inputs, *frozen],
        fields=settings.group_by,
        classes=settings.stratify,
        near=settings.near,
    )
    n_own = len(rows.ids) - sum(corpus.n_rows for corpus in frozen)
    groups = join(rows.columns)
    held = _held(rows, n_own, settings)
    shares = list(settings.parts.values())
    figures = chance(groups.key, salt=settings.salt)
    part = by_quota(figures, groups, rows.kinds, held, shares) if settings.exact else None
    part = stay(by_chance(figures, shares) if part is None else part, groups, held)
    if frozen:
        part = _around_frozen(part, groups, n_own, settings)
    return _Plan(rows, n_own, groups, held, part)


def _held(rows: Rows, n_own: int, settings: Split) -> Placed:
    """Parts of the rows that an earlier split placed."""
    held = np.full(len(rows.ids), FREE, dtype=np.int8)
    if settings.previous is None:
        return held
    earlier = parts_of(settings.previous, settings.names)
    if settings.frozen_test and TEST in earlier:
        raise InvalidInput(
            f"frozen_test and {earlier[TEST].filename} both say what the test set is; give one"
        )
    for name, corpus in earlier.items():
        placed = np.unique(read_rows([corpus], fields=()).ids)
        held[:n_own][np.isin(rows.ids[:n_own], placed)] = settings.names.index(name)
    return held


def _around_frozen(part: Placed, groups: Groups, n_own: int, settings: Split) -> Placed:
    """Frozen rows are the test set, what belongs to them is out, what chance sent there is not."""
    test = settings.names.index(TEST)
    is_frozen = np.arange(len(part)) >= n_own
    part = np.where(part == test, 0, part).astype(np.int8)
    part[groups_with(groups, is_frozen)] = LEFT_OUT
    part[is_frozen] = test
    return part


def _routed(
    inputs: Sequence[Corpus],
    frozen: Sequence[Corpus],
    plan: _Plan,
    names: Sequence[str],
    dropped: list[dict[str, Any]],
) -> Iterator[tuple[str, Record]]:
    dropped.clear()
    for record, part in zip(chain([*inputs, *frozen]), plan.part.tolist(), strict=True):
        if part == LEFT_OUT:
            reason = "belongs to a row of the frozen test set"
            dropped.append(
                {"file": record.file, "line": record.line, "id": record.id, "reason": reason}
            )
        else:
            yield names[part], record


def _by_class(plan: _Plan, settings: Split) -> dict[str, dict[str, int]]:
    """Rows of each class in each part; a row with two labels counts for both."""
    n_parts = len(settings.names)
    part = plan.part[plan.rows.class_rows]
    inside = part >= 0
    cells = plan.rows.class_indexes[inside].astype(np.int64) * n_parts + part[inside]
    counts = np.bincount(cells, minlength=len(plan.rows.class_names) * n_parts)
    table = counts.reshape(-1, n_parts).tolist()
    return {
        name: dict(zip(settings.names, row, strict=True))
        for name, row in sorted(zip(plan.rows.class_names, table, strict=True))
    }


def _refuse_empty(plan: _Plan, settings: Split) -> None:
    empty = [name for at, name in enumerate(settings.names) if not (plan.part == at).any()]
    if empty:
        n_groups = len(np.unique(plan.groups.root[: plan.n_own]))
        raise InvalidInput(
            f"{' and '.join(empty)} would be empty: {plan.n_own:,} rows in {n_groups:,} groups (by "
            f"{', '.join(settings.group_by) or 'identity'}) are too few for these shares; add "
            "rows, group by less, or ask for exact shares"
        )


def _refuse_few(counts: Mapping[str, Mapping[str, int]], settings: Split) -> None:
    if settings.stratify is None:
        return
    least = MIN_POSITIVES if settings.min_positives is None else settings.min_positives
    few = [
        f"{name!r} has {n} in {part}"
        for name, row in counts.items()
        for part, n in list(row.items())[1:]
        if n < least
    ]
    if few:
        more = f" and {len(few) - SHOWN} more" if len(few) > SHOWN else ""
        raise InvalidInput(
            f"too few rows of a class to judge it by, fewer than {least}: "
            f"{'; '.join(few[:SHOWN])}{more}. Add rows of these classes, give the part a larger "
            "share, merge classes, or accept fewer with min_positives"
        )


def _report(
    plan: _Plan, counts: Mapping[str, Mapping[str, int]], settings: Split
) -> dict[str, Any]:
    placed = int((plan.part >= 0).sum())
    parts = {}
    for at, name in enumerate(settings.names):
        inside = plan.part == at
        n_rows = int(inside.sum())
        n_groups = len(np.unique(plan.groups.root[inside]))
        parts[name] = {"rows": n_rows, "groups": n_groups, "share": round(n_rows / placed, 4)}
    sizes = np.bincount(plan.groups.root)
    return {
        "parts": parts,
        "classes": counts,
        "groups": {
            "by": [*settings.group_by, *(["near-duplicates"] if settings.near else [])],
            "count": int((sizes > 0).sum()),
            "of_several_rows": int((sizes > 1).sum()),
            "largest": int(sizes.max(initial=0)),
        },
        "stayed": int((plan.held != FREE).sum()),
        "warnings": _warnings(plan, sizes, settings),
    }


def _warnings(plan: _Plan, sizes: NDArray[np.int64], settings: Split) -> list[str]:
    said = [f"{lacking}: these rows are grouped without it" for lacking in plan.rows.lacking]
    largest = int(sizes.argmax())
    if sizes[largest] > max(2, LARGE_GROUP * len(plan.part)):
        said.append(
            f"{sizes[largest]:,} of {len(plan.part):,} rows are one group (the first is "
            f"{plan.rows.where(largest)}): the shares cannot be met well; is group_by right?"
        )
    apart = straddling(plan.part, plan.groups, plan.part < 0)
    if len(apart):
        places = ", ".join(plan.rows.where(int(at)) for at in apart[:SHOWN])
        said.append(
            f"{len(apart):,} groups lie in more than one part because earlier rows stay where "
            f"they were; their first rows: {places}"
        )
    return said
