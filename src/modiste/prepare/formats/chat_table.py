"""Long tables of messages, one a row, put together to chats.

    chat_id,message_id,role,content
    17,1,user,Where is my order?
    17,2,assistant,It left yesterday.

A chat is what shares a `chat_id` and stands together, ordered by `message_id` where there is one.
Without ids a chat begins where `new_chat` is true, or at each `system` row. Where nothing tells,
that is a problem: a whole table is not one chat. Only one chat is held in memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson

from modiste.prepare.formats import chat
from modiste.prepare.formats.places import AS_IT_IS, Place, Places
from modiste.prepare.formats.row import Row
from modiste.prepare.sources.document import Item
from modiste.types import Example, Problem

CHAT_IDS = (
    "chat_id",
    "conversation_id",
    "conv_id",
    "dialog_id",
    "dialogue_id",
    "session_id",
    "thread_id",
)
ORDERS = ("message_id", "turn_id", "turn", "message_index")
STARTS = ("new_chat", "chat_start", "is_first", "boundary")
MAX_UNBOUNDED = 50
"""A chat this long that nothing bounds is a table whose chats cannot be told apart."""
MAX_MESSAGES = 10_000
_FALSE = (None, "", "0", "false", "False", "no", 0, False)


class Chat(NamedTuple):
    """One chat as an item of the chat format, and what became of it."""

    item: Item
    row: Row


def chats(items: Iterable[Item], *, file: str) -> Iterator[Chat]:
    """The chats of a table, and its unreadable rows as they come."""
    grouping = _Grouping(file)
    for item in items:
        if item.problem is not None or not isinstance(item.value, dict):
            problem = item.problem or _not_a_message(item, file)
            grouping.spoiled = True
            yield Chat(item, Row(None, (problem,)))
            continue
        if grouping.begins_chat(item.value) and grouping.rows:
            yield grouping.close()
        grouping.add(item)
        if grouping.unbounded():
            yield grouping.refuse()
            return
    if grouping.rows:
        yield grouping.close()


def write(example: Example, *, chat_id: int) -> list[dict[str, Any]]:
    """A chat as rows of a table; tools stand in its first row."""
    rows = []
    for number, message in enumerate(example.messages, 1):
        written = {"content": "", **chat.write_message(message)}
        rows.append({"chat_id": chat_id, "message_id": number, **written})
    if rows and example.tools:
        rows[0]["tools"] = [dict(tool) for tool in example.tools]
    return rows


@dataclass
class _Grouping:
    """The chat that is being put together."""

    file: str
    rows: list[Item] = field(default_factory=list)
    spoiled: bool = False
    """A row that could not be read stood among its rows."""
    seen: set[int] = field(default_factory=set)
    last_id: Any = None
    bounded: bool = False
    """An id, a mark or a system row has told chats apart."""

    def begins_chat(self, row: Mapping[str, Any]) -> bool:
        if key := _first(row, CHAT_IDS):
            self.bounded = True
            began = bool(row[key] != self.last_id)
            self.last_id = row[key]
            return began
        if key := _first(row, STARTS):
            self.bounded = True
            return bool(row[key] not in _FALSE)
        if str(row.get("role")) == "system":
            self.bounded = True
            return True
        return False

    def add(self, item: Item) -> None:
        self.rows.append(item)

    def unbounded(self) -> bool:
        limit = MAX_MESSAGES if self.bounded else MAX_UNBOUNDED
        return len(self.rows) > limit

    def refuse(self) -> Chat:
        first = self.rows[0]
        text = f"nothing tells the chats of the table apart: {len(self.rows)} rows in one chat"
        hint = "add a column chat_id, or begin each chat with a system row"
        problem = Problem(self.file, first.line, "", "chats_not_told", text, hint=hint)
        return Chat(first, Row(None, (problem,)))

    def close(self) -> Chat:
        rows, self.rows = self.rows, []
        spoiled, self.spoiled = self.spoiled, False
        first = rows[0].line
        problems = self._wrong_order(rows, first) + self._again(rows[0])
        if spoiled:
            text = "a row of this chat cannot be read, so the chat is left out"
            problems.append(Problem(self.file, first, "", "chat_incomplete", text))
        if _first(rows[0].value, ORDERS):
            rows = sorted(rows, key=_order)
        value: dict[str, Any] = {"messages": [message_of(item.value) for item in rows]}
        if tools := next((t for item in rows if (t := item.value.get("tools"))), None):
            value["tools"] = tools
        read = chat.parse_row(value, file=self.file, line=first)
        names = (_first(rows[0].value, CHAT_IDS), _first(rows[0].value, ORDERS))
        places = _places(read.places, rows)
        lost = (*read.lost, *(name for name in names if name))
        read = read._replace(lost=lost, places=places)
        told = [*problems, *map(places.problem, read.problems)]
        try:
            raw = orjson.dumps(value)
        except orjson.JSONEncodeError as error:
            raw = b""
            text = f"the chat cannot be written as JSON: {error}"
            told.append(Problem(self.file, first, "", "not_writable", text))
        return Chat(Item(first, raw, value), _refused(read, told))

    def _again(self, item: Item) -> list[Problem]:
        """A chat that was closed and comes back was cut in two by the order of the rows."""
        key = _first(item.value, CHAT_IDS)
        if key is None:
            return []
        mark = hash(str(item.value[key]))
        if mark not in self.seen:
            self.seen.add(mark)
            return []
        text = f"{key} {item.value[key]!r} comes back after rows of another chat"
        hint = f"sort the rows by {key}"
        return [Problem(self.file, item.line, key, "chat_split", text, hint=hint)]

    def _wrong_order(self, rows: list[Item], line: int) -> list[Problem]:
        key = _first(rows[0].value, ORDERS)
        if key is None:
            return []
        numbers = [_order(item) for item in rows]
        if len(set(numbers)) < len(numbers):
            text = f"{key} stands twice in one chat, so the order of its messages is not known"
            return [Problem(self.file, line, key, "message_order", text)]
        return []


def _refused(row: Row, problems: list[Problem]) -> Row:
    return row._replace(example=None, problems=tuple(problems)) if problems else row


def _first(row: Mapping[str, Any], names: tuple[str, ...]) -> str | None:
    return next((name for name in names if row.get(name) not in (None, "")), None)


def _order(item: Item) -> tuple[int, float, str]:
    key = _first(item.value, ORDERS)
    found = item.value[key] if key else ""
    try:
        return (0, float(found), "")
    except (TypeError, ValueError):
        return (1, 0.0, str(found))


def message_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row as a message; empty cells of a table are absent fields."""
    left_out = {*CHAT_IDS, *ORDERS, *STARTS, "tools"}
    message = {
        key: cell
        for key, cell in row.items()
        if key not in left_out and (cell != "" or key == "content")
    }
    if message.get("content") == "" and message.get("tool_calls"):
        del message["content"]
    if message.get("weight") in ("0", "1"):
        message["weight"] = int(message["weight"])
    return message


def _places(known: Places | None, rows: list[Item]) -> Places:
    """A message is a row of its own, on a line of its own."""
    fields = [place.fields for place in known.messages] if known else []
    fields += [AS_IT_IS] * (len(rows) - len(fields))
    pairs = zip(rows, fields, strict=True)
    return Places(tuple(Place("", inside or AS_IT_IS, item.line) for item, inside in pairs))


def _not_a_message(item: Item, file: str) -> Problem:
    text = "the row is not an object with role and content"
    return Problem(file, item.line, "", "row_not_object", text)
