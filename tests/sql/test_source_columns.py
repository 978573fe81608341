"""Names of types at sources, as kinds here."""

import pytest

from modiste.sql.source_columns import kind_named


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("integer", "integer"), ("bigint unsigned", "integer"), ("serial", "integer"),
        ("double precision", "float"), ("numeric(10,2)", "float"), ("boolean", "boolean"),
        ("timestamp with time zone", "timestamp"), ("datetime", "timestamp"), ("date", "text"),
        ("jsonb", "json"), ("bytea", "bytes"), ("varbinary", "bytes"), ("interval", "text"),
        ("character varying", "text"), ("integer[]", "json"), ("uuid", "text"),
    ],
)  # fmt: skip
def test_a_type_is_known_by_its_name(said: str, kind: str) -> None:
    assert kind_named(said) == kind
