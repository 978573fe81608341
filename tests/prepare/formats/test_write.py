"""Examples written in any format: what comes back, what is lost, what is refused."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from examples import TOOL, chats, examples, pairs
from hypothesis import given, settings

from modiste.prepare.formats import chat_table
from modiste.prepare.formats.kinds import Format
from modiste.prepare.formats.read import parse_row
from modiste.prepare.formats.write import NATIVE, write
from modiste.prepare.sources.document import Item
from modiste.types import Example, Message, Role, SampleType, ToolCall

ASK, ANSWER = Message(Role.USER, "q"), Message(Role.ASSISTANT, "a")
CALL = ToolCall("abcdefghi", "f", '{"a": 1}')


def chat(*messages: Message, tools: tuple = ()) -> Example:
    return Example(1, SampleType.INSTRUCT, messages, tools=tools)


def read_again(example: Example, to: Format) -> Example | None:
    rows = write(example, to).rows
    if to is not Format.CHAT_TABLE:
        return parse_row(rows[0], file="f", line=1, format=to).example
    items = [Item(1, b"", row) for row in rows]
    return next(chat_table.chats(items, file="f")).row.example


@settings(max_examples=100, deadline=None)
@given(examples)
def test_what_is_written_in_its_own_format_reads_as_it_was(example: Example) -> None:
    to = NATIVE[example.sample_type]
    assert write(example).lost == ()
    assert read_again(example, to) == example


@pytest.mark.parametrize("to", [Format.SHAREGPT, Format.PROMPT_COMPLETION, Format.CHAT_TABLE])
@settings(max_examples=60, deadline=None)
@given(example=chats())
def test_a_chat_written_for_another_tool_comes_back_or_says_what_it_lost(
    to: Format, example: Example
) -> None:
    written = write(example, to)
    assert written.refused is None
    again = read_again(example, to)
    assert again is not None
    if not written.lost:
        assert [m.content or "" for m in again.messages] == [
            m.content or "" for m in example.messages
        ]
        assert again.tools == example.tools


@settings(max_examples=60, deadline=None)
@given(chats(tools=False))
def test_a_chat_of_texts_fits_into_an_alpaca_row(example: Example) -> None:
    assert write(example, Format.ALPACA).lost == ()
    assert read_again(example, Format.ALPACA) == example


@settings(max_examples=30, deadline=None)
@given(pairs())
def test_a_pair_as_a_chat_keeps_the_answer_that_is_preferred(example: Example) -> None:
    written = write(example, Format.CHAT)
    assert written.lost == ("the rejected answer",)
    again = parse_row(written.rows[0], file="f", line=1).example
    assert again is not None
    assert again.messages == (*example.messages, *example.chosen)


def test_a_label_as_a_chat_is_the_answer() -> None:
    example = Example(1, SampleType.CLASSIFIER, text="hi", labels={"intent": ("greeting",)})
    written = write(example, Format.CHAT)
    assert [m["content"] for m in written.rows[0]["messages"]] == ["hi", "greeting"]
    assert written.lost == ("the name of the label (intent)",)


def test_several_labels_as_a_chat_are_json() -> None:
    labels = {"intent": ("greeting",), "topics": ("a", "b")}
    example = Example(1, SampleType.CLASSIFIER, text="hi", labels=labels)
    answer = write(example, Format.CHAT).rows[0]["messages"][-1]["content"]
    assert answer == '{"intent":"greeting","topics":["a","b"]}'


def test_ids_that_a_format_has_no_place_for_are_named_as_lost() -> None:
    called = Message(Role.ASSISTANT, tool_calls=(CALL,))
    result = Message(Role.TOOL, "1", tool_call_id=CALL.id)
    written = write(chat(ASK, called, result, ANSWER, tools=(TOOL,)), Format.SHAREGPT)
    assert written.lost == ("ids of tool calls",)


@pytest.mark.parametrize(
    ("example", "to", "why"),
    [
        (chat(ASK, Message(Role.ASSISTANT, tool_calls=(CALL,))), Format.ALPACA, "calls"),
        (chat(ASK, replace(ANSWER, weight=0)), Format.ALPACA, r"messages\[1\].weight"),
        (chat(ASK, ASK, ANSWER), Format.ALPACA, "turns in this order"),
        (chat(ASK, ANSWER), Format.PREFERENCE, "cannot be written as preference"),
        (chat(ASK, ANSWER), Format.CLASSIFIER, "cannot be written as classifier"),
        (Example(1, SampleType.PRETRAIN, text="t"), Format.ALPACA, "text rows cannot"),
    ],
)
def test_what_would_come_back_as_something_else_is_refused(
    example: Example, to: Format, why: str
) -> None:
    written = write(example, to)
    assert written.rows == ()
    assert written.refused is not None
    assert re.search(why, written.refused)


def test_plain_text_stands_in_chat_files_as_it_is() -> None:
    assert write(Example(1, SampleType.PRETRAIN, text="t"), Format.CHAT).rows == ({"text": "t"},)


def test_turns_in_an_order_a_format_has_not_are_said_so() -> None:
    user, assistant = Role.USER, Role.ASSISTANT
    roles = (user, assistant, assistant, user, user, assistant)
    messages = tuple(Message(role, f"m{at}") for at, role in enumerate(roles))

    written = write(Example(1, SampleType.INSTRUCT, messages), Format.ALPACA)

    assert written.refused == "alpaca has no place for turns in this order"
