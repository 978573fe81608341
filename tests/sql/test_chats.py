"""Rows to chats."""

import json

import pytest

from modiste.sql import chats
from modiste.sql.errors import SqlError

TURNS = (("system", "Be kind."), ("user", "Hi?"), ("assistant", "Hello."))


def long(n: int, **more: object) -> list[dict[str, object]]:
    return [{"role": role, "content": text, **more} for _ in range(n) for role, text in TURNS]


def test_a_system_message_begins_a_chat_and_a_cut_last_one_is_counted() -> None:
    found = chats.chats_of(long(100), {})
    assert (len(found.chats), found.dropped) == (100, 0)
    train, held_out = chats.split(found.chats)
    assert (len(train), len(held_out)) == (80, 20)
    cut = chats.chats_of(long(101)[:-1], {})
    assert (len(cut.chats), cut.dropped) == (100, 1)
    assert chats.system_message(cut.chats) == "Be kind."


def test_ids_group_and_order() -> None:
    rows = [
        {"chat_id": chat, "message_id": at, "role": role, "content": f"{text}{chat}"}
        for at, (role, text) in reversed(list(enumerate(TURNS)))
        for chat in (10, 9, *range(100, 140))
    ]
    found = chats.chats_of(rows, {}).chats
    assert [message["content"] for message in found[0]] == ["Be kind.9", "Hi?9", "Hello.9"]
    assert chats.system_message(found) is None


def test_one_chat_per_row() -> None:
    pairs = [{"question": "q", "answer": "a", "context": "c"}] * 40
    assert chats.chats_of(pairs, {}).chats[0] == [
        {"role": "user", "content": "Context: c\nQuestion: q\nAnswer: "},
        {"role": "assistant", "content": "a"},
    ]
    kept = {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}
    rows = [{"chat_json": json.dumps(kept)}] * 40
    assert chats.chats_of(rows, {}).chats[-1] == kept["messages"]
    assert b"".join(chats.lines([kept["messages"]])) == json.dumps(kept).encode() + b"\n"


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([], "no rows"),
        (long(39), "Please include at least 40 samples (complete chats); it has 39"),
        ([{"role": "bot", "content": "x"}, *long(50)],
         "error in chat #1, message #1: Invalid role (found `bot`"),
        ([*long(4)[:-2], {"role": "assistant", "content": ""}, *long(50)],
         "error in chat #4, message #2: Invalid transition from `system` to `assistant`"),
        ([{"role": "user", "content": 3}, {"role": "assistant", "content": ""}, *long(50)],
         "Content should be a string, got type int"),
        (long(50)[1:2] * 60, "All 60 rows are one chat"),
        ([{**row, "message_id": 1} for row in long(50)], "must not contain duplicate IDs"),
        ([{"city": "Rome"}], "No chats in columns city"),
        ([{"chat_json": "{}"}], "error in chat #1: chat_json is not"),
    ],
)  # fmt: skip
def test_what_is_no_chat_is_told_with_its_place(rows: list[dict[str, object]], told: str) -> None:
    with pytest.raises(SqlError) as refused:
        chats.chats_of(rows, {})
    assert told in refused.value.message
