"""Long tables of messages put together to chats."""

from __future__ import annotations

from typing import Any

import pytest

from modiste.prepare.formats import chat_table
from modiste.prepare.formats.chat_table import Chat, chats
from modiste.prepare.sources.document import Item
from modiste.types import Problem


def rows(*messages: str, **same: Any) -> list[dict[str, Any]]:
    """`user:q` is a row of a user who says q."""
    found = []
    for text in messages:
        role, _, content = text.partition(":")
        found.append({"role": role, "content": content, **same})
    return found


def table(found: list[Any]) -> list[Chat]:
    items = [Item(line, b"", value) for line, value in enumerate(found, 2)]
    return list(chats(items, file="f.csv"))


def said(found: list[Any]) -> list[list[str | None]]:
    read = table(found)
    assert [chat.row.problems for chat in read if chat.row.problems] == []
    return [[m.content for m in c.row.example.messages] for c in read if c.row.example]


def codes(found: list[Any]) -> list[tuple[int | None, str]]:
    return [(p.line, p.code) for chat in table(found) for p in chat.row.problems]


FIRST, SECOND = rows("user:a", "assistant:b", chat_id=1), rows("user:c", "assistant:d", chat_id=2)


@pytest.mark.parametrize("name", ["chat_id", "conversation_id", "session_id", "thread_id"])
def test_what_shares_an_id_is_a_chat(name: str) -> None:
    renamed = [{name: r.pop("chat_id"), **r} for r in map(dict, FIRST + SECOND)]
    assert said(renamed) == [["a", "b"], ["c", "d"]]


def test_a_chat_stands_on_its_first_line() -> None:
    assert [chat.item.line for chat in table(FIRST + SECOND)] == [2, 4]


def test_messages_are_ordered_by_their_number_not_its_spelling() -> None:
    numbered = [
        {**row, "message_id": n}
        for row, n in zip(rows("assistant:b", "user:a", chat_id=1), ["10", "9"], strict=True)
    ]
    assert said(numbered) == [["a", "b"]]


def test_system_rows_begin_chats_where_no_id_does() -> None:
    found = rows("system:s", "user:a", "assistant:b", "system:t", "user:c", "assistant:d")
    assert said(found) == [["s", "a", "b"], ["t", "c", "d"]]


@pytest.mark.parametrize("mark", [True, 1, "true", "1", "yes"])
def test_a_mark_begins_a_chat(mark: Any) -> None:
    found = rows("user:a", "assistant:b", "user:c", "assistant:d")
    for at, row in enumerate(found):
        row["new_chat"] = mark if at in (0, 2) else ("" if isinstance(mark, str) else 0)
    # An empty mark is no mark, so the column is still known to be one by the rows that have it.
    assert said(found) == [["a", "b"], ["c", "d"]]


def test_a_short_table_without_marks_is_one_chat() -> None:
    assert said(rows("user:a", "assistant:b")) == [["a", "b"]]


def test_a_long_table_without_marks_is_no_chat() -> None:
    assert codes(rows(*["user:a", "assistant:b"] * 40)) == [(2, "chats_not_told")]


def test_a_chat_that_comes_back_is_told() -> None:
    found = codes(FIRST + SECOND + FIRST)
    assert found == [(6, "chat_split")]


def test_numbers_that_stand_twice_are_told() -> None:
    assert codes([{**row, "message_id": 1} for row in FIRST]) == [(2, "message_order")]


def test_a_problem_stands_on_the_line_of_its_message() -> None:
    found = rows("user:a", "bot:b", chat_id=1)
    assert codes(found) == [(3, "role_unknown")]


def test_a_row_that_cannot_be_read_spoils_its_chat_and_no_other() -> None:
    problem = Problem("f.csv", 3, "", "csv_cells", "wrong")
    items = [
        Item(2, b"", FIRST[0]),
        Item(3, b"", None, problem),
        Item(4, b"", SECOND[0]),
        Item(5, b"", SECOND[1]),
    ]
    read = list(chats(items, file="f.csv"))
    assert [[p.code for p in chat.row.problems] for chat in read] == [
        ["csv_cells"],
        ["chat_incomplete"],
        [],
    ]


def test_calls_and_tools_are_read_from_their_columns() -> None:
    call = {"id": "abcdefghi", "function": {"name": "f", "arguments": "{}"}}
    tool = {"type": "function", "function": {"name": "f"}}
    empty = {"tool_calls": "", "tool_call_id": "", "tools": "", "weight": ""}
    found = [
        {**row, **empty} for row in rows("user:a", "assistant:", "tool:1", "assistant:b", chat_id=1)
    ]
    found[0]["tools"] = [tool]
    found[1]["tool_calls"] = [call]
    found[2]["tool_call_id"] = "abcdefghi"
    found[3]["weight"] = "0"
    [chat] = table(found)
    assert chat.row.problems == ()
    assert chat.row.ignored == ()
    example = chat.row.example
    assert example is not None
    assert example.tools == (tool,)
    assert example.messages[1].tool_calls[0].name == "f"
    assert example.messages[2].tool_call_id == "abcdefghi"
    assert example.messages[3].weight == 0


def test_ids_and_numbers_have_no_place_in_a_chat_and_are_named() -> None:
    numbered = [{**row, "message_id": n} for n, row in enumerate(FIRST)]
    assert table(numbered)[0].row.lost == ("chat_id", "message_id")


def test_other_columns_are_named() -> None:
    assert table([{**row, "mood": "good"} for row in FIRST])[0].row.ignored == ("messages[].mood",)


def test_one_chat_is_held_at_a_time() -> None:
    taken = []

    def source():
        for number in range(100):
            for row in rows("user:a", "assistant:b", chat_id=number):
                taken.append(number)
                yield Item(len(taken), b"", row)

    first = next(chats(source(), file="f"))
    assert first.row.example is not None
    assert len(taken) == 3
    assert chat_table.MAX_MESSAGES > chat_table.MAX_UNBOUNDED
