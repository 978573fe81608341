"""What a statement answers: rows that arrive in batches, or a word that it is done.

Values are plain Python, one type per kind: text and json are str (json as JSON text), integer int,
float float, boolean bool, timestamp datetime (without a zone it is UTC), bytes bytes; NULL is None.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

Kind = Literal["text", "integer", "float", "boolean", "timestamp", "json", "bytes"]
Row = tuple[object, ...]
BATCH_ROWS = 1000
T = TypeVar("T")


@dataclass(frozen=True)
class Column:
    name: str
    kind: Kind = "text"


@dataclass(frozen=True)
class Rows:
    """Read `batches` to their end or close them with `aclose()`: a source may be behind them."""

    columns: tuple[Column, ...]
    batches: AsyncGenerator[list[Row], None]


@dataclass(frozen=True)
class Done:
    """`tag` as PostgreSQL says it: `CREATE MODEL`, `INSERT 0 3`, `SET`."""

    tag: str
    affected: int = 0


Result = Rows | Done


async def begun(batches: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
    """The same, past its first batch, which is empty: closed from now on, it closes what it holds.

    A generator that was never begun runs nothing when it is closed.
    """
    await anext(batches)
    return batches


def rows(columns: Sequence[Column], values: Sequence[Row]) -> Rows:
    """Rows that are all here already."""

    async def batches() -> AsyncGenerator[list[Row], None]:
        for at in range(0, len(values), BATCH_ROWS):
            yield list(values[at : at + BATCH_ROWS])

    return Rows(tuple(columns), batches())


def texts(names: Sequence[str], values: Sequence[Row]) -> Rows:
    """As `rows`, of columns that are all text."""
    return rows([Column(name) for name in names], values)
