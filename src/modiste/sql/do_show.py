"""SHOW and DESCRIBE: what is there, as clients and people ask for it."""

from __future__ import annotations

import asyncio
import fnmatch
import json
import re
from collections.abc import Awaitable, Callable

import pyarrow as pa
from sqlglot import exp

from modiste.actions import data_sources
from modiste.sql import catalog, computed, errors, local, mysql_catalog, names, pg_words, sources
from modiste.sql.metadata import Table, look_around
from modiste.sql.names import Names, SystemTable
from modiste.sql.result import Column, Row, Rows, rows, texts
from modiste.sql.session import Session
from modiste.sql.statements import Describe, Show
from modiste.types import Job, PredictorStatus, PredictorVersion

EMPTY = {
    "warnings": ("Level", "Code", "Message"),
    "errors": ("Level", "Code", "Message"),
    "triggers": ("Trigger",),
    "events": ("Db", "Name"),
    "plugins": ("Name", "Status"),
    "procedure status": ("Db", "Name"),
    "function status": ("Db", "Name"),
    "table status": ("Name", "Engine"),
    "keys": ("Table", "Key_name"),
    "index": ("Table", "Key_name"),
    "engines": ("Engine", "Support"),
    "status": ("Variable_name", "Value"),
    "processlist": ("Id", "User"),
}
"""What drivers and tools ask for and we have none of."""
PROGRESS = ("MODEL", "VERSION", "PHASE", "STEP", "TOTAL_STEPS", "TRAIN_LOSS", "SECONDS_LEFT", "JOB")


async def show(said: Show, session: Session) -> Rows:
    """Raises SqlError: nothing of this name can be shown."""
    what = re.sub(r"^(global|session|local|all) ", "", said.what)
    seen = await names.load(session)
    if what in ("models", "predictors", "views", "jobs"):
        return await _system(said, session, seen, what)
    if what in ("ml_engines", "handlers", "projects"):
        table = await catalog.table(session, seen, SystemTable(what, None))
        return await _filtered(said, table)
    if what in ("databases", "schemas"):
        told: list[Row] = [
            (name, kind, engine) for name, kind, engine, _ in catalog.databases(seen)
        ]
        width = 3 if said.full else 1
        return await _listed(said, ("Database", "TYPE", "ENGINE")[:width], told)
    if what == "finetune progress":
        return await _progress(said, session, seen)
    if what == "tables":
        return await _tables(said, session, seen)
    if what in ("columns", "fields"):
        return await _columns(said, session, seen)
    if what.startswith(("create table ", "create view ")):
        return await _create(session, seen, what)
    if what in ("variables", "parameters"):
        known = {**computed.VARIABLES, **session.variables}
        return await _listed(said, ("Variable_name", "Value"), [*sorted(known.items())])
    if what in ("character set", "charset"):
        columns = ("Charset", "Description", "Default collation", "Maxlen")
        return await _listed(said, columns, [("utf8mb4", "UTF-8", "utf8mb4_0900_ai_ci", "4")])
    if what == "collation":
        columns = ("Collation", "Charset", "Id", "Default")
        return await _listed(said, columns, [("utf8mb4_0900_ai_ci", "utf8mb4", "255", "Yes")])
    if what == "warnings":
        return texts(EMPTY[what], [("Note", "1003", note) for note in session.notes])
    if what in EMPTY:
        return texts(EMPTY[what], [])
    if session.dialect == "postgres" and what in pg_words.SETTINGS:
        set_to = session.variables.get(what, pg_words.SETTINGS[what])
        return texts((what.replace(" isolation level", "_isolation"),), [(set_to,)])
    if what in session.variables or what in computed.VARIABLES:
        return texts((what,), [(computed.variable(session, what),)])
    raise errors.unsupported(f"SHOW {said.what.upper()}")


async def _system(said: Show, session: Session, seen: Names, what: str) -> Rows:
    name = "models" if what == "predictors" else what
    project = said.source[0] if said.source else None
    if project is not None and project not in seen.projects:
        raise errors.no_database(project)
    table = await catalog.table(session, seen, SystemTable(name, project))
    return await _filtered(said, table)


async def _progress(said: Show, session: Session, seen: Names) -> Rows:
    """Every version of a project that is being made, and how far its job is."""
    project = said.source[0] if said.source else session.database
    if project not in seen.projects:
        raise errors.no_database(project)
    told: list[Row] = []
    for version in seen.versions:
        if version.project != project or version.status is not PredictorStatus.GENERATING:
            continue
        job = await catalog.job_of(session, version)
        done = None if job is None else job.progress
        figures: tuple[str | None, ...] = (None,) * 4
        if done is not None:
            loss, left = f"{done.train_loss:.4g}", f"{done.eta_s:.0f}"
            figures = (str(done.step), str(done.total_steps), loss, left)
        phase = await catalog.phase_of(session, version)
        told.append((version.name, str(version.version), phase, *figures, job and job.id))
    return await _listed(said, PROGRESS, told)


async def _tables(said: Show, session: Session, seen: Names) -> Rows:
    database = said.source[0] if said.source else session.database
    if not seen.is_database(database):
        raise errors.no_database(database)
    if seen.is_source(database):
        place, actor = session.place, session.caller
        found = await place.read(lambda tx: data_sources.opened(tx, actor, database))
        timeout = place.database.settings.sql_timeout_s
        there = await asyncio.to_thread(sources.tables, found, timeout)
        told: list[Row] = [(each.name, each.kind) for each in there]
    else:
        models = sorted({v.name for v in seen.versions if v.project == database})
        views = [view.name for view in seen.views if view.project == database]
        told = [(name, "BASE TABLE") for name in (*names.SYSTEM, *models)]
        told += [(name, "VIEW") for name in views]
    width = 2 if said.full else 1
    return await _listed(said, (f"Tables_in_{database}", "Table_type")[:width], told)


async def _columns(said: Show, session: Session, seen: Names) -> Rows:
    found = await _table_named(session, seen, said.source)
    held = [(each.name, mysql_catalog.TYPES[each.kind]) for each in found.columns]
    if said.full:
        full = ("Field", "Type", "Collation", "Null", "Key", "Default", "Extra", "Privileges",
                "Comment")  # fmt: skip
        rows_: list[Row] = [(*each, None, "YES", "", None, "", "select", "") for each in held]
        return await _listed(said, full, rows_)
    plain: list[Row] = [(*each, "YES", "", None, "") for each in held]
    return await _listed(said, ("Field", "Type", "Null", "Key", "Default", "Extra"), plain)


async def _create(session: Session, seen: Names, what: str) -> Rows:
    """As MySQL would write it; tools read columns from it."""
    kind, _, name = what.removeprefix("create ").partition(" ")
    path = tuple(part.strip(" `") for part in name.split("."))
    found = await _table_named(session, seen, tuple(part for part in path if part))
    inner = ",\n".join(
        f"  `{each.name}` {mysql_catalog.TYPES[each.kind]}" for each in found.columns
    )
    text = f"CREATE TABLE `{found.name}` (\n{inner}\n) ENGINE=modiste"
    return texts((kind.title(), f"Create {kind.title()}"), [(found.name, text)])


async def _table_named(session: Session, seen: Names, path: tuple[str, ...]) -> Table:
    """Raises SqlError: no such table."""
    if not path:
        raise errors.bad("Say of which table: SHOW COLUMNS FROM table.")
    schema = path[-2] if len(path) > 1 else seen.database
    around = await look_around(session, seen, {schema})
    for each in around.tables:
        if (each.schema, each.name) == (schema, path[-1]):
            return each
    raise errors.no_table(f"Table '{path[-1]}' not found in database: {schema}")


async def _listed(said: Show, columns: tuple[str, ...], told: list[Row]) -> Rows:
    cut = [row[: len(columns)] for row in told]
    arrays = [pa.array([row[at] for row in cut], pa.string()) for at in range(len(columns))]
    return await _filtered(said, pa.table(arrays, names=list(columns)))


async def _filtered(said: Show, table: pa.Table) -> Rows:
    """Under LIKE (of the first column) and WHERE."""
    if said.like is not None:
        pattern = re.sub(r"([*?\[])", r"[\1]", said.like).replace("%", "*").replace("_", "?")
        kept = [
            fnmatch.fnmatchcase(str(name).lower(), pattern.lower())
            for name in table.column(0).to_pylist()
        ]
        table = table.filter(pa.array(kept, pa.bool_()))
    if said.where is not None:
        asked = exp.select("*").from_("shown").where(said.where.copy())
        table = await asyncio.to_thread(local.run, asked.sql("duckdb"), {"shown": table})
    return local.rows(table)


async def describe(said: Describe, session: Session) -> Rows:
    """A model, a version, one of its sides (`args`, `metadata`, `training`), the columns of a
    source's table, or what else is there.

    Raises:
        SqlError: not there.
    """
    seen = await names.load(session)
    if said.what == "table":
        raise errors.unsupported("DESCRIBE TABLE")
    if said.what == "job":
        return await _one(session, seen, "jobs", said.name[-1], errors.no_table)
    if said.what in ("database", "project"):
        return await _one(session, seen, "databases", said.name[-1], errors.no_database)
    if said.what == "ml_engine":
        return await _one(session, seen, "ml_engines", said.name[-1], errors.no_table)
    if said.what == "view":
        return await _one(session, seen, "views", said.name[-1], errors.no_table)
    path, side = said.name, ""
    if seen.is_source(path[0] if len(path) > 1 else session.database):
        return await _columns(Show("columns", source=path), session, seen)
    if len(path) > 1 and path[-1] in SIDES:
        path, side = path[:-1], path[-1]
    named = seen.named(path)
    version = seen.model(named)
    if version is None:
        raise errors.no_table(f"Model does not exist: {named}")
    if side:
        return await SIDES[side](session, version)
    columns = [Column("TABLES", "json")] + [
        Column(name, "integer" if name in catalog.WHOLE else "text") for name in catalog.ANSWER
    ]
    told = (
        json.dumps(["args", "metadata", "training"]),
        *catalog.model_row(version, catalog.ANSWER),
    )
    return rows(columns, [told])


async def _one(
    session: Session, seen: Names, table: str, name: str, missing: Callable[[str], errors.SqlError]
) -> Rows:
    found = await catalog.table(session, seen, SystemTable(table, None))
    kept = found.filter(
        pa.array([each == name for each in found.column(0).to_pylist()], pa.bool_())
    )
    if kept.num_rows == 0:
        raise missing(name)
    return local.rows(kept)


async def _args(session: Session, version: PredictorVersion) -> Rows:
    told = [(key, _said(value)) for key, value in version.options.items()]
    return texts(("key", "value"), told)


async def _metadata(session: Session, version: PredictorVersion) -> Rows:
    name = str(version.options.get("model_name") or version.model)
    return texts(("model_name", "model_card"), [(name, f"/v1/models/{version.model}")])


async def _training(session: Session, version: PredictorVersion) -> Rows:
    """What became of the rows, and how far the job is."""
    job = await catalog.job_of(session, version)
    told: list[Row] = [
        (key, _said(value)) for key, value in version.training.items() if key != "phase"
    ]
    phase = await catalog.phase_of(session, version)
    told.append(("phase", phase or version.status.value))
    told += _of_job(job)
    if version.error is not None:
        told.append(("error", version.error))
    return texts(("key", "value"), told)


def _of_job(job: Job | None) -> list[Row]:
    if job is None:
        return []
    told: list[Row] = [("job_id", job.id), ("job_status", job.status.value)]
    if job.progress is not None:
        for key in ("step", "total_steps", "train_loss"):
            value = getattr(job.progress, key, None)
            if value is not None:
                told.append((key, _said(value)))
    if job.fine_tuned_model is not None:
        told.append(("model", job.fine_tuned_model))
    return told


def _said(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


SIDES: dict[str, Callable[[Session, PredictorVersion], Awaitable[Rows]]] = {
    "args": _args,
    "metadata": _metadata,
    "training": _training,
}
