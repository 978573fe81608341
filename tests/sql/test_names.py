"""What a dotted name stands for."""

import asyncio

import pytest

from modiste.actions.predictors import Named
from modiste.sql import names
from modiste.sql.errors import SqlError
from modiste.sql.names import Foreign, Names, SourceTable, SystemTable
from modiste.types import PredictorVersion


@pytest.fixture
def seen(speaker) -> Names:  # type: ignore[no-untyped-def]
    return asyncio.run(names.load(speaker.session))


def test_names_are_resolved_from_version_to_session(seen: Names) -> None:
    for path in (("m",), ("m", "1"), ("mindsdb", "m"), ("mindsdb", "m", "1")):
        found = seen.target(path)
        assert isinstance(found, PredictorVersion)
        assert found.label == "mindsdb.m.1"
    assert seen.target(("shop", "main", "asked")) == SourceTable("shop", ("main", "asked"))
    assert seen.target(("models",)) == SystemTable("models", "mindsdb")
    assert seen.target(("information_schema", "models")) == SystemTable("models", None)
    assert seen.target(("information_schema", "tables")) == Foreign("information_schema", "tables")


@pytest.mark.parametrize(
    ("path", "number"), [(("nodb", "t"), 1049), (("t",), 1146), (("m", "9"), 1146)]
)
def test_what_stands_for_nothing_is_told(seen: Names, path: tuple[str, ...], number: int) -> None:
    with pytest.raises(SqlError) as refused:
        seen.target(path)
    assert refused.value.code == number


def test_in_a_source_bare_names_are_its_own(speaker) -> None:  # type: ignore[no-untyped-def]
    speaker("USE shop")
    seen = asyncio.run(names.load(speaker.session))
    assert seen.target(("main", "asked")) == SourceTable("shop", ("main", "asked"))
    assert seen.named(("m", "1")) == Named("mindsdb", "m", 1)
