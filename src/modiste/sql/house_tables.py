"""Tables of `information_schema` about what is kept beside models: runs of evaluations, datasets.

They are read through the actions, so a key sees its organisation's, and needs the scope that it
needs elsewhere. A run's figure stands with its n and its interval, or is NULL.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from modiste.actions import datasets, evaluations
from modiste.actions.pages import MAX_PAGE
from modiste.sql.result import Kind, Row
from modiste.store.database import Tx
from modiste.types import Actor, Dataset, DatasetVersion, EvalRun

LABELS: dict[str, tuple[str, ...]] = {
    "evals": ("ID", "SUITE", "SUBJECT", "MODEL", "STATUS", "METRIC", "VALUE", "LO", "HI", "LEVEL",
              "N", "UNSCORED", "TOTAL", "DONE", "FAILED", "CREATED_AT", "FINISHED_AT", "ERROR"),
    "datasets": ("NAME", "VERSION", "STATUS", "N_FILES", "N_ROWS", "DESCRIPTION", "CREATED_AT",
                 "FINISHED_AT", "ERROR"),
}  # fmt: skip
WHOLE = frozenset({"N", "UNSCORED", "TOTAL", "DONE", "FAILED", "VERSION", "N_FILES", "N_ROWS"})
REAL = frozenset({"VALUE", "LO", "HI", "LEVEL"})


def kind(column: str) -> Kind:
    return "integer" if column in WHOLE else "float" if column in REAL else "text"


def rows(tx: Tx, actor: Actor, name: str) -> list[Row]:
    """Newest first. Raises Forbidden: the key may not see them anywhere."""
    if name == "evals":
        return [_run(run) for run in _runs(tx, actor)]
    found = datasets.list_(tx, actor)
    return [_version(of, each) for of in found for each in of.versions]


def _runs(tx: Tx, actor: Actor) -> list[EvalRun]:
    found: list[EvalRun] = []
    while True:
        page = evaluations.list_(tx, actor, page=len(found) // MAX_PAGE, page_size=MAX_PAGE)
        found += page.items
        if not page.has_more:
            return found


def _run(run: EvalRun) -> Row:
    counts = run.counts
    return (
        run.id, run.suite, run.subject, run.model_id, run.status.value, *_figure(run),
        counts.total, counts.done, counts.failed, _time(run.created_at), _time(run.finished_at),
        None if run.error is None else run.error.message,
    )  # fmt: skip


def _figure(run: EvalRun) -> Row:
    """Of the metric that decides: its name, value, interval, n and what has no score."""
    primary = (run.record or {}).get("primary")
    for metric in run.metrics:
        if primary in (f"{metric['scorer']}.{metric['name']}", metric["scorer"]):
            return (primary, *_estimate(metric["estimate"]), metric["n_unscored"])
    return (primary, *_estimate(None), None)


def _estimate(found: Mapping[str, Any] | None) -> Row:
    if found is None:
        return None, None, None, None, 0
    ci = found["ci"]
    return found["value"], ci["lo"], ci["hi"], ci["level"], found["n"]


def _version(of: Dataset, each: DatasetVersion) -> Row:
    known = [file.n_rows for file in each.files if file.n_rows is not None]
    whole = bool(each.files) and len(known) == len(each.files)
    return (
        of.name, each.version, each.status.value, len(each.files), sum(known) if whole else None,
        of.description, _time(each.created_at), _time(each.finished_at),
        None if each.error is None else each.error.message,
    )  # fmt: skip


def _time(at: datetime | None) -> str | None:
    return None if at is None else at.strftime("%Y-%m-%d %H:%M:%S.%f")
