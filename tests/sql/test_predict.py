"""Rows to answers."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from scripted import TINY

from modiste.actions import predictors
from modiste.actions.predictors import Named
from modiste.prepare import render
from modiste.serve.sequence import Failed
from modiste.sql import predict, window
from modiste.sql.errors import SqlError
from modiste.types import PredictorVersion


@pytest.fixture
def version(speaker) -> PredictorVersion:  # type: ignore[no-untyped-def]
    session = speaker.session
    with session.place.database.transaction(write=False) as tx:
        return predictors.get(tx, session.caller, Named("mindsdb", "m"))


def ask(speaker: Any, version: PredictorVersion, *rows: dict[str, object], **using: object) -> Any:
    return asyncio.run(predict.answers(speaker.session, version, rows, using))


def prompts(speaker: Any) -> list[str]:
    renderer = render.load(TINY)
    return [renderer.decode(list(asked.ids)) for asked in speaker.engine.asked]


def test_templates_are_filled_whatever_their_case(speaker: Any, version: PredictorVersion) -> None:
    told = ask(speaker, version, {"a": "one", "b": None}, prompt_template="<{{A}}|{{ b }}>")
    assert told == ["Hello there."]
    assert "<one|>" in prompts(speaker)[0]


def test_a_row_of_nothing_asks_nobody(speaker: Any, version: PredictorVersion) -> None:
    assert ask(speaker, version, {"content": None}, {"content": "x"}) == [None, "Hello there."]
    assert len(speaker.engine.asked) == 1


def test_equal_prompts_are_asked_once_unless_they_are_drawn(
    speaker: Any, version: PredictorVersion
) -> None:
    ask(speaker, version, *[{"content": "x"}] * 5)
    assert len(speaker.engine.asked) == 1
    ask(speaker, version, *[{"content": "x"}] * 5, temperature=0.7)
    assert len(speaker.engine.asked) == 6


def test_a_question_with_its_context(speaker: Any, version: PredictorVersion) -> None:
    asking = replace(
        version, options={"question_column": "q", "context_column": "c", "prompt": "Be kind."}
    )
    ask(speaker, asking, {"q": "why", "c": "because"})
    assert "Context: because\nQuestion: why\nAnswer: " in prompts(speaker)[0]
    assert "Be kind." in prompts(speaker)[0]


def test_a_conversation_is_one_chat(speaker: Any, version: PredictorVersion) -> None:
    options = {"prompt": "Be kind.", "user_column": "q", "assistant_column": "a"}
    rows = [{"q": "one", "a": "first"}, {"q": "two", "a": None}]
    asking = replace(version, options={**options, "mode": "conversational"})
    assert ask(speaker, asking, *rows) == ["", "Hello there."]
    assert len(speaker.engine.asked) == 1
    assert "first" in prompts(speaker)[0]
    full = replace(version, options={**options, "mode": "conversational-full"})
    assert ask(speaker, full, *rows) == ["Hello there.", "Hello there."]
    assert len(speaker.engine.asked) == 3


def test_failures_end_the_statement_or_are_counted(speaker: Any, version: PredictorVersion) -> None:
    speaker.engine.failure = Failed("", "engine_error", "broken")
    with pytest.raises(SqlError):
        ask(speaker, version, {"content": "x"})
    assert ask(speaker, version, {"content": "x"}, on_error="null") == [None]
    assert "1 of 1 prompts failed" in speaker.session.notes[0]


def test_no_more_than_so_many_are_asked_at_a_time(speaker: Any, version: PredictorVersion) -> None:
    speaker.engine.pause_s = 0.01
    running, most = 0, 0
    tell = speaker.engine.generate

    async def watched(request: Any) -> Any:
        nonlocal running, most
        running += 1
        most = max(most, running)
        try:
            async for event in tell(request):
                yield event
        finally:
            running -= 1

    speaker.engine.generate = watched
    told = ask(speaker, version, *[{"content": str(n)} for n in range(50)], max_tokens=1)
    assert told == ["H"] * 50
    assert 1 < most <= window.AT_A_TIME


def test_what_cannot_be_asked_is_told(speaker: Any, version: PredictorVersion) -> None:
    with pytest.raises(SqlError, match="reads column content, and the data has city"):
        ask(speaker, version, {"city": "x"})
    with pytest.raises(SqlError, match="nope cannot be said with a query"):
        ask(speaker, version, {"content": "x"}, nope=1)
    with pytest.raises(SqlError, match="temperature is 'warm'"):
        ask(speaker, version, {"content": "x"}, temperature="warm")
    with pytest.raises(SqlError, match="seed is 'x', expected a whole number"):
        ask(speaker, version, {"content": "x"}, seed="x")
    with pytest.raises(SqlError, match=r"max_tokens is 1\.5, expected a whole number"):
        ask(speaker, version, {"content": "x"}, max_tokens=1.5)
    with pytest.raises(SqlError, match="on_error is 'skip', expected 'abort' or 'null'"):
        ask(speaker, version, {"content": "x"}, on_error="skip")


def test_what_is_taken_otherwise_than_it_was_said_is_noted(
    speaker: Any, version: PredictorVersion
) -> None:
    speaker.session.notes.clear()
    ask(speaker, version, {"content": "x"}, temperature=2, partition_size=10)
    assert [note.split()[0] for note in speaker.session.notes] == ["partition_size", "temperature"]
