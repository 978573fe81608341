"""SHOW and DESCRIBE."""

import pytest

from modiste.sql.errors import SqlError


def test_what_is_there_is_shown(speaker) -> None:  # type: ignore[no-untyped-def]
    assert [row["NAME"] for row in speaker("SHOW MODELS LIKE 'm%' WHERE active = 1")] == ["m"]
    assert speaker("SHOW TABLES FROM shop") == [
        {"Tables_in_shop": "asked"},
        {"Tables_in_shop": "chats"},
    ]
    assert speaker("SHOW FULL DATABASES LIKE 'places'") == [
        {"Database": "places", "TYPE": "data", "ENGINE": "csv"}
    ]
    assert {"Tables_in_mindsdb": "m"} in speaker("SHOW TABLES")
    assert speaker("SHOW VARIABLES LIKE 'autocommit'") == [
        {"Variable_name": "autocommit", "Value": "1"}
    ]
    assert speaker("SHOW TRIGGERS") == []
    with pytest.raises(SqlError, match="SHOW NONSENSE: not supported yet"):
        speaker("SHOW NONSENSE")


def test_a_model_is_described_from_all_sides(speaker) -> None:  # type: ignore[no-untyped-def]
    (row,) = speaker("DESCRIBE m")
    assert row["TABLES"] == '["args", "metadata", "training"]'
    assert list(row)[1:4] == ["NAME", "ENGINE", "PROJECT"]
    assert {"key": "prompt_template", "value": "{{content}}"} in speaker("DESCRIBE MODEL m.1.args")
    assert speaker("DESCRIBE mindsdb.m.metadata") == [
        {"model_name": "open-mistral-7b", "model_card": "/v1/models/modiste-tiny"}
    ]
    assert speaker("DESCRIBE m.1.training") == [{"key": "phase", "value": "complete"}]
    assert speaker("DESCRIBE DATABASE shop")[0]["ENGINE"] == "sqlite"
    with pytest.raises(SqlError, match=r"Model does not exist: mindsdb\.gone"):
        speaker("DESCRIBE gone")


def test_a_table_of_a_source_is_described_by_its_columns(speaker) -> None:  # type: ignore[no-untyped-def]
    told = speaker("DESCRIBE shop.asked")
    assert [(row["Field"], row["Type"]) for row in told] == [
        ("id", "bigint"), ("text", "longtext"), ("n", "double"),
    ]  # fmt: skip
    assert speaker("USE shop; DESCRIBE asked") == told
    with pytest.raises(SqlError, match="not found in database: shop"):
        speaker("DESCRIBE shop.nope")
