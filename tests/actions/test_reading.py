"""The tokens of one choice, as what a caller is told."""

from __future__ import annotations

from pathlib import Path

import pytest

import modiste
from modiste.actions.reading import Chat, Drawn, Heard, Reading, Said, call_id, id_seed
from modiste.prepare import render
from modiste.prepare.answer import Text
from modiste.prepare.conversation import SHORT_CALL_ID
from modiste.serve.sequence import Logprob
from modiste.types import ToolCall

TINY = render.load(Path(modiste.__file__).parent / "bases" / "tiny")
MARK = TINY.manner.control["[TOOL_CALLS]"]
ONE = '[{"name": "f", "arguments": {"a": 1}}]'
TWO = '[{"name": "f", "arguments": {}}, {"name": "g", "arguments": {}}]'


def reading(chat: Chat | None = Chat(tools=True), *, stop: tuple[str, ...] = ()) -> Reading:
    return Reading(TINY, chat, stop=stop, continuing=False, id_seed="s")


def ids(*parts: str | int) -> list[int]:
    return [i for p in parts for i in ([p] if isinstance(p, int) else TINY.encode(p))]


def read(choice: Reading, tokens: list[int]) -> tuple[list[Said], list[Drawn]]:
    heard: list[Heard] = []
    for token in tokens:
        if choice.ended:
            break
        heard.append(choice.push(token, Logprob(-1.0)))
    if not choice.ended:
        heard.append(choice.flush())
    said = [part for each in heard for part in each.said]
    return said, [drawn for each in heard for drawn in each.drawn]


def text(said: list[Said]) -> str:
    return "".join(part.text for part in said if isinstance(part, Text))


def test_calls_get_ids_that_every_format_takes_and_that_stay_the_same() -> None:
    choice = reading()
    said, _ = read(choice, ids("Wait. ", MARK, TWO))
    calls = [part for part in said if isinstance(part, ToolCall)]
    assert [(call.name, call.arguments) for call in calls] == [("f", "{}"), ("g", "{}")]
    assert all(SHORT_CALL_ID.match(call.id or "") for call in calls)
    assert calls[0].id != calls[1].id
    assert choice.called
    assert text(said) == "Wait. "
    again, _ = read(reading(), ids("Wait. ", MARK, TWO))
    assert again[-2:] == said[-2:]


def test_ids_differ_between_turns_even_under_one_seed() -> None:
    assert call_id(id_seed([1, 2], 7, 0), 0) != call_id(id_seed([1, 2, 3], 7, 0), 0)
    assert call_id(id_seed([1], 7, 0), 0) != call_id(id_seed([1], 7, 1), 0)


def test_an_id_that_the_model_wrote_twice_is_given_once() -> None:
    own = '{"name": "f", "arguments": {}, "id": "a1B2c3D4e"}'
    said, _ = read(reading(), ids(MARK, f"[{own}, {own}]"))
    first, second = (part.id for part in said if isinstance(part, ToolCall))
    assert first == "a1B2c3D4e" != second


def test_one_call_may_be_all_that_is_wished() -> None:
    choice = reading(Chat(tools=True, one_call=True))
    said, _ = read(choice, ids(MARK, TWO))
    assert [part.name for part in said if isinstance(part, ToolCall)] == ["f"]
    assert choice.ended


def test_without_tools_the_mark_is_no_mark() -> None:
    for chat in (None, Chat()):
        said, _ = read(reading(chat), ids(MARK, ONE))
        assert text(said) == ONE


def test_a_call_that_is_none_is_shown_with_its_mark() -> None:
    choice = reading()
    said, _ = read(choice, ids(MARK, '[{"nam'))
    assert text(said) == '[TOOL_CALLS][{"nam'
    assert not choice.called


def test_stop_strings_end_text_and_not_calls() -> None:
    choice = reading(stop=("a",))
    said, _ = read(choice, ids(MARK, ONE))
    assert isinstance(said[0], ToolCall)
    assert not choice.ended
    stopped = reading(stop=("STOP",))
    said, _ = read(stopped, ids("one STOP two"))
    assert text(said) == "one "
    assert stopped.ended


@pytest.mark.parametrize("sentence", ["Plain words here.", "naïve 漢字 🙂"])
def test_every_token_is_told_once_and_in_order(sentence: str) -> None:
    tokens = ids(sentence)
    _, drawn = read(reading(None), tokens)
    assert [each.likely.token for each in drawn] == tokens
    assert b"".join(each.likely.spelt for each in drawn).decode() == sentence


def test_no_token_behind_a_stop_string_is_told() -> None:
    tokens = ids("one two STOP three")
    _, drawn = read(reading(None, stop=("STOP",)), tokens)
    told = "".join(each.likely.text for each in drawn)
    assert "one two".startswith(told.rstrip()[:7])
    assert "STOP" not in told
    assert [each.likely.token for each in drawn] == tokens[: len(drawn)]


def test_control_tokens_are_told_by_name() -> None:
    _, drawn = read(reading(), ids(MARK, ONE))
    assert drawn[0].likely.text == "[TOOL_CALLS]"
    assert drawn[0].likely.spelt == b""
