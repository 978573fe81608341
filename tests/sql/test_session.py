"""What a place has running in the background ends with it."""

import asyncio

import pytest

from modiste.sql.session import Place
from modiste.store.database import Database


@pytest.mark.parametrize("database_kind", ["sqlite"])
def test_a_place_reads_and_writes_in_threads_and_ends_its_work(database: Database) -> None:
    async def live() -> list[str]:
        place = Place(database, serving=None)  # type: ignore[arg-type]
        told = [str(await place.read(lambda tx: tx.session.bind is not None))]

        async def endless() -> None:
            try:
                await asyncio.sleep(60)
            finally:
                told.append("ended")

        place.background(endless())
        await asyncio.sleep(0)
        await place.close()
        return told

    assert asyncio.run(live()) == ["True", "ended"]
