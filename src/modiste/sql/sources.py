"""Reading from databases and files: connect, list tables, run a query there, rows as Arrow.

Connections are read-only where the source knows such a thing, and live for one statement. All of
this blocks: call it in threads. What a source says of a failure is told without its password.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import pyarrow as pa
from sqlglot import TokenType, tokenize
from sqlglot.errors import TokenError

from modiste.actions.data_sources import Opened
from modiste.sql import errors, local
from modiste.sql.local import Reading

BATCH_BYTES = 1024 * 1024
"""Of a batch that PostgreSQL tells."""
READING = frozenset(
    {"SELECT", "WITH", "VALUES", "TABLE", "FROM", "SHOW", "DESCRIBE", "DESC", "EXPLAIN"}
)
FILES = ("csv", "parquet", "jsonl")
DIALECTS = {"postgres": "postgres", "sqlite": "sqlite", "duckdb": "duckdb", "mysql": "mysql"}


class Listed(NamedTuple):
    """A table that is there."""

    schema: str | None
    name: str
    kind: str
    """`BASE TABLE` or `VIEW`."""


def dialect(source: Opened) -> str:
    """In which SQL it is asked."""
    return DIALECTS.get(source.engine, "duckdb")


def check(source: Opened, timeout_s: float) -> None:
    """Raises SqlError: it does not answer."""
    if source.engine in FILES:
        with told(source):
            _file(source)
    else:
        read(source, "SELECT 1", timeout_s).table()


def tables(source: Opened, timeout_s: float) -> list[Listed]:
    """Its tables and views, without those of the system."""
    if source.engine in FILES:
        return [Listed(None, Path(source.parameters["path"]).stem.lower(), "BASE TABLE")]
    query = (
        "SELECT NULL, name, CASE type WHEN 'view' THEN 'VIEW' ELSE 'BASE TABLE' END "
        "FROM sqlite_master WHERE type IN ('table', 'view') ORDER BY name"
        if source.engine == "sqlite"
        else "SELECT table_schema, table_name, table_type FROM information_schema.tables "
        "WHERE table_schema NOT IN ('pg_catalog', 'information_schema', 'mysql', "
        "'performance_schema', 'sys') ORDER BY table_name, table_schema"
    )
    found = read(source, query, timeout_s).table()
    rows = zip(*(column.to_pylist() for column in found.columns), strict=True)
    return [Listed(schema, str(name), str(kind)) for schema, name, kind in rows]


def read(source: Opened, sql: str, timeout_s: float) -> Reading:
    """Run a query there.

    Raises:
        SqlError: it is no single query, or the source does not answer or refuses it.
    """
    if "\0" in sql:  # Drivers end the text there.
        raise errors.bad(f"{source.name}: character 0 cannot be passed on to a source.")
    _refuse_others(source, sql)
    with told(source):
        if source.engine == "postgres":
            return _adbc(postgres(source, timeout_s), sql, source)
        if source.engine == "sqlite":
            return _adbc(_sqlite(source), sql, source)
        if source.engine == "duckdb":
            return _duckdb(source, sql)
        if source.engine == "mysql":
            return _mysql(source, sql, timeout_s)
        table = local.run(sql, {Path(source.parameters["path"]).stem.lower(): _file(source)})
        return Reading(table.schema, iter(table.to_batches()), lambda: None)


def _refuse_others(source: Opened, sql: str) -> None:
    """One query and nothing else: sources differ in what a read-only connection still lets pass."""
    try:
        tokens = tokenize(sql, read=dialect(source))
    except TokenError:
        return  # The source says better what is wrong with it.
    kinds = [token.token_type for token in tokens]
    while kinds and kinds[-1] is TokenType.SEMICOLON:
        kinds.pop()
    if TokenType.SEMICOLON in kinds:
        raise errors.bad(f"{source.name}: one query at a time is passed on, this text has several.")
    words = [token.text.upper() for token in tokens if token.token_type is not TokenType.L_PAREN]
    if words and words[0] not in READING:
        raise errors.bad(
            f"{source.name}: only what reads is passed on ({', '.join(sorted(READING))}), and this "
            f"begins with {words[0]:.30}."
        )


@contextmanager
def told(source: Opened, *, connected: bool = False) -> Iterator[None]:
    """What a driver raises, as an error of ours, without the password."""
    try:
        yield
    except errors.SqlError:
        raise
    except Exception as error:  # noqa: BLE001 - every driver has a tree of its own.
        text = " ".join(str(error).split())
        secret = str(source.parameters.get("password") or "")
        if secret:
            text = text.replace(secret, "******").replace(quote(secret, safe=""), "******")
        if connected or _is_refusal(error):
            raise errors.bad(f"{source.name}: {text}") from None
        raise errors.bad(f"Can't connect to db: {source.name}: {text}") from None


def _is_refusal(error: Exception) -> bool:
    """Of the query; else it is of the connection."""
    state = str(getattr(error, "sqlstate", None) or "")
    kinds = {"ProgrammingError", "DataError", "ParserException", "CatalogException"}
    kinds |= {"BinderException", "ConversionException", "IntegrityError", "NotSupportedError"}
    named = bool({kind.__name__ for kind in type(error).__mro__} & kinds)
    return named or bool(state and state[:2] not in ("08", "28", "3D"))


def postgres(source: Opened, timeout_s: float, *, write: bool = False) -> Any:
    """A connection, in a transaction that reads unless it is to `write`."""
    import adbc_driver_postgresql.dbapi as driver

    given = source.parameters
    options = {
        "default_transaction_read_only": "off" if write else "on",
        "statement_timeout": str(int(timeout_s * 1000)),
        "timezone": "UTC",
    }
    if given.get("schema"):
        options["search_path"] = str(given["schema"])
    words = " ".join(f"-c {key}={_escaped(value)}" for key, value in options.items())
    pairs = {
        "host": given["host"],
        "port": given.get("port"),
        "user": given["user"],
        "password": given.get("password"),
        "dbname": given["database"],
        "sslmode": given.get("sslmode"),
        "connect_timeout": 10,
        "options": words,
    }
    said = "&".join(f"{k}={quote(str(v), safe='')}" for k, v in pairs.items() if v is not None)
    return driver.connect(f"postgresql://?{said}")


def _escaped(value: str) -> str:
    """Inside libpq's `options`, where a space ends a word."""
    return value.replace("\\", "\\\\").replace(" ", "\\ ")


def _sqlite(source: Opened) -> Any:
    import adbc_driver_sqlite.dbapi as driver

    path = there(source)
    return driver.connect(f"file:{quote(str(path))}?mode=ro")


def _adbc(connection: Any, sql: str, source: Opened) -> Reading:
    cursor = connection.cursor()

    def close() -> None:
        cursor.close()
        connection.close()

    try:
        with told(source, connected=True):
            if source.engine == "postgres":
                hint = {"adbc.postgresql.batch_size_hint_bytes": str(BATCH_BYTES)}
                cursor.adbc_statement.set_options(**hint)
            cursor.execute(sql)
            reader = cursor.fetch_record_batch()
        schema = pa.schema([_plain_field(field) for field in reader.schema])
    except BaseException:
        close()
        raise

    def batches() -> Iterator[pa.RecordBatch]:
        with told(source, connected=True):
            for batch in reader:
                yield _plain(batch, schema)

    return Reading(schema, batches(), close)


def _duckdb(source: Opened, sql: str) -> Reading:
    connection = local.opened(there(source), read_only=True)
    try:
        table = connection.sql(sql).to_arrow_table()
    finally:
        connection.close()
    return Reading(table.schema, iter(table.to_batches()), lambda: None)


def mysql(source: Opened, timeout_s: float) -> Any:
    """A connection, which may do whatever its user may."""
    import pymysql

    given = source.parameters
    return pymysql.connect(
        host=str(given["host"]),
        port=int(given.get("port") or 3306),
        user=str(given["user"]),
        password=str(given.get("password") or ""),
        database=str(given["database"]),
        charset="utf8mb4",
        connect_timeout=10,
        read_timeout=timeout_s,
        write_timeout=timeout_s,
    )


def _mysql(source: Opened, sql: str, timeout_s: float) -> Reading:
    from modiste.sql import mysql_source

    streamed = mysql_source.stream(mysql(source, timeout_s), sql)

    def batches() -> Iterator[pa.RecordBatch]:
        with told(source, connected=True):
            yield from streamed.batches

    return Reading(streamed.schema, batches(), streamed.close)


def _file(source: Opened) -> pa.Table:
    path = there(source)
    if source.engine == "csv":
        from pyarrow import csv

        return csv.read_csv(path)
    if source.engine == "parquet":
        from pyarrow import parquet

        return parquet.read_table(path)
    from pyarrow import json

    return json.read_json(path)


def there(source: Opened) -> Path:
    """Raises SqlError: no such file."""
    path = Path(source.parameters["path"])
    if not path.is_file():
        raise errors.bad(f"Can't connect to db: {source.name}: there is no file {path}")
    return path


def _plain_field(field: pa.Field) -> pa.Field:
    """Types that DuckDB and Python know: what comes as opaque text is text, numerics are floats."""
    if not isinstance(field.type, pa.BaseExtensionType):
        return field
    numeric = getattr(field.type, "type_name", "") == "numeric"
    return pa.field(field.name, pa.float64() if numeric else field.type.storage_type)


def _plain(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    columns = [
        column.storage.cast(field.type) if isinstance(column, pa.ExtensionArray) else column
        for column, field in zip(batch.columns, schema, strict=True)
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)
