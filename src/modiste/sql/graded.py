"""Rows of a query that become runs: whose answers they hold, how these came to be, what is kept.

A run says which model answered. So the answers that a statement itself asks a version for are kept,
and those of a query are where its column is that version's own; anything else has figures, and no
run. All such runs are kept as imported ones: whoever writes the query chooses what is right, and a
gate counts them where it says `allow_imported`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sqlglot import exp

from modiste import __version__
from modiste.actions import eval_imports
from modiste.actions.eval_imports import Graded
from modiste.evaluate import graded_rows
from modiste.evaluate.dataset import sha256_of
from modiste.evaluate.imported import MOST_SAMPLES, Imported, ImportedScorer
from modiste.evaluate.items import Sample
from modiste.evaluate.metric import Metric
from modiste.evaluate.scorer import Scorer
from modiste.sql import errors, predict
from modiste.sql.names import Names
from modiste.sql.query import constant, is_constant
from modiste.sql.result import Rows
from modiste.sql.session import Session
from modiste.sql.statements import Select
from modiste.types import EvalRun, PredictorVersion

ANSWER = "prediction"
SHAPE = (
    "prompt_template", "question_column", "context_column", "user_column", "assistant_column",
    "prompt", "mode",
)  # fmt: skip
"""Options that prompts depend on; the others sample."""
DEFAULTS: Mapping[str, Any] = {"temperature": 0.0, "max_tokens": predict.MAX_TOKENS, "top_p": 1.0}
Row = dict[str, Any]


class Owner(NamedTuple):
    """The version whose answers a query holds."""

    version: PredictorVersion
    using: Mapping[str, object]
    """What the query says to it."""


class Figures(NamedTuple):
    scorer: Scorer
    """As it is for these rows."""
    samples: Sequence[Sample]
    metrics: tuple[Metric, ...]
    chosen: Metric


async def rows_of(found: Rows, *, needs: Sequence[str], statement: str) -> list[Row]:
    """All rows by lower-case names.

    Raises:
        SqlError: a column is missing or comes twice, there are no rows, or too many.
    """
    names = [column.name.lower() for column in found.columns]
    try:
        if missing := [name for name in needs if name not in names]:
            raise errors.no_column(
                f"{statement} reads column {' and '.join(missing)}, and the query has "
                f"{', '.join(names)}: SELECT ... AS {missing[0]}"
            )
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise errors.ambiguous(f"The query has two columns {twice[0]}; name one otherwise.")
        rows: list[Row] = []
        async for batch in found.batches:
            rows += [dict(zip(names, row, strict=True)) for row in batch]
            if len(rows) > MOST_SAMPLES:
                raise errors.bad(
                    f"The query has more than {MOST_SAMPLES:,} rows, and so many are graded at "
                    "most: add LIMIT."
                )
    finally:
        await found.batches.aclose()
    if not rows:
        raise errors.bad(f"The query has no rows; {statement} needs some.")
    return rows


def refuse_unfit(wanted: graded_rows.Wanted, rows: Sequence[Row]) -> None:
    """Raises InvalidInput: whatever is answered, these rows cannot be graded so."""
    wanted.scorer.fitted(graded_rows.items_of(rows))


async def figures(
    wanted: graded_rows.Wanted, rows: Sequence[Row], answers: Sequence[object]
) -> Figures:
    """Raises InvalidInput: these rows cannot be graded so."""
    items = await asyncio.to_thread(graded_rows.items_of, rows)
    scorer, samples = await graded_rows.samples_of(wanted.scorer, items, answers)
    made = await asyncio.to_thread(scorer.metrics, samples)
    metrics = tuple(metric.told for metric in made)
    return Figures(scorer, samples, metrics, graded_rows.chosen(metrics, wanted.figure))


async def kept(
    session: Session,
    version: PredictorVersion,
    found: Figures,
    using: Mapping[str, object],
    *,
    group: str | None = None,
) -> EvalRun:
    """The run of a version whose answers these are, durable."""
    told = await asyncio.to_thread(_told, version, found, using)
    graded = Graded(
        told, found.samples, found.metrics, found.chosen.id,
        {found.scorer.name: found.scorer.identity}, version.label,
    )  # fmt: skip
    place = session.place
    return await asyncio.to_thread(
        eval_imports.keep, place.database, session.caller, graded, group=group
    )


def answered_by(said: Select, seen: Names) -> Owner | None:
    """The version whose own column `prediction` is; None where it is anything else."""
    if not isinstance(said.tree, exp.Select):
        return None
    columns = [each for each in said.tree.expressions if each.alias_or_name.lower() == ANSWER]
    column = columns[0].unalias() if len(columns) == 1 else None
    if not isinstance(column, exp.Column):
        return None
    found = [
        (alias, version)
        for alias, version in _versions(said, seen)
        if column.table.lower() in ("", alias) and column.name.lower() == version.predict.lower()
    ]
    if len(found) != 1:
        return None
    alias, version = found[0]
    return Owner(version, {**_wished(said.tree, alias), **_using(said, alias)})


def _wished(tree: exp.Select, alias: str) -> dict[str, object]:
    """`max_tokens = 9` in a condition is said to the model, too."""
    return {
        each.left.name.lower(): constant(each.right)
        for each in tree.find_all(exp.EQ)
        if isinstance(each.left, exp.Column)
        and each.left.name.lower() in predict.SETTABLE
        and each.left.table.lower() in ("", alias)
        and is_constant(each.right)
    }


def _using(said: Select, alias: str) -> dict[str, object]:
    found = {}
    for key, value in said.using.items():
        of, _, name = key.rpartition(".")
        if of.lower() in ("", alias):
            found[name] = value
    return found


def _versions(said: Select, seen: Names) -> list[tuple[str, PredictorVersion]]:
    """Versions in FROM and JOIN by the names that they have there."""
    source, joins = said.tree.args.get("from_"), said.tree.args.get("joins") or []
    nodes = [] if source is None else [source.this, *(join.this for join in joins)]
    own = {cte.alias for cte in said.tree.find_all(exp.CTE)} | set(said.raws)
    found = []
    for node in nodes:
        if not isinstance(node, exp.Table) or not isinstance(node.this, exp.Identifier):
            continue
        if not node.db and node.name in own:
            continue
        parts = node.parts
        path = tuple(p.name if p.args.get("quoted") else p.name.lower() for p in parts)
        target = seen.target(path)
        if isinstance(target, PredictorVersion):
            alias = node.alias_or_name
            alias = parts[-2].name if alias.isdigit() and len(parts) > 1 else alias
            found.append((alias.lower(), target))
    return found


def _told(version: PredictorVersion, found: Figures, using: Mapping[str, object]) -> Imported:
    items = [sample.item for sample in found.samples]
    options = {**DEFAULTS, **version.options, **using}
    asked = {key: value for key, value in options.items() if key in predict.SETTABLE}
    shape = {key: options[key] for key in SHAPE if options.get(key) is not None}
    return Imported(
        suite=f"sql-{sha256_of(items)[:12]}",
        model=str(version.model),
        harness="SQL",
        harness_version=__version__,
        chat_template=True,
        flags={key: value for key, value in asked.items() if key not in SHAPE},
        prompt=shape,
        scorers=(
            ImportedScorer(
                name=found.scorer.name,
                config=found.scorer.config,
                higher_is_better=found.chosen.higher_is_better,
            ),
        ),
    )
