"""The tables that say what is there: models in versions, engines, databases, views, jobs, and what
`house_tables` knows.

Labels and order are those that scripts for MindsDB expect; `models` has every version, with 19
columns, `models_versions` the same in 16. Nothing in here holds a secret.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime

import pyarrow as pa

from modiste import __version__
from modiste.actions import data_sources, jobs, projects, sql_jobs
from modiste.errors import ModisteError
from modiste.sql import errors, house_tables
from modiste.sql.names import HOUSE, SYSTEM_DATABASES, Names, SystemTable
from modiste.sql.result import Kind
from modiste.sql.session import Session
from modiste.store.database import Tx
from modiste.types import Job, PredictorStatus, PredictorVersion, SqlEngine

ANSWER = (
    "NAME", "ENGINE", "PROJECT", "ACTIVE", "VERSION", "STATUS", "ACCURACY", "PREDICT",
    "UPDATE_STATUS", "MINDSDB_VERSION", "ERROR", "SELECT_DATA_QUERY", "TRAINING_OPTIONS", "TAG",
)  # fmt: skip
"""What statements about one model answer with."""
MODELS = (
    *ANSWER[:13], "CURRENT_TRAINING_PHASE", "TOTAL_TRAINING_PHASES", "TRAINING_PHASE_NAME", "TAG",
    "CREATED_AT", "TRAINING_TIME",
)  # fmt: skip
VERSIONS = (*ANSWER[:13], "TAG", "CREATED_AT", "TRAINING_TIME")
WHOLE = frozenset({"ACTIVE", "VERSION", "CURRENT_TRAINING_PHASE", "TOTAL_TRAINING_PHASES"})
REAL = frozenset({"ACCURACY", "TRAINING_TIME"})
LABELS = {
    "models": MODELS,
    "models_versions": VERSIONS,
    "ml_engines": ("NAME", "HANDLER", "CONNECTION_DATA"),
    "handlers": ("NAME", "TYPE", "TITLE", "DESCRIPTION", "VERSION", "CONNECTION_ARGS",
                 "IMPORT_SUCCESS", "IMPORT_ERROR"),
    "databases": ("NAME", "TYPE", "ENGINE", "CONNECTION_DATA"),
    "projects": ("NAME",),
    "views": ("NAME", "PROJECT", "QUERY"),
    "jobs": ("NAME", "PROJECT", "START_AT", "END_AT", "NEXT_RUN_AT", "SCHEDULE_STR", "QUERY",
             "IF_QUERY", "VARIABLES"),
    "jobs_history": ("NAME", "PROJECT", "RUN_START", "RUN_END", "ERROR", "QUERY"),
    **house_tables.LABELS,
}  # fmt: skip
PHASES = ("preparing data", "queued", "validating", "training")
BUSY = {"QUEUED": "queued", "VALIDATING": "validating", "VALIDATED": "queued"}


async def table(session: Session, names: Names, target: SystemTable) -> pa.Table:
    """
    Raises:
        SqlError: no such table.
    """
    if target.name in ("models", "models_versions"):
        wanted = [v for v in names.versions if target.project in (None, v.project)]
        phases = await _phases(session, wanted)
        labels = LABELS[target.name]
        rows = [model_row(v, labels, phases.get(v.label)) for v in wanted]
        return _table(target.name, rows)
    if target.name == "ml_engines":
        found = await session.place.read(lambda tx: projects.engines(tx, session.caller))
        return _table(target.name, [_engine(each) for each in found])
    if target.name == "handlers":
        told: list[tuple[object, ...]] = [
            (name, "ml", name, said, __version__, None, "true", None)
            for name, said in projects.HANDLERS.items()
        ]
        told += [
            (name, "data", name, "Read by SQL", __version__,
             json.dumps([*engine.required, *engine.optional]), "true", None)
            for name, engine in data_sources.ENGINES.items()
        ]  # fmt: skip
        return _table(target.name, told)
    if target.name == "databases":
        return _table(target.name, databases(names))
    if target.name == "projects":
        return _table(target.name, [(name,) for name in names.projects])
    if target.name == "views":
        kept = [view for view in names.views if target.project in (None, view.project)]
        return _table(target.name, [(v.name, v.project, v.query) for v in kept])
    if target.name in ("jobs", "jobs_history"):
        return await _jobs(session, target)
    if target.name in HOUSE:
        actor, name = session.caller, target.name
        told = await session.place.read(lambda tx: house_tables.rows(tx, actor, name))
        return _table(name, told)
    raise errors.no_table(f"Table '{target.name}' not found")


async def _jobs(session: Session, target: SystemTable) -> pa.Table:
    """Those to come, or the runs that were."""
    actor = session.caller
    if target.name == "jobs":
        found = await session.place.read(lambda tx: sql_jobs.list_(tx, actor))
        return _table(target.name, [
            (job.name, job.project, _time(job.start_at), _time(job.end_at), _time(job.next_run_at),
             sql_jobs.every_text(job.every), job.query, job.if_query, None)
            for job in found if target.project in (None, job.project)
        ])  # fmt: skip
    runs = await session.place.read(lambda tx: sql_jobs.history(tx, actor))
    return _table(target.name, [
        (run.name, run.project, _time(run.run_start), _time(run.run_end), run.error, run.query)
        for run in runs if target.project in (None, run.project)
    ])  # fmt: skip


def _time(at: datetime | None) -> str | None:
    return None if at is None else at.strftime("%Y-%m-%d %H:%M:%S.%f")


def databases(names: Names) -> list[tuple[object, ...]]:
    system = [(name, "system", None, None) for name in SYSTEM_DATABASES]
    ours = [(name, "project", "modiste", None) for name in names.projects]
    data = [
        (source.name, "data", source.engine, json.dumps(dict(source.parameters)))
        for source in names.sources
    ]
    return [*system, *ours, *data]


def model_row(
    version: PredictorVersion, columns: Sequence[str], phase: str | None = None
) -> tuple[object, ...]:
    """One version under these labels."""
    taken = None
    if version.finished_at is not None:
        taken = round((version.finished_at - version.created_at).total_seconds(), 3)
    at = PHASES.index(phase) + 1 if phase in PHASES else None
    told: dict[str, object] = {
        "NAME": version.name,
        "ENGINE": version.engine,
        "PROJECT": version.project,
        "ACTIVE": int(version.active),
        "VERSION": version.version,
        "STATUS": version.status.value,
        "ACCURACY": None,
        "PREDICT": version.predict,
        "UPDATE_STATUS": "up_to_date",
        "MINDSDB_VERSION": __version__,
        "ERROR": version.error,
        "SELECT_DATA_QUERY": version.query,
        "TRAINING_OPTIONS": json.dumps({"using": dict(version.options)}, ensure_ascii=False),
        "TAG": version.tag,
        "CURRENT_TRAINING_PHASE": at,
        "TOTAL_TRAINING_PHASES": None if at is None else len(PHASES),
        "TRAINING_PHASE_NAME": phase,
        "CREATED_AT": _time(version.created_at),
        "TRAINING_TIME": taken,
    }
    return tuple(told[name] for name in columns)


async def job_of(session: Session, version: PredictorVersion) -> Job | None:
    """None where there is none, or this key may not see it."""
    job_id = version.job_id
    if job_id is None:
        return None

    def look(tx: Tx) -> Job | None:
        try:
            return jobs.get(tx, session.caller, job_id)
        except ModisteError:
            return None

    return await session.place.read(look)


async def phase_of(session: Session, version: PredictorVersion) -> str | None:
    """What is done for a version now; None where nothing is."""
    if version.status is not PredictorStatus.GENERATING:
        return None
    job = await job_of(session, version)
    if job is None:
        return str(version.training.get("phase") or PHASES[0])
    return BUSY.get(job.status.value, "training")


async def _phases(session: Session, versions: Sequence[PredictorVersion]) -> dict[str, str | None]:
    busy = [v for v in versions if v.status is PredictorStatus.GENERATING]
    return {version.label: await phase_of(session, version) for version in busy}


def _engine(engine: SqlEngine) -> tuple[object, ...]:
    return engine.name, engine.handler, json.dumps(dict(engine.parameters))


def kind(table_name: str, column: str) -> Kind:
    """All is text, but for the numbers of models, runs and datasets."""
    if table_name in HOUSE:
        return house_tables.kind(column)
    if table_name in ("models", "models_versions"):
        return "integer" if column in WHOLE else "float" if column in REAL else "text"
    return "text"


def _table(name: str, rows: Sequence[tuple[object, ...]]) -> pa.Table:
    types = {"integer": pa.int64(), "float": pa.float64(), "text": pa.string()}
    arrays = [
        pa.array([row[at] for row in rows], types[kind(name, column)])
        for at, column in enumerate(LABELS[name])
    ]
    return pa.table(arrays, names=list(LABELS[name]))
