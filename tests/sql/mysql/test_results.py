"""Results as clients without the newer ends of result sets read them, too."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from memory import channel
from scripted_language import Language

from modiste.sql.errors import SqlError
from modiste.sql.mysql import results
from modiste.sql.mysql.packets import MORE_RESULTS, Packets
from modiste.sql.session import Session


def sent(text: str, *, eof: bool) -> list[bytes]:
    """Packets of an answer."""

    async def work() -> list[bytes]:
        one, writer = channel()
        language = Language()
        session: Session = await language.admit("mod_one", "mysql")
        answers: Any = language.execute(text, session)
        await results.send(answers, Packets(one), session, results.as_text, eof=eof)
        back, _ = channel(bytes(writer.sent))
        reading, told = Packets(back), []
        while len(told) < 50 and sum(len(each) + 4 for each in told) < len(writer.sent):
            told.append(await reading.read(limit=10_000))
        return told

    return asyncio.run(work())


def test_both_ends_of_a_result_set() -> None:
    old, new = sent("NUMBERS 2", eof=True), sent("NUMBERS 2", eof=False)
    assert [len(each) for each in old if each[:1] == b"\xfe"] == [5, 5]
    assert [len(each) for each in new if each[:1] == b"\xfe"] == [7]
    assert old[3:5] == new[2:4] == [b"\x010", b"\x011"]


def test_every_result_but_the_last_says_that_more_follow() -> None:
    ends = [each for each in sent("NOTE; NOTE; NOTE", eof=False)]
    assert [each[3] & MORE_RESULTS for each in ends] == [MORE_RESULTS, MORE_RESULTS, 0]
    assert [each[5] for each in ends] == [1, 1, 1]


def test_a_text_without_a_statement_is_an_error() -> None:
    with pytest.raises(SqlError, match="empty"):
        sent(" ; ", eof=False)
