"""SQL's own cost: reading PostgreSQL, one answer, and many, each beside doing without SQL.

    python benchmarks/sql.py [--rows 1000000] [--asks 200] [--batch 10000] [--rounds 3]

Starts a PostgreSQL (Debian's) and a server of its own on free ports. Reading: a table of 7 columns
(about 100 bytes of text each) to Arrow as joins and FINETUNE take it, and to the rows that clients
are sent, beside `pandas.read_sql` over psycopg, in turns. One answer: `SELECT ... WHERE content =`
over HTTP beside the same chat at `/v1/chat/completions`, one token, in turns. Many: a JOIN over
rows that are all different beside 32 of these chats at a time, 8 tokens each.
The wishes: 5 times, under 5 ms at the median, 0.9 of the rows per second.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import signal
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from modiste import settings as settings_module
from modiste.actions.data_sources import Opened
from modiste.sql import local, sources
from modiste.work import supervisor

MODEL = "modiste-tiny"
AT_A_TIME = 32
TOKENS = 8
JOINED = (
    "SELECT t.id, m.answer FROM pg.asked AS t JOIN m ON m.content = t.content "
    "USING max_tokens = {tokens}, max_rows = {n}"
)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--asks", type=int, default=200)
    parser.add_argument("--batch", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    with postgresql() as folder:
        fill(folder, asked.rows, asked.batch)
        reading(folder, asked.rows, asked.rounds)
        with tempfile.TemporaryDirectory(prefix="bench-sql-") as home:
            flags = {"home": home, "port": 0, "workers": 0, "sql_mysql_port": "off",
                     "sql_postgres_port": "off"}  # fmt: skip
            settings = settings_module.load(flags, environment={})
            with supervisor.running(settings, report=lambda line: None) as ready:
                key = settings.admin_key_file.read_text(encoding="utf-8").strip()
                asking = Asking(ready.url, key, folder)
                asking.one(asked.asks)
                asking.many(asked.batch, asked.rounds)
    return 0


@contextmanager
def postgresql() -> Iterator[Path]:
    """The folder of its socket."""
    binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not binaries:
        raise SystemExit("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    folder = Path(tempfile.mkdtemp(prefix="bench-pg-"))
    shutil.chown(folder, "nobody")
    run: dict[str, Any] = {"user": "nobody", "cwd": folder, "stdout": subprocess.DEVNULL}
    data = folder / "data"
    initdb = [binaries[-1] / "initdb", "-D", data, "-U", "bench", "-A", "trust", "-E", "UTF8"]
    subprocess.run(initdb, check=True, **run)
    options = ["-c", "listen_addresses=", "-c", "fsync=off", "-c",
               f"unix_socket_directories={folder}"]  # fmt: skip
    server = subprocess.Popen(
        [binaries[-1] / "postgres", "-D", data, *options], stderr=subprocess.DEVNULL, **run
    )
    try:
        while not (folder / ".s.PGSQL.5432").exists():
            time.sleep(0.1)
        time.sleep(0.5)
        yield folder
    finally:
        server.send_signal(signal.SIGQUIT)
        server.wait(timeout=30)
        shutil.rmtree(folder, ignore_errors=True)


def fill(folder: Path, n_rows: int, n_asked: int) -> None:
    import psycopg

    kinds = (
        "i AS id, i * 2 AS twice, i / 7.0::float8 AS part, i % 2 = 0 AS even, "
        "now()::timestamp AS at, repeat(md5(i::text), 3) AS text, md5((i + 1)::text) AS other"
    )
    said = "i AS id, 'Question number ' || i AS content"
    with psycopg.connect(f"host={folder} user=bench dbname=postgres", autocommit=True) as made:
        for table, columns, n in (("read", kinds, n_rows), ("asked", said, n_asked)):
            made.execute(
                f"CREATE TABLE {table} AS SELECT {columns} FROM generate_series(1, {n}) AS i"  # noqa: S608
            )


def reading(folder: Path, n: int, rounds: int) -> None:
    source = Opened(
        "pg", "postgres", {"host": str(folder), "user": "bench", "database": "postgres"}
    )

    def to_arrow() -> int:
        got = sources.read(source, "SELECT * FROM read", 600).table()
        return int(got.num_rows)

    def to_rows() -> int:
        got = sources.read(source, "SELECT * FROM read", 600)
        return sum(len(local.values(batch)) for batch in got.batches)

    def by_pandas() -> int:
        import pandas
        import sqlalchemy as sa

        engine = sa.create_engine(f"postgresql+psycopg://bench@/postgres?host={folder}")
        with engine.connect() as connection:
            return len(pandas.read_sql(sa.text("SELECT * FROM read"), connection))

    ways = {"SQL to Arrow": to_arrow, "SQL to rows": to_rows, "psycopg + pandas": by_pandas}
    took: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            began = time.perf_counter()
            expect(way() == n, f"{name} read all rows")
            took[name].append(time.perf_counter() - began)
    slow = statistics.median(took["psycopg + pandas"])
    for name, times in took.items():
        middle = statistics.median(times)
        print(f"read {n:,} rows  {name:<18}{middle:8.2f} s ({min(times):.2f} to {max(times):.2f})"
              f"{slow / middle:7.1f} times")  # fmt: skip


def expect(held: bool, what: str) -> None:
    if not held:
        raise SystemExit(f"Not so: {what}")


class Asking:
    """Of a server that runs, by SQL and by chats."""

    def __init__(self, url: str, key: str, folder: Path) -> None:
        self._url = url
        self._headers = {"authorization": f"Bearer {key}"}
        with self._client() as client:
            parameters = f"{{'host': '{folder}', 'user': 'bench', 'database': 'postgres'}}"
            self._sql(client, f"CREATE DATABASE pg ENGINE = 'postgres' PARAMETERS = {parameters}")
            self._sql(
                client,
                f"CREATE MODEL m PREDICT answer USING model_name = '{MODEL}', "
                "prompt_template = '{{content}}'",
            )

    def one(self, n: int) -> None:
        by: dict[str, list[float]] = {"SQL": [], "chat": []}
        with self._client() as client:
            for number in range(-5, n):
                text = f"Question number {number} of many"
                query = f"SELECT answer FROM m WHERE content = '{text}' USING max_tokens = 1"  # noqa: S608
                ways: dict[str, Callable[[], object]] = {
                    "SQL": lambda query=query: self._sql(client, query),
                    "chat": lambda text=text: self._chat(client, text, 1),
                }
                for name in sorted(ways, reverse=bool(number % 2)):
                    began = time.perf_counter()
                    ways[name]()
                    if number >= 0:
                        by[name].append((time.perf_counter() - began) * 1000)
        sql, chat = (statistics.median(by[name]) for name in ("SQL", "chat"))
        apart = statistics.median(a - b for a, b in zip(by["SQL"], by["chat"], strict=True))
        print(f"one answer, n = {n}: SQL {sql:.1f} ms, chat {chat:.1f} ms, apart {apart:.1f} ms")

    def many(self, n: int, rounds: int) -> None:
        query = JOINED.format(tokens=TOKENS, n=n)
        rates: dict[str, list[float]] = {"SQL": [], "chats": []}
        for _ in range(rounds):
            with self._client() as client:
                began = time.perf_counter()
                got = self._sql(client, query)
                rates["SQL"].append(n / (time.perf_counter() - began))
                expect(len(got["data"]) == n, "every row has an answer")
            began = time.perf_counter()
            asyncio.run(self._chats(n))
            rates["chats"].append(n / (time.perf_counter() - began))
        sql, chats = (statistics.median(rates[name]) for name in ("SQL", "chats"))
        print(f"{n:,} answers: SQL {sql:.1f} rows/s, {AT_A_TIME} chats at a time {chats:.1f}/s, "
              f"ratio {sql / chats:.2f}")  # fmt: skip

    def _client(self) -> httpx.Client:
        return httpx.Client(base_url=self._url, headers=self._headers, timeout=3600)

    def _sql(self, client: httpx.Client, text: str) -> dict[str, Any]:
        told: dict[str, Any] = client.post("/api/sql/query", json={"query": text}).json()
        expect(told["type"] != "error", str(told))
        return told

    def _chat(self, client: httpx.Client, text: str, tokens: int) -> None:
        client.post("/v1/chat/completions", json=_body(text, tokens)).raise_for_status()

    async def _chats(self, n: int) -> None:
        numbers = iter(range(1, n + 1))
        limits = httpx.Limits(max_connections=AT_A_TIME)
        async with httpx.AsyncClient(
            base_url=self._url, headers=self._headers, timeout=3600, limits=limits
        ) as client:

            async def work() -> None:
                for number in numbers:
                    body = _body(f"Question number {number}", TOKENS)
                    answer = await client.post("/v1/chat/completions", json=body)
                    answer.raise_for_status()

            await asyncio.gather(*(work() for _ in range(AT_A_TIME)))


def _body(text: str, tokens: int) -> dict[str, object]:
    return {
        "model": MODEL,
        "messages": [{"role": "user", "content": text}],
        "max_tokens": tokens,
        "temperature": 0,
    }


if __name__ == "__main__":
    raise SystemExit(main())
