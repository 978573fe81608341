"""Frames of pandas, through SQLAlchemy over both wires."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

pd: Any = pytest.importorskip("pandas", reason="run `make install`")
sa: Any = pytest.importorskip("sqlalchemy", reason="run `make install`")
JOIN = "SELECT t.id, t.n, m.answer FROM shop.asked AS t JOIN m ON m.content = t.text ORDER BY t.id"


@pytest.fixture(params=["postgresql+psycopg", "mysql+pymysql"])
def engine(doors: Any, request: pytest.FixtureRequest) -> Iterator[Any]:
    pytest.importorskip(request.param.partition("+")[2])
    port = doors.postgres if "postgresql" in request.param else doors.mysql
    made = sa.create_engine(
        sa.URL.create(request.param, "u", doors.key, "127.0.0.1", port, "mindsdb")
    )
    yield made
    made.dispose()


def test_rows_and_answers_become_a_frame_with_their_kinds(engine: Any) -> None:
    frame = pd.read_sql(JOIN, engine)
    assert list(frame.columns) == ["id", "n", "answer"]
    assert (frame["id"].dtype.kind, frame["n"].dtype.kind) == ("i", "f")
    assert frame["id"].tolist() == [1, 2, 3, 4]
    assert frame["n"].isna().tolist() == [False, True, False, False]
    assert frame["answer"].isna().tolist() == [False, False, True, False]
    assert frame["answer"][0] == "Hello there."


def test_parameters_are_bound_and_frames_come_in_helpings(engine: Any) -> None:
    wished = sa.text("SELECT id FROM shop.asked WHERE text = :said ORDER BY id")
    found = pd.read_sql(wished, engine, params={"said": "Hi"})
    assert found["id"].tolist() == [1, 4]
    assert pd.read_sql(wished, engine, params={"said": "x' OR '1'='1"}).empty
    helpings = pd.read_sql(sa.text(JOIN), engine, chunksize=3)
    assert [len(each) for each in helpings] == [3, 1]


def test_a_table_is_read_by_its_name(engine: Any) -> None:
    frame = pd.read_sql_table("asked", engine, schema="shop", columns=["id", "text"])
    assert frame.sort_values("id")["text"].tolist()[:2] == ["Hi", "Bye"]
