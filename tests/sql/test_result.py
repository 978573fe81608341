"""Rows arrive in batches, in order."""

import asyncio

from modiste.sql.result import BATCH_ROWS, Column, rows, texts


def test_rows_arrive_in_batches_and_in_order() -> None:
    result = rows([Column("n", "integer")], [(n,) for n in range(2 * BATCH_ROWS + 1)])

    async def read() -> list[list[tuple[object, ...]]]:
        return [batch async for batch in result.batches]

    batches = asyncio.run(read())
    assert [len(batch) for batch in batches] == [BATCH_ROWS, BATCH_ROWS, 1]
    assert [row[0] for batch in batches for row in batch] == list(range(2 * BATCH_ROWS + 1))


def test_columns_of_texts_are_text() -> None:
    assert texts(["a", "b"], []).columns == (Column("a", "text"), Column("b", "text"))
