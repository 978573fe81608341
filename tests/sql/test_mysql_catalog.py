"""MySQL's tools look around: what DBeaver, SQLAlchemy and drivers ask, over the real wire."""

from __future__ import annotations

from typing import Any

import pytest

sa: Any = pytest.importorskip("sqlalchemy", reason="run `make install`")
pymysql: Any = pytest.importorskip("pymysql", reason="run `make install`")
DBEAVER = (
    "SELECT @@session.auto_increment_increment AS auto_increment_increment, "
    "@@character_set_client AS character_set_client, @@sql_mode AS sql_mode",
    "SHOW PLUGINS",
    "SHOW ENGINES",
    "SHOW CHARSET",
    "SHOW COLLATION",
    "SHOW STATUS",
    "SHOW VARIABLES LIKE 'lower_case_table_names'",
    "SELECT * FROM information_schema.TABLES t WHERE t.TABLE_SCHEMA = 'information_schema' AND "
    "t.TABLE_NAME = 'CHECK_CONSTRAINTS'",
    "SELECT * FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = 'mindsdb' ORDER BY "
    "ROUTINE_NAME",
    "SELECT * FROM information_schema.TRIGGERS WHERE EVENT_OBJECT_SCHEMA = 'mindsdb'",
    "SELECT * FROM information_schema.EVENTS WHERE EVENT_SCHEMA = 'mindsdb'",
    "SELECT * FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = 'mindsdb'",
    "SELECT kc.CONSTRAINT_NAME, kc.COLUMN_NAME FROM information_schema.KEY_COLUMN_USAGE kc "
    "WHERE kc.TABLE_SCHEMA = 'mindsdb' AND kc.REFERENCED_TABLE_NAME IS NULL",
    "SELECT CONSTRAINT_NAME FROM information_schema.TABLE_CONSTRAINTS WHERE TABLE_NAME = 'm'",
    "SHOW FULL PROCESSLIST",
    "SHOW TABLE STATUS FROM mindsdb",
)


@pytest.fixture(scope="module")
def connection(doors: Any) -> Any:
    with pymysql.connect(
        host="127.0.0.1", port=doors.mysql, user="u", password=doors.key, database="mindsdb"
    ) as opened:
        yield opened


def ask(connection: Any, text: str) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(text)
        return list(cursor.fetchall())


def test_schemas_tables_and_columns_are_those_that_are_there(connection: Any) -> None:
    schemas = [r[0] for r in ask(connection, "SELECT SCHEMA_NAME FROM information_schema.SCHEMATA")]
    assert {"information_schema", "mindsdb", "shop", "places"} <= set(schemas)
    told = ask(
        connection,
        "SELECT TABLE_NAME, TABLE_TYPE FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'shop'",
    )
    assert told == (wanted := [("asked", "BASE TABLE"), ("chats", "BASE TABLE")]), wanted
    columns = ask(
        connection,
        "SELECT COLUMN_NAME, DATA_TYPE, ORDINAL_POSITION FROM information_schema.COLUMNS "
        "WHERE TABLE_SCHEMA = 'shop' AND TABLE_NAME = 'asked' ORDER BY ORDINAL_POSITION",
    )
    assert columns == [("id", "bigint", 1), ("text", "longtext", 2), ("n", "double", 3)]


@pytest.mark.parametrize("text", DBEAVER)
def test_what_tools_ask_beforehand_is_answered(connection: Any, text: str) -> None:
    ask(connection, text)


def test_columns_are_shown_for_models_and_tables(connection: Any) -> None:
    assert [row[0] for row in ask(connection, "SHOW FULL COLUMNS FROM `m` FROM `mindsdb`")] == [
        "answer", "content",
    ]  # fmt: skip
    told = ask(connection, "SHOW COLUMNS FROM asked FROM shop LIKE 'i%'")
    assert told == [("id", "bigint", "YES", "", None, "")]
    (created,) = ask(connection, "SHOW CREATE TABLE shop.asked")
    assert created[0] == "asked"
    assert "`n` double" in created[1]


def test_sqlalchemy_inspects_over_mysql(doors: Any) -> None:
    url = sa.URL.create("mysql+pymysql", "u", doors.key, "127.0.0.1", doors.mysql, "shop")
    engine = sa.create_engine(url)
    looked = sa.inspect(engine)
    assert looked.get_table_names() == ["asked", "chats"]
    assert [each["name"] for each in looked.get_columns("asked")] == ["id", "text", "n"]
    assert looked.get_pk_constraint("asked")["constrained_columns"] == []
    assert "mindsdb" in looked.get_schema_names()
    engine.dispose()
