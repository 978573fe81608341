"""The database: one way in, `with database.transaction() as tx`, on SQLite and on PostgreSQL.

Everything inside one `transaction` is written together or not at all, and is durable when the
block ends. A writing transaction takes SQLite's write lock at its first statement (BEGIN
IMMEDIATE), so it never fails half-way because somebody else wrote; on PostgreSQL rows that change
state are locked one by one (`Tx.lock`). Driver errors leave here translated: locked or unreachable
is Unavailable, no room is StorageFull, a damaged file is Corrupt, each with what to do.

Refuses: a database written by a newer Modiste.
"""

from __future__ import annotations

import sqlite3
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session, sessionmaker

from modiste.errors import Corrupt, InvalidInput, ModisteError, StorageFull, Unavailable
from modiste.settings import Settings
from modiste.store.blobs import Blobs
from modiste.store.tables import Base

Clock = Callable[[], datetime]
MOST_CONNECTIONS = 15
"""To SQLite, of one process."""
MIGRATION_LOCK = 0x6D6F6469
"""Advisory lock number on PostgreSQL: only one process migrates at a time."""


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass
class Tx:
    """One transaction in progress: everything an action needs to decide and to write."""

    session: Session
    settings: Settings
    blobs: Blobs
    clock: Clock | None
    _now: datetime | None = field(default=None, repr=False)

    def now(self) -> datetime:
        """The time of this transaction, UTC.

        On PostgreSQL it is the server's clock, so that leases do not depend on how well the
        clocks of several machines agree.
        """
        if self._now is None:
            if self.clock is not None:
                self._now = self.clock()
            elif self.session.get_bind().dialect.name == "postgresql":
                self._now = self.session.execute(
                    sa.select(sa.cast(sa.func.clock_timestamp(), sa.DateTime(timezone=True)))
                ).scalar_one()
            else:
                self._now = utc_now()
        return self._now.astimezone(UTC)

    def alone(self, what: str) -> None:
        """Until the end, nobody else is in a transaction that is alone with the same `what`.

        For rows that do not exist yet and so cannot be locked.
        """
        self.session.connection()  # On SQLite every writer is alone, once it has begun.
        if self.session.get_bind().dialect.name == "postgresql":
            self.session.execute(
                sa.select(sa.func.pg_advisory_xact_lock(zlib.crc32(what.encode())))
            )

    def lock(self, row: Base) -> None:
        """Read the row again and hold it until the end: decide about it after this."""
        self.session.flush()  # A refresh would throw away what this transaction changed in it.
        self.session.refresh(row, with_for_update=True)


class Database:
    """Connections to one database. Safe to share between threads, not between processes."""

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Clock | None = None,
        lock_timeout_s: float = 10.0,
    ) -> None:
        self.settings = settings
        self.clock = clock
        self.blobs = Blobs(settings.blobs, scratch=settings.cache_dir / "uploads")
        settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._engine = _connect(settings.database, lock_timeout_s)
        writer = self._engine.execution_options(modiste_write=True)
        self._writing = sessionmaker(writer, expire_on_commit=False)
        self._reading = sessionmaker(self._engine, expire_on_commit=False, autoflush=False)

    @property
    def dialect(self) -> str:
        return self._engine.dialect.name

    @contextmanager
    def transaction(self, *, write: bool = True) -> Iterator[Tx]:
        """Commit at the end of the block, roll back if it raises.

        With `write=False` nothing is ever written, and on SQLite nobody is kept waiting.

        Raises:
            Unavailable, StorageFull, Corrupt: what the driver said, and what to do about it.
            InvalidInput: a text that no database can hold (NUL, half a surrogate pair).
        """
        session = self._writing() if write else self._reading()
        try:
            yield Tx(session, self.settings, self.blobs, self.clock)
            if write:
                session.commit()
        except sa.exc.DBAPIError as error:
            raise _translated(error, self.settings) from error
        except UnicodeEncodeError as error:
            raise _not_text(str(error)) from error
        finally:
            _close_quietly(session)

    def migrate(self) -> None:
        """Bring the schema to this version, in one transaction and one process at a time."""
        from modiste.store.schema import upgrade

        try:
            with self._writing() as session:
                connection = session.connection()
                if self.dialect == "postgresql":
                    session.execute(sa.select(sa.func.pg_advisory_xact_lock(MIGRATION_LOCK)))
                upgrade(connection)
                session.commit()
        except sa.exc.DBAPIError as error:
            raise _translated(error, self.settings) from error

    def close(self) -> None:
        self._engine.dispose()


def _connect(url: str, lock_timeout_s: float) -> sa.Engine:
    """An engine whose transactions begin as `transaction` promises."""
    parsed = sa.engine.make_url(url)
    if parsed.get_backend_name() == "postgresql":
        if parsed.drivername == "postgresql":
            parsed = parsed.set(drivername="postgresql+psycopg")
        timeout_ms = int(lock_timeout_s * 1000)
        return sa.create_engine(
            parsed,
            pool_pre_ping=True,
            connect_args={
                "connect_timeout": max(2, int(lock_timeout_s)),
                "options": f"-c lock_timeout={timeout_ms} -c timezone=UTC",
            },
        )
    if parsed.database and parsed.database != ":memory:":
        path = Path(parsed.database)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with suppress(OSError):  # What is wrong with it, SQLite will say.
            path.touch(mode=0o600)
    # Kept, not opened for a peak: SQLite cannot close a file while others have it open.
    engine = sa.create_engine(
        parsed,
        pool_size=MOST_CONNECTIONS,
        max_overflow=0,
        connect_args={"timeout": lock_timeout_s},
    )
    sa.event.listen(engine, "connect", _prepare_sqlite)
    sa.event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(connection: sqlite3.Connection, _record: Any) -> None:
    connection.isolation_level = None  # We send BEGIN ourselves, in _begin_sqlite.
    _write_ahead(connection)
    # FULL: what was acknowledged survives a power cut too, not only a killed process.
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")


def _write_ahead(connection: sqlite3.Connection) -> None:
    """Switch the file to WAL once; SQLite does not wait for others here, so we do."""
    deadline = time.monotonic() + 10.0
    while connection.execute("PRAGMA journal_mode").fetchone()[0] not in ("wal", "memory"):
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def _begin_sqlite(connection: sa.Connection) -> None:
    write = connection.get_execution_options().get("modiste_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


def _close_quietly(session: Session) -> None:
    try:
        session.close()
    except sa.exc.DBAPIError:
        session.invalidate()  # The connection is broken: the error that broke it is the news.


def _translated(error: sa.exc.DBAPIError, settings: Settings) -> ModisteError | sa.exc.DBAPIError:
    """What a driver said, in words that tell a person what to do."""
    text = str(error.orig).strip()
    state = getattr(error.orig, "sqlstate", None) or ""
    lower = text.lower()
    if "disk is full" in lower or state == "53100":
        return StorageFull(
            f"The database has no room to write ({text}). Free space on the disk of "
            f"{_place(settings)}; nothing was changed, so simply try again afterwards."
        )
    if "is locked" in lower or state in ("55P03", "40P01", "40001"):
        return Unavailable(
            f"The database is locked by another process ({text}). Try again; if it lasts, look "
            f"for a program that holds {_place(settings)} open.",
            retry_after_s=1.0,
        )
    if "malformed" in lower or "not a database" in lower:
        return Corrupt(
            f"The database file is damaged ({text}). Stop Modiste, keep a copy of "
            f"{_place(settings)}, and restore a backup or run `sqlite3 modiste.db .recover`."
        )
    if "readonly" in lower or "unable to open" in lower or "disk i/o error" in lower:
        return Unavailable(
            f"The database cannot be used ({text}). Check that {_place(settings)} exists, is "
            "writable by this user and lies on a healthy disk.",
            retry_after_s=5.0,
        )
    if isinstance(error, sa.exc.DataError):
        return _not_text(text)
    if error.connection_invalidated or isinstance(error, sa.exc.OperationalError):
        return Unavailable(
            f"The database does not answer ({text}). Check that {_place(settings)} is up and "
            "that MODISTE_DATABASE_URL is right.",
            retry_after_s=2.0,
        )
    return error


def _not_text(what: str) -> InvalidInput:
    return InvalidInput(f"A value holds characters that cannot be stored: {what}. Remove them.")


def _place(settings: Settings) -> str:
    url = sa.engine.make_url(settings.database)
    if url.get_backend_name() == "sqlite":
        return str(url.database)
    return url.render_as_string(hide_password=True)
