"""Errors of the SQL door: MySQL's number and PostgreSQL's SQLSTATE beside the message.

One function per kind; `translated` makes one of what an action refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from modiste.errors import (
    Busy,
    Conflict,
    Forbidden,
    ModisteError,
    NotFound,
    NotYetSupported,
    Unauthorized,
    Unavailable,
)


class SqlError(ModisteError):
    """A statement that cannot be done. `code` is MySQL's number, `sqlstate` PostgreSQL's five."""

    code: int  # type: ignore[assignment, misc]
    http_status = 400
    exit_code = 2

    def __init__(self, message: str, *, code: int = 1149, sqlstate: str = "42000") -> None:
        super().__init__(message, code=str(code))
        self.code = code
        self.sqlstate = sqlstate


def syntax(message: str, *, line: int, column: int) -> SqlError:
    """Both count from 1."""
    text = f"Unable to parse: {message} (line {line}, column {column})"
    return SqlError(text, code=1064, sqlstate="42601")


def bad(message: str) -> SqlError:
    """Well-formed, and cannot be done."""
    return SqlError(message, code=1149, sqlstate="42000")


def no_table(message: str) -> SqlError:
    """An unknown model, table or version."""
    return SqlError(message, code=1146, sqlstate="42P01")


def no_database(name: str) -> SqlError:
    return SqlError(f"Database does not exist: {name}", code=1049, sqlstate="3D000")


def database_exists(name: str) -> SqlError:
    return SqlError(f"Database already exists: {name}", code=1007, sqlstate="42P04")


def exists(message: str) -> SqlError:
    return SqlError(message, code=1050, sqlstate="42P07")


def no_column(message: str) -> SqlError:
    return SqlError(message, code=1054, sqlstate="42703")


def ambiguous(message: str) -> SqlError:
    return SqlError(message, code=1052, sqlstate="42702")


def denied(message: str) -> SqlError:
    return SqlError(message, code=1045, sqlstate="28P01")


def unsupported(what: str) -> SqlError:
    return SqlError(f"{what}: not supported yet.", code=1235, sqlstate="0A000")


def too_many_rows(n: int, most: int, *, counted: int) -> SqlError:
    """Of rows that a model would be asked for; they were counted up to so many."""
    found = f"{n:,}" if n <= counted else f"More than {counted:,}"
    wished = n if n <= counted else "as many as you mean"
    return bad(
        f"{found} rows would be asked, and {most:,} are allowed: add LIMIT, or USING max_rows = "
        f"{wished}."
    )


@contextmanager
def of_disk() -> Iterator[None]:
    """Says what a disk of this server said, without its paths. Raises SqlError."""
    try:
        yield
    except OSError as error:
        raise SqlError(
            f"The server's disk cannot hold the rows of this query ({error.strerror or error}): "
            "ask for fewer, or have room made there.",
            code=1021,
            sqlstate="53100",
        ) from None


def translated(error: ModisteError) -> SqlError:
    """What an action said, as this door says it."""
    if isinstance(error, SqlError):
        return error
    if isinstance(error, (Forbidden, Unauthorized)):
        return denied(error.message)
    if isinstance(error, NotFound):
        return no_table(error.message)
    if isinstance(error, Conflict):
        return exists(error.message)
    if isinstance(error, NotYetSupported):
        return SqlError(error.message, code=1235, sqlstate="0A000")
    if isinstance(error, Busy):
        return SqlError(error.message, code=1040, sqlstate="53300")
    if isinstance(error, Unavailable):
        return SqlError(error.message, code=1205, sqlstate="57P03")
    return bad(error.message)
