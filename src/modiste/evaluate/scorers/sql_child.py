"""Runs two SQL queries on databases in memory and says whether they give the same: a program of its
own, started by `sql_match` through `sandbox`.

A request has `schema` (CREATE TABLE statements), `inserts` (or null: rows are made up by
`sql_rows`), `right`, `said`, `seed`, `fills`, `limit_s`. What it may do: the authorizer allows
reading only, no ATTACH, no PRAGMA, no extension; a query ends after its time, its rows and lengths
are limited, and memory is. It needs nothing but the standard library.
"""

from __future__ import annotations

import json
import os
import resource
import sqlite3
import sys
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from modiste.evaluate.scorers import sql_rows
else:  # run alone, it finds only what lies beside it
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
    import sql_rows

MOST_ROWS = 10_000
MOST_LENGTH = 1_000_000
MEMORY = 1 << 30
READING = {
    sqlite3.SQLITE_SELECT,
    sqlite3.SQLITE_READ,
    sqlite3.SQLITE_FUNCTION,
    sqlite3.SQLITE_RECURSIVE,
}
NO_FUNCTIONS = {"load_extension", "readfile", "writefile", "edit", "fts3_tokenizer"}
NOT_IN_SCHEMA = {
    sqlite3.SQLITE_ATTACH,
    sqlite3.SQLITE_DETACH,
    sqlite3.SQLITE_PRAGMA,
    sqlite3.SQLITE_CREATE_VTABLE,
}


class TooLong(Exception):
    """The query was stopped."""


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """`{"same": bool, "fills": n, "telling": bool}`, or `{"failed": …, "message": …}` where the
    right query, what was said or the schema does not run.

    `telling` is false where no fill made the right query return anything.
    """
    fills = 1 if request["inserts"] is not None else int(request["fills"])
    telling, seen = False, 0
    hints = sql_rows.hints(request["right"], request["said"])
    for fill in range(fills):
        try:
            database = filled(request, hints, fill)
        except sqlite3.Error as error:
            return {"failed": "schema", "message": str(error)}
        try:
            right = _tried(database, request, "right")
            said = _tried(database, request, "said") if "rows" in right else right
        finally:
            database.close()
        if "failed" in said:
            return said
        seen += 1
        if not same(right["rows"], said["rows"], ordered=bool(request["ordered"])):
            return {"same": False, "fills": seen, "telling": True, **shown(right, said)}
        telling = telling or tells(right["rows"])
    return {"same": True, "fills": seen, "telling": telling}


def filled(request: dict[str, Any], hints: dict[str, list[str]], fill: int) -> sqlite3.Connection:
    database = sqlite3.connect(":memory:", isolation_level=None)
    database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MOST_LENGTH)
    database.set_authorizer(_building)
    database.executescript(request["schema"])
    if request["inserts"] is not None:
        database.executescript(request["inserts"])
    else:
        database.set_authorizer(None)
        sql_rows.fill(database, hints, f"{request['seed']}:{fill}", fill)
    database.set_authorizer(_reading)
    return database


def _tried(database: sqlite3.Connection, request: dict[str, Any], which: str) -> dict[str, Any]:
    try:
        return {"rows": rows_of(database, request[which], float(request["limit_s"]))}
    except TooLong as error:
        return {"failed": which, "message": str(error), "late": True}
    except (sqlite3.Error, sqlite3.Warning, MemoryError, ValueError) as error:
        return {"failed": which, "message": str(error) or type(error).__name__}


def rows_of(database: sqlite3.Connection, query: str, limit_s: float) -> list[tuple[Any, ...]]:
    deadline = time.monotonic() + limit_s
    database.set_progress_handler(lambda: int(time.monotonic() > deadline), 5_000)
    try:
        rows = database.execute(query).fetchmany(MOST_ROWS + 1)
    except sqlite3.OperationalError as error:
        if str(error) == "interrupted":
            raise TooLong(f"stopped after {limit_s:g} s") from None
        raise
    finally:
        database.set_progress_handler(None, 0)
    if len(rows) > MOST_ROWS:
        raise TooLong(f"more than {MOST_ROWS} rows")
    return [tuple(map(plain, row)) for row in rows]


def plain(value: Any) -> Any:
    """A number to nine digits, as sums come out in another order; 1 and 1.0 are the same."""
    if isinstance(value, (int, float)):
        return float(f"{value:.9g}")
    return value


def same(right: list[tuple[Any, ...]], said: list[tuple[Any, ...]], *, ordered: bool) -> bool:
    return right == said if ordered else Counter(right) == Counter(said)


def tells(rows: list[tuple[Any, ...]]) -> bool:
    """Not nothing, and not the one row of an aggregate over nothing."""
    return bool(rows) and not (len(rows) == 1 and all(value in (None, 0.0) for value in rows[0]))


def shown(right: dict[str, Any], said: dict[str, Any]) -> dict[str, Any]:
    few = {"right_rows": right["rows"][:3], "said_rows": said["rows"][:3]}
    return {name: [[_short(v) for v in row] for row in rows] for name, rows in few.items()}


def _short(value: Any) -> Any:
    return value if isinstance(value, float) or value is None else str(value)[:80]


def _building(action: int, *_: Any) -> int:
    return sqlite3.SQLITE_DENY if action in NOT_IN_SCHEMA else sqlite3.SQLITE_OK


def _reading(action: int, _: str | None, name: str | None, *__: Any) -> int:
    if action == sqlite3.SQLITE_FUNCTION and (name or "").lower() in NO_FUNCTIONS:
        return sqlite3.SQLITE_DENY
    return sqlite3.SQLITE_OK if action in READING else sqlite3.SQLITE_DENY


def main() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
