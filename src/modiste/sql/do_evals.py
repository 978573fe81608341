"""EVALUATE and COMPARE: what answers are worth, and which of two models has the better ones.

A figure never stands without its n and its interval, and "insufficient evidence" is a verdict.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from modiste.actions import evaluations
from modiste.actions.keys import require
from modiste.evaluate import comparison, graded_rows
from modiste.evaluate.comparison import Comparison
from modiste.evaluate.differences import Difference
from modiste.evaluate.metric import Metric
from modiste.evaluate.record import Run
from modiste.sql import errors, graded, local, names, plan, predict
from modiste.sql.graded import ANSWER
from modiste.sql.grammar import statements
from modiste.sql.names import Names
from modiste.sql.query import Query, raw_table
from modiste.sql.result import Column, Rows, rows
from modiste.sql.session import Session
from modiste.sql.statements import Compare, Evaluate, Path, Raw, Select
from modiste.types import PredictorVersion, Scope

EVALUATED = (
    Column("METRIC"), Column("VALUE", "float"), Column("LO", "float"), Column("HI", "float"),
    Column("LEVEL", "float"), Column("N", "integer"), Column("UNSCORED", "integer"), Column("RUN"),
)  # fmt: skip
COMPARED = (
    Column("METRIC"), Column("A", "float"), Column("B", "float"), Column("DIFFERENCE", "float"),
    Column("LO", "float"), Column("HI", "float"), Column("LEVEL", "float"), Column("N", "integer"),
    Column("WON", "integer"), Column("TIED", "integer"), Column("LOST", "integer"),
    Column("UNSCORED_A", "integer"), Column("UNSCORED_B", "integer"), Column("VERDICT"),
    Column("SENTENCE"), Column("RUN_A"), Column("RUN_B"),
)  # fmt: skip
OURS = frozenset({"scorer", "metric", "delta"})
"""Of USING; the rest is for asking."""


async def evaluate(said: Evaluate, session: Session) -> Rows:
    """One figure of a query's columns `prediction` and `actual`.

    Raises:
        SqlError: no such metric or columns, or rows that it cannot grade.
    """
    require(session.caller, Scope.INFER)
    wanted = graded_rows.wanted(said.metric, said.using)
    query = _query(said.query, session)
    owner = graded.answered_by(query, await names.load(session))
    found = await graded.rows_of(
        await plan.select(query, session), needs=(graded_rows.RIGHT, ANSWER), statement="EVALUATE"
    )
    answers = [row.pop(ANSWER) for row in found]
    made = await graded.figures(wanted, found, answers)
    run = None
    if owner is None:
        session.notes.append(
            "Not kept as a run, which has one model: prediction is no model's own column here."
        )
    else:
        run = (await graded.kept(session, owner.version, made, owner.using)).id
    estimate = made.chosen.estimate
    session.notes += [*made.chosen.notes, *(estimate.notes if estimate is not None else ())]
    return rows(EVALUATED, [(*_figure(made.chosen), run)])


async def compare(said: Compare, session: Session) -> Rows:
    """Is B better than A: every figure that both have, the one that decides first.

    Raises:
        SqlError: versions that cannot answer, rows that cannot be graded, runs that cannot be
            compared.
    """
    require(session.caller, Scope.INFER)
    delta, metric = _delta(said.using), said.using.get("metric")
    if said.source is None:
        _refuse_asking(said.using)
        ids = (said.a[0], said.b[0])
    else:
        ids = await _asked(said, said.source, session)
    baseline, candidate = [await _run(session, each) for each in ids]
    found = await asyncio.to_thread(
        comparison.compare,
        baseline,
        candidate,
        metrics=() if metric is None else (str(metric),),
        delta=delta,
    )
    session.notes += [*found.notes, *(f"{s.metric} is not compared: {s.why}"
                                      for s in found.not_compared)]  # fmt: skip
    return rows(COMPARED, [_compared(found, each) for each in found.differences])


async def _asked(said: Compare, source: Raw, session: Session) -> tuple[str, str]:
    """Both versions answer every row; both runs are kept once all is graded. What can be told of
    scorer and rows is told before anybody is asked."""
    seen = await names.load(session)
    versions = [_version(seen, path) for path in (said.a, said.b)]
    for version in versions:
        predict.refuse_unready(version)
    wanted = _wanted(said.using)
    asking = {key: value for key, value in said.using.items() if key not in OURS}
    found = await graded.rows_of(
        await _source(source, session, seen), needs=(graded_rows.RIGHT,), statement="COMPARE"
    )
    await asyncio.to_thread(graded.refuse_unfit, wanted, found)
    inputs = [{name: row[name] for name in row if name != graded_rows.RIGHT} for row in found]
    made = []
    for version in versions:
        answers = await predict.answers(session, version, inputs, asking)
        made.append(await graded.figures(wanted, found, answers))
    group = str(uuid.uuid4())
    a, b = [
        (await graded.kept(session, version, figures, asking, group=group)).id
        for version, figures in zip(versions, made, strict=True)
    ]
    return a, b


def _query(text: str, session: Session) -> Select:
    found = statements(text, session.dialect)
    if len(found) != 1 or not isinstance(found[0], Select):
        raise errors.bad(f"Expected one query, found: {text:.80}")
    return found[0]


async def _source(raw: Raw, session: Session, seen: Names) -> Rows:
    if raw.database is None:
        return await plan.select(_query(raw.sql, session), session)
    if not (seen.is_source(raw.database) or raw.database in seen.projects):
        raise errors.no_database(raw.database)
    return local.rows(await raw_table(Query(session, seen, {}, {}, plan.table_of), raw))


def _version(seen: Names, path: Path) -> PredictorVersion:
    named = seen.named(path)
    found = seen.model(named)
    if found is None:
        raise errors.no_table(f"Model does not exist: {named}")
    return found


def _wanted(using: Mapping[str, object]) -> graded_rows.Wanted:
    """`scorer` is a name, or an object with options, as in a suite; `metric` one of its figures."""
    said = using.get("scorer", "exact")
    options: dict[str, Any] = dict(said) if isinstance(said, Mapping) else {}
    kind = options.pop("kind", None) if isinstance(said, Mapping) else said
    if kind is None:
        raise errors.bad("scorer has no kind: USING scorer = {'kind': 'numeric', 'abs': 0.1}")
    wanted = graded_rows.wanted(str(kind), options)
    scorer, _, figure = str(using.get("metric", wanted.scorer.name)).partition(".")
    if scorer != wanted.scorer.name:
        raise errors.bad(
            f"metric is {using['metric']!r}, and the scorer is {wanted.scorer.name}: name that in "
            "USING scorer = '...', too."
        )
    return graded_rows.Wanted(wanted.scorer, figure or wanted.figure)


async def _run(session: Session, run_id: str) -> Run:
    return await session.place.read(lambda tx: evaluations.load(tx, session.caller, run_id))


def _refuse_asking(using: Mapping[str, object]) -> None:
    if wrong := sorted(set(using) - {"metric", "delta"}):
        raise errors.bad(
            f"USING: {', '.join(wrong)} is nothing that two runs are compared by, only metric and "
            "delta; their answers are there already."
        )


def _delta(using: Mapping[str, object]) -> float | None:
    value = using.get("delta")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value <= 0:
        raise errors.bad(f"delta is {value!r}, expected a number above 0")
    return float(value)


def _figure(metric: Metric) -> Sequence[object]:
    found = metric.estimate
    if found is None:
        return metric.id, None, None, None, None, 0, metric.n_unscored
    ci = found.ci
    return metric.id, found.value, ci.lo, ci.hi, ci.level, found.n, metric.n_unscored


def _compared(found: Comparison, each: Difference) -> tuple[object, ...]:
    made = each.estimate
    ends = (None,) * 4 if made is None else (made.value, made.ci.lo, made.ci.hi, made.ci.level)
    return (
        each.name, each.baseline, each.candidate, *ends, 0 if made is None else made.n,
        each.wins, each.ties, each.losses, each.baseline_unscored.n, each.candidate_unscored.n,
        str(each.verdict), each.decision.sentence, found.baseline.run_id, found.candidate.run_id,
    )  # fmt: skip
