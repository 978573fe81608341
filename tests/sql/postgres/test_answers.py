from __future__ import annotations

import asyncio

import pytest
from memory import channel
from scripted_language import Language

from modiste.sql.errors import SqlError
from modiste.sql.postgres.answers import Answers
from modiste.sql.result import Column, Done, rows


def test_rows_end_with_their_count_and_notes_go_before_it() -> None:
    async def work() -> bytes:
        one, writer = channel()
        session = await Language().admit("mod_one", "postgres")
        session.notes = ["mind this"]
        await Answers(one, session).tell(rows([Column("n", "integer")], [(1,), (None,)]))
        return bytes(writer.sent)

    sent = asyncio.run(work())
    assert b"D\0\0\0\x0b\0\x01\0\0\0\x011" in sent
    assert b"D\0\0\0\x0a\0\x01\xff\xff\xff\xff" in sent
    assert sent.index(b"mind this") < sent.index(b"SELECT 2\0")


def test_after_an_error_in_a_transaction_only_its_end_is_allowed() -> None:
    async def work() -> None:
        one, _ = channel()
        answers = Answers(one, await Language().admit("mod_one", "postgres"))
        answers.failed()
        assert answers.state == b"I"
        answers.done(Done("BEGIN"))
        assert answers.state == b"T"
        answers.failed()
        with pytest.raises(SqlError, match="aborted"):
            answers.allowed("SELECT 1")
        assert answers.allowed("COMMIT;") == "ROLLBACK"
        answers.done(Done("ROLLBACK"))
        assert answers.allowed("SELECT 1") == "SELECT 1"

    asyncio.run(work())
