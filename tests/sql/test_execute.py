"""SQL in, results out."""

import asyncio

import pytest

from modiste.sql.errors import SqlError
from modiste.sql.execute import execute


def test_what_is_not_there_is_refused_by_name() -> None:
    async def run() -> None:
        async for _ in execute("SELECT 1", None):  # type: ignore[arg-type]
            pass

    with pytest.raises(SqlError, match="not supported yet") as refused:
        asyncio.run(run())
    assert refused.value.code == 1235
