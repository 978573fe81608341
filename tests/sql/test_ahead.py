"""Rows read ahead: all of them, in order, on disk where they are many; an end for all that can."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from modiste.sql import ahead, errors
from modiste.sql.ahead import Ahead
from modiste.sql.local import Reading

SCHEMA = pa.schema([("n", pa.int64()), ("t", pa.string())])


class Source:
    """So many batches of 100 rows, then perhaps an error; knows whether it was let go."""

    def __init__(self, n_batches: int, *, error: Exception | None = None, width: int = 1) -> None:
        self.n_told, self.closed = 0, threading.Event()
        self._n, self._error, self._text = n_batches, error, "x" * width
        self.reading = Reading(SCHEMA, self._batches(), self.closed.set)

    def _batches(self) -> Iterator[pa.RecordBatch]:
        for at in range(self._n):
            self.n_told += 1
            rows = [{"n": n, "t": self._text} for n in range(at * 100, at * 100 + 100)]
            yield pa.RecordBatch.from_pylist(rows, SCHEMA)
        if self._error is not None:
            raise self._error


async def numbers(reading: Ahead) -> list[int]:
    found: list[int] = []
    while (batch := await reading.next()) is not None:
        assert batch.num_rows <= ahead.FRAME_ROWS
        found += batch.column(0).to_pylist()
    return found


def read(source: Source, folder: Path, most: int = 10**9) -> list[int]:
    async def work() -> list[int]:
        made = Ahead(source.reading, most, folder)
        try:
            return await numbers(made)
        finally:
            made.close()

    found = asyncio.run(work())
    assert source.closed.wait(30)
    return found


@pytest.mark.parametrize("in_memory", [0, 10_000, 10**9])
def test_all_rows_come_in_order_from_memory_and_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_memory: int
) -> None:
    monkeypatch.setattr(ahead, "IN_MEMORY_BYTES", in_memory)
    folder = tmp_path / "new"
    assert read(Source(20, width=50), folder) == list(range(2000))
    assert folder.exists() == (in_memory < 10**9), "few rows touch no disk"
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_rows_of_many_bytes_come_in_smaller_pieces(tmp_path: Path) -> None:
    async def work() -> None:
        made = Ahead(Source(1, width=100_000).reading, 10**9, tmp_path)
        first = await made.next()
        assert first is not None
        assert 0 < first.num_rows <= ahead.FRAME_BYTES // 100_000
        made.close()

    asyncio.run(work())


def test_a_source_does_not_wait_for_whoever_works_on_its_rows(tmp_path: Path) -> None:
    async def work() -> None:
        source = Source(50)
        made = Ahead(source.reading, 10**9, tmp_path)
        assert await asyncio.to_thread(source.closed.wait, 30), "it is let go with no row taken"
        assert len(await numbers(made)) == 5000
        made.close()

    asyncio.run(work())


def test_a_source_that_goes_away_is_told_after_the_rows_that_came(tmp_path: Path) -> None:
    async def work() -> None:
        made = Ahead(Source(3, error=errors.bad("gone")).reading, 10**9, tmp_path)
        await made.settled()
        assert [(await made.next()).column(0)[0].as_py() for _ in range(3)] == [0, 100, 200]  # type: ignore[union-attr]
        with pytest.raises(errors.SqlError, match="gone"):
            await made.next()
        made.close()

    asyncio.run(work())


def test_too_many_rows_are_counted_and_told_before_any_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refused(source: Source) -> str:
        made = Ahead(source.reading, 150, tmp_path)
        with pytest.raises(errors.SqlError) as told:
            await made.settled()
        assert made.over
        with pytest.raises(errors.SqlError, match="150 are allowed"):
            await made.next()
        made.close()
        return told.value.message

    assert asyncio.run(refused(Source(3))) == (
        "300 rows would be asked, and 150 are allowed: add LIMIT, or USING max_rows = 300."
    )
    monkeypatch.setattr(ahead, "COUNTED", 1000)
    endless = Source(10**9)
    assert "More than 1,000 rows would be asked" in asyncio.run(refused(endless))
    assert endless.n_told < 20


def test_closing_lets_an_endless_source_go(tmp_path: Path) -> None:
    async def work(source: Source) -> None:
        made = Ahead(source.reading, 10**9, tmp_path)
        await made.next()
        made.close()

    source = Source(10**9)
    asyncio.run(work(source))
    assert source.closed.wait(30)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_is_told_without_its_path_and_the_source_let_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ahead, "IN_MEMORY_BYTES", 0)
    monkeypatch.setattr(
        ahead.tempfile,
        "TemporaryFile",
        lambda dir: Path("/dev/full").open("w+b", buffering=0),  # noqa: SIM115 - closed by whoever holds it.
    )
    source = Source(3)
    with pytest.raises(errors.SqlError, match="No space left on device") as told:
        read(source, tmp_path)
    assert (told.value.code, told.value.sqlstate) == (1021, "53100")
    assert str(tmp_path) not in told.value.message
    assert source.closed.wait(30)
