"""Clients that look around see what is there, and sources only where they are asked for."""

import asyncio

from modiste.sql import names
from modiste.sql.metadata import Metadata, look_around


def look(speaker, *named: str) -> Metadata:  # type: ignore[no-untyped-def]
    async def go() -> Metadata:
        return await look_around(speaker.session, await names.load(speaker.session), named)

    return asyncio.run(go())


def test_a_source_is_looked_into_only_where_it_is_named(speaker) -> None:  # type: ignore[no-untyped-def]
    seen = look(speaker)
    assert seen.current == "mindsdb"
    assert {"mindsdb", "shop", "places"} <= set(seen.schemas)
    assert {each.schema for each in seen.tables} == {"information_schema", "mindsdb"}
    (model,) = [each for each in seen.tables if each.name == "m"]
    assert [column.name for column in model.columns] == ["answer", "content"]
    (cities,) = [each for each in look(speaker, "places").tables if each.schema == "places"]
    assert [(c.name, c.kind) for c in cities.columns] == [("id", "integer"), ("city", "text")]


def test_in_a_source_its_tables_are_the_first(speaker) -> None:  # type: ignore[no-untyped-def]
    speaker("USE shop")
    seen = look(speaker)
    assert seen.current == "shop"
    assert [each.name for each in seen.tables if each.schema == "shop"] == ["asked", "chats"]
