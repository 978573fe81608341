"""Rows to chats: what FINETUNE trains on, and what is wrong with it, with chat and message.

Long rows (`role`, `content`, and `chat_id` or `message_id` where there are any), one chat per row
(`chat_json`, or a question and an answer, or the columns of the
model's template and its own). Only a last chat that a LIMIT cut off is left out, and
counted; anything else that is wrong fails.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from modiste.sql import errors
from modiste.sql import predict as predict_rows

ROLES = ("system", "user", "assistant")
FOLLOWS = {
    None: ("system", "user"),
    "system": ("user",),
    "user": ("assistant",),
    "assistant": ("user",),
}
LEAST = 40
ONE_CHAT = 50
"""Messages that no single chat has; more in one means that nothing says where chats begin."""
Message = dict[str, Any]
Chat = list[Message]


class Chats(NamedTuple):
    chats: list[Chat]
    dropped: int
    """1 where the last chat was cut off."""


class Split(NamedTuple):
    train: list[Chat]
    validation: list[Chat]


def chats_of(rows: Sequence[Mapping[str, Any]], options: Mapping[str, Any]) -> Chats:
    """
    Args:
        rows: by lower-case column.
        options: of the model: which columns hold question, context and answer, or the template
            that is filled as it is before every question; `predict` is the column it answers in.

    Raises:
        SqlError: no chats can be made of these columns, or one of them is none.
    """
    if not rows:
        raise errors.bad("The query has no rows to train on.")
    found = list(_found(rows, options))
    dropped = 0
    if len(found) > 1 and found[-1] and found[-1][-1].get("role") != "assistant":
        found.pop()
        dropped = 1
    if len(found) == 1 and len(found[0]) > ONE_CHAT:
        raise errors.bad(
            f"All {len(found[0])} rows are one chat: there is no chat_id and no system message "
            "that begins a new one. Add a chat_id column."
        )
    for number, chat in enumerate(found, start=1):
        _check(chat, number)
    if len(found) < LEAST:
        raise errors.bad(
            f"Dataset is too small to finetune. Please include at least {LEAST} samples "
            f"(complete chats); it has {len(found)}."
        )
    return Chats(found, dropped)


def split(chats: Sequence[Chat]) -> Split:
    """The last max(20, 20 %) are held out; nothing is shuffled."""
    n = max(20, len(chats) // 5)
    return Split(list(chats[:-n]), list(chats[-n:]))


def system_message(chats: Sequence[Chat]) -> str | None:
    """The one that all chats share."""
    found = {chat[0]["content"] if chat[0]["role"] == "system" else None for chat in chats}
    return found.pop() if len(found) == 1 else None


def lines(chats: Sequence[Chat]) -> Iterator[bytes]:
    for chat in chats:
        yield json.dumps({"messages": chat}, ensure_ascii=False).encode() + b"\n"


def _found(rows: Sequence[Mapping[str, Any]], options: Mapping[str, Any]) -> Iterator[Chat]:
    columns = rows[0]
    if "role" in columns and "content" in columns:
        yield from _long(rows)
    elif "chat_json" in columns:
        for number, row in enumerate(rows, start=1):
            yield _of_json(row["chat_json"], number)
    elif "code" in columns:
        raise errors.unsupported("FINETUNE on a column of code")
    else:
        yield from _pairs(rows, options)


def _long(rows: Sequence[Mapping[str, Any]]) -> Iterator[Chat]:
    """A chat for each chat_id, or from each system message on."""
    ordered = list(rows)
    if "message_id" in rows[0]:
        if "chat_id" in rows[0]:
            ordered.sort(key=lambda row: (_key(row["chat_id"]), _key(row["message_id"])))
        else:
            ids = [row["message_id"] for row in rows]
            if len(set(ids)) != len(ids):
                raise errors.bad("If `message_id` is provided, it must not contain duplicate IDs.")
            ordered.sort(key=lambda row: _key(row["message_id"]))
    elif "chat_id" in rows[0]:
        ordered.sort(key=lambda row: _key(row["chat_id"]))
    chat: Chat = []
    before: object = None
    for row in ordered:
        begins = row["chat_id"] != before if "chat_id" in row else row["role"] == "system"
        if begins and chat:
            yield chat
            chat = []
        before = row.get("chat_id")
        chat.append({"role": row["role"], "content": row["content"]})
    yield chat


def _key(value: object) -> tuple[int, float, str]:
    """Numbers by size, other ids by text."""
    if isinstance(value, (int, float)):
        return 0, float(value), ""
    return 1, 0.0, str(value)


def _of_json(text: object, number: int) -> Chat:
    try:
        loaded: Any = json.loads(text) if isinstance(text, str) else text
        messages = loaded["messages"]
        return [{"role": each["role"], "content": each["content"]} for each in messages]
    except (ValueError, KeyError, TypeError):
        raise errors.bad(
            f"error in chat #{number}: chat_json is not "
            '{"messages": [{"role": ..., "content": ...}, ...]}'
        ) from None


def _pairs(rows: Sequence[Mapping[str, Any]], options: Mapping[str, Any]) -> Iterator[Chat]:
    first = rows[0]
    asked = str(options.get("question_column") or options.get("user_column") or "question").lower()
    wanted = options.get("answer_column") or options.get("assistant_column")
    predict = str(options.get("predict") or "answer").lower()
    told = str(wanted or (predict if predict in first else "answer")).lower()
    template = str(options.get("prompt_template") or "")
    named = predict_rows.columns_of(options) if template else []
    fills = bool(named) and all(name in first for name in named)
    if told not in first or not (fills or asked in first):
        raise errors.bad(
            f"No chats in columns {', '.join(first)}: expected role and content, chat_json, or "
            f"{asked if not named else ' and '.join(named)} and {wanted or predict}."
        )
    context = str(options.get("context_column") or "context").lower()
    for row in rows:
        question = predict_rows.filled(template, row) if fills else row[asked]
        if not fills and context in row and row[context] is not None:
            question = f"Context: {row[context]}\nQuestion: {question}\nAnswer: "
        system = row.get("instruction")
        before = [] if system is None else [{"role": "system", "content": system}]
        yield [
            *before,
            {"role": "user", "content": question},
            {"role": "assistant", "content": row[told]},
        ]


def _check(chat: Chat, number: int) -> None:
    before: str | None = None
    for at, message in enumerate(chat, start=1):
        role, content = message["role"], message["content"]
        wrong = None
        if role not in ROLES:
            wrong = f"Invalid role (found `{role}`, expected one of {', '.join(ROLES)})"
        elif role not in FOLLOWS[before]:
            wrong = f"Invalid transition from `{before}` to `{role}`"
        elif not isinstance(content, str):
            wrong = f"Content should be a string, got type {type(content).__name__}"
        if wrong is not None:
            raise errors.bad(f"error in chat #{number}, message #{at}: {wrong}")
        before = role
    for needed in ("assistant", "user"):
        if all(message["role"] != needed for message in chat):
            raise errors.bad(
                f"error in chat #{number}: Chat should have at least one {needed} message"
            )
