"""Data sources: databases and files that SQL reads, kept with sealed credentials.

Only an admin says what may be read, since the server connects to it; then every key with scope
`data` reads it. Who writes into it is said by its parameter `writers`: admins (the default), every
key with scope `data`, or none. What a source is asked with lies sealed in its row and leaves only
through `opened` and `writable`; everything that is shown has secrets blotted out.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import sqlalchemy as sa

from modiste.actions.keys import require
from modiste.actions.projects import refuse_taken
from modiste.errors import Forbidden, InvalidInput, NotFound
from modiste.settings import Settings
from modiste.store import sealed
from modiste.store.database import Tx
from modiste.store.sql_tables import SqlSourceRow
from modiste.types import Actor, DataSource, Scope

SECRET = re.compile(r"api_?key|password|passwd|token|secret", re.IGNORECASE)
BLOT = "******"


class _Engine(NamedTuple):
    required: tuple[str, ...]
    optional: tuple[str, ...] = ()


SERVER = _Engine(("host", "user", "database"), ("password", "port", "writers"))
STORE = _Engine(("path",), ("writers",))
FILE = _Engine(("path",))
WRITERS = {"admin": Scope.ADMIN, "data": Scope.DATA, "none": None}
"""Who may write, and which scope that takes."""
ENGINES: dict[str, _Engine] = {
    "postgres": _Engine(SERVER.required, (*SERVER.optional, "schema", "sslmode")),
    "mysql": SERVER,
    "sqlite": STORE,
    "duckdb": STORE,
    "csv": FILE,
    "parquet": FILE,
    "jsonl": FILE,
}
SAME = {"postgresql": "postgres", "mariadb": "mysql", "jsonlines": "jsonl"}
FILE_NAMES = ("db_file", "file", "database")
"""What `path` is called elsewhere."""


class Opened(NamedTuple):
    """A source with all that is needed to connect: not to be shown."""

    name: str
    engine: str
    parameters: dict[str, Any]


def checked(
    settings: Settings, actor: Actor, name: str, engine: str, given: Mapping[str, Any]
) -> Opened:
    """What a statement describes, before anybody connects.

    Raises:
        InvalidInput: everything that is wrong with it.
        Forbidden: not an admin, or a host or file that the settings do not permit.
    """
    require(actor, Scope.ADMIN)
    engine = SAME.get(engine, engine)
    kind = ENGINES.get(engine)
    if kind is None:
        raise InvalidInput(
            f"engine is {engine!r}, expected one of {', '.join(sorted(ENGINES))}", param="engine"
        )
    parameters = dict(given)
    if kind in (FILE, STORE):
        parameters = {"path" if key in FILE_NAMES else key: v for key, v in given.items()}
    known = (*kind.required, *kind.optional)
    wrong = [_unknown(key, known) for key in parameters if key not in known]
    wrong += [f"{key} is missing" for key in kind.required if parameters.get(key) in (None, "")]
    port = parameters.get("port")
    if port is not None and not (str(port).isdigit() and 0 < int(port) < 65536):
        wrong.append(f"port is {port!r}, expected 1 to 65535")
    writers = parameters.get("writers", "admin")
    if "writers" in known and writers not in WRITERS:
        wrong.append(f"writers is {writers!r}, expected {', '.join(WRITERS)}")
    if wrong:
        raise InvalidInput(f"PARAMETERS of {name}: {'; '.join(wrong)}.", param="parameters")
    if kind in (FILE, STORE):
        parameters["path"] = _permitted_file(settings, str(parameters["path"]))
    elif settings.sql_hosts and parameters["host"] not in settings.sql_hosts:
        raise Forbidden(
            f"{parameters['host']} is not among the hosts that SQL may read (sql_hosts of the "
            "settings)."
        )
    return Opened(name, engine, parameters)


def add(tx: Tx, actor: Actor, source: Opened) -> DataSource:
    """Keep a source that was `checked` and answered.

    Raises:
        Conflict: the name is taken.
    """
    require(actor, Scope.ADMIN)
    refuse_taken(tx, actor, source.name)
    row = SqlSourceRow(
        org=actor.org,
        name=source.name,
        engine=source.engine,
        parameters=shown(source.parameters),
        sealed=sealed.seal(tx.settings, json.dumps(source.parameters)),
        created_at=tx.now(),
        created_by=actor.key_id,
    )
    tx.session.add(row)
    tx.session.flush()
    return row.noun()


def change(tx: Tx, actor: Actor, source: Opened) -> DataSource:
    """Ask it with other parameters from now on."""
    require(actor, Scope.ADMIN)
    row = _row(tx, actor, source.name)
    row.engine, row.parameters = source.engine, shown(source.parameters)
    row.sealed = sealed.seal(tx.settings, json.dumps(source.parameters))
    return row.noun()


def list_(tx: Tx, actor: Actor) -> tuple[DataSource, ...]:
    query = sa.select(SqlSourceRow).where(SqlSourceRow.org == actor.org)
    return tuple(row.noun() for row in tx.session.scalars(query.order_by(SqlSourceRow.name)))


def get(tx: Tx, actor: Actor, name: str) -> DataSource:
    return _row(tx, actor, name).noun()


def opened(tx: Tx, actor: Actor, name: str) -> Opened:
    """For whoever connects.

    Raises:
        Forbidden: the key may not read data. NotFound: no such source.
    """
    require(actor, Scope.DATA)
    row = _row(tx, actor, name)
    return Opened(row.name, row.engine, json.loads(sealed.opened(tx.settings, row.sealed)))


def writable(tx: Tx, actor: Actor, name: str) -> Opened:
    """For whoever connects to write.

    Raises:
        Forbidden: the key may not write there, or nobody may. NotFound: no such source.
    """
    source = opened(tx, actor, name)
    scope = WRITERS[source.parameters.get("writers", "admin")]
    if scope is None:
        raise Forbidden(
            f"{name} is only read: writers is 'none' in its PARAMETERS. An admin may ALTER "
            f"DATABASE {name} PARAMETERS = {{'writers': 'admin'}}."
        )
    if not actor.may(scope):
        raise Forbidden(
            f"Into {name} only admins write, and this key has {', '.join(sorted(actor.scopes))}. "
            f"An admin may ALTER DATABASE {name} PARAMETERS = {{'writers': 'data'}}."
        )
    return source


def drop(tx: Tx, actor: Actor, name: str) -> DataSource:
    """Its rows stay where they are; only the way to them goes."""
    require(actor, Scope.ADMIN)
    row = _row(tx, actor, name)
    tx.session.delete(row)
    tx.session.flush()
    return row.noun()


def shown(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """With secrets blotted out, at any depth."""
    return {
        key: BLOT if SECRET.search(key) and value else _shown(value)
        for key, value in parameters.items()
    }


def _shown(value: Any) -> Any:
    if isinstance(value, Mapping):
        return shown(value)
    return [_shown(each) for each in value] if isinstance(value, list) else value


def _permitted_file(settings: Settings, path: str) -> str:
    root = settings.sql_files
    found = (root / Path(path).expanduser()).resolve()
    if not found.is_relative_to(root):
        raise Forbidden(
            f"{path} does not lie in {root}, whose files SQL may read (sql_dir of the settings)."
        )
    return str(found)


def _unknown(key: str, known: tuple[str, ...]) -> str:
    near = difflib.get_close_matches(key, known, n=1)
    return f"{key} is unknown" + (f", did you mean {near[0]}?" if near else "")


def _row(tx: Tx, actor: Actor, name: str) -> SqlSourceRow:
    row = tx.session.get(SqlSourceRow, (actor.org, name))
    if row is None:
        raise NotFound(f"Database does not exist: {name}", code="database_not_found")
    return row
