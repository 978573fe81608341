from __future__ import annotations

import asyncio

import pytest
from scripted_language import Language

from modiste.sql.errors import SqlError
from modiste.sql.postgres.portal import Portal, Statement
from modiste.sql.result import Done, Rows


def test_a_portal_runs_once_gives_helpings_and_is_ended_by_closing() -> None:
    async def work() -> None:
        language = Language()
        session = await language.admit("mod_one", "postgres")

        def portal(text: str) -> Portal:
            statement = Statement(text, (), None)
            return Portal(statement, lambda: language.execute(text, session), ())

        numbers = portal("NUMBERS 1500")
        assert language.ran == []
        assert isinstance(await numbers.begin(), Rows)
        assert await numbers.begin() is await numbers.begin()
        helpings = [await numbers.batch(700) for _ in range(4)]
        assert [len(each or ()) for each in helpings] == [700, 300, 500, 0]
        assert len(language.ran) == 1

        done = portal("NOTE")
        assert isinstance(await done.begin(), Done)
        await done.finish()

        with pytest.raises(SqlError):
            await portal("NOSUCH").begin()

        endless = portal("NUMBERS -1")
        await endless.begin()
        await endless.close()
        assert language.cancelled == ["NUMBERS -1"]

    asyncio.run(asyncio.wait_for(work(), timeout=10))
