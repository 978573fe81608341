"""Replies of judges as a file of this machine's cache, which may be deleted at any time.

Several evaluations read and write it at once. It is a cache and no record: what a run rests on is
in its samples. Replies are forgotten after a month, for a hosted judge may change behind its name.
"""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from modiste.evaluate.aside import Aside

T = TypeVar("T")
log = logging.getLogger(__name__)
NAME = "judge-replies.db"
KEEP_S = 30 * 24 * 3600.0
WAIT_S = 10.0
TABLE = """CREATE TABLE IF NOT EXISTS replies
    (key TEXT PRIMARY KEY, said_at REAL NOT NULL, reply BLOB NOT NULL) WITHOUT ROWID"""


class JudgeReplies:
    """`evaluate.judges.kept.Replies` in SQLite; close it. A file that cannot be used is told in the
    log, and judges are asked."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / NAME
        self._aside = Aside()
        self._file: sqlite3.Connection | None = None
        self._broken = False

    async def get(self, key: str) -> bytes | None:
        return await self._aside.do(lambda: self._tried(lambda file: _read(file, key)))

    async def put(self, key: str, reply: bytes) -> None:
        await self._aside.do(lambda: self._tried(lambda file: _write(file, key, reply)))

    def close(self) -> None:
        self._aside.close()
        if self._file is not None:
            self._file.close()
            self._file = None

    def _tried(self, work: Callable[[sqlite3.Connection], T]) -> T | None:
        if self._broken:
            return None
        try:
            self._file = self._file or _opened(self._path)
            return work(self._file)
        except sqlite3.Error as error:
            self._broken = True
            log.warning("%s is not used: %s; delete it if that stays so", self._path, error)
            return None


def _opened(path: Path) -> sqlite3.Connection:
    """With what is too old gone."""
    file = sqlite3.connect(path, timeout=WAIT_S, isolation_level=None, check_same_thread=False)
    path.chmod(0o600)
    file.execute("PRAGMA journal_mode=WAL")
    file.execute("PRAGMA synchronous=OFF")
    file.execute(TABLE)
    file.execute("DELETE FROM replies WHERE said_at < ?", (time.time() - KEEP_S,))
    return file


def _read(file: sqlite3.Connection, key: str) -> bytes | None:
    row = file.execute("SELECT reply FROM replies WHERE key = ?", (key,)).fetchone()
    return None if row is None else bytes(row[0])


def _write(file: sqlite3.Connection, key: str, reply: bytes) -> None:
    told = (key, time.time(), reply)
    file.execute("INSERT OR REPLACE INTO replies VALUES (?, ?, ?)", told)
