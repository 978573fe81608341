"""Ids of tool calls that every format takes: nine letters or digits, and results that follow them.

Mistral's tokenizers v3 to v7 refuse any other id, and from v11 on each result must name its call.
An id is made from what stands there already (its old text, its place, its function), so the same
row always gets the same ids; ids that are right are kept.
"""

from __future__ import annotations

import hashlib
import string
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeGuard

from modiste.prepare.conversation import SHORT_CALL_ID

_LETTERS = string.ascii_letters + string.digits


class NewId(NamedTuple):
    at: int
    """Which message."""
    where: str
    before: Any
    after: str


class WithIds(NamedTuple):
    messages: list[Any]
    changes: list[NewId]


class _Waiting(NamedTuple):
    """A call without its result yet."""

    old: Any
    new: str
    name: Any


def with_short_ids(messages: Sequence[Any]) -> WithIds:
    """The messages with ids put right; those that need nothing are the same objects."""
    found = list(messages)
    changes: list[NewId] = []
    taken = set(_short_ids(messages))
    at = 0
    while at < len(found):
        calls = found[at].get("tool_calls") if _has_role(found[at], "assistant") else None
        if isinstance(calls, list) and calls:
            found[at], waiting = _calls(found[at], calls, at, taken, changes)
            results = _results_behind(found, at)
            for index, new in _matched(found, results, waiting):
                old = found[index].get("tool_call_id")
                if old != new:
                    found[index] = {**found[index], "tool_call_id": new}
                    changes.append(NewId(index, "tool_call_id", old, new))
        at += 1
    return WithIds(found, changes)


def _calls(
    message: Mapping[str, Any], calls: Sequence[Any], at: int, taken: set[str], changes: list[NewId]
) -> tuple[Mapping[str, Any], list[_Waiting]]:
    """The message with right ids, and its calls in order; two calls of it never share an id."""
    fixed, waiting, here = [], [], set()
    for number, call in enumerate(calls):
        if not isinstance(call, dict):
            fixed.append(call)
            continue
        function = call.get("function")
        name = function.get("name") if isinstance(function, dict) else None
        old = call.get("id")
        new = old if _is_short(old) and old not in here else _made(old, name, at, number, taken)
        here.add(new)
        waiting.append(_Waiting(old, new, name))
        if new == old:
            fixed.append(call)
            continue
        fixed.append({"id": new} | call | {"id": new})
        changes.append(NewId(at, f"tool_calls[{number}].id", old, new))
    same = all(one is other for one, other in zip(fixed, calls, strict=True))
    return (message if same else {**message, "tool_calls": fixed}), waiting


def _results_behind(messages: Sequence[Any], at: int) -> list[int]:
    end = at + 1
    while end < len(messages) and _has_role(messages[end], "tool"):
        end += 1
    return list(range(at + 1, end))


def _matched(
    messages: Sequence[Any], results: Sequence[int], waiting: list[_Waiting]
) -> Iterator[tuple[int, str]]:
    """Results with the id of their call: by its old id, else by name, else by order, where all
    that are left over on both sides fit together."""
    open_calls, nameless = list(waiting), []
    for index in results:
        said = messages[index].get("tool_call_id")
        call = next((c for c in open_calls if said is not None and said in (c.old, c.new)), None)
        if call is None:
            nameless.append(index)
        else:
            open_calls.remove(call)
            yield index, call.new
    if len(nameless) != len(open_calls):
        return
    for index in nameless:
        name = messages[index].get("name")
        same = [call for call in open_calls if name is not None and call.name == name]
        call = same[0] if same else open_calls[0]
        if name is not None and not same and any(call.name is not None for call in open_calls):
            return
        open_calls.remove(call)
        yield index, call.new


def _made(old: Any, name: Any, at: int, number: int, taken: set[str]) -> str:
    seed = f"{old}|{name}|{at}|{number}"
    for salt in range(1000):
        digest = hashlib.blake2b(
            f"{seed}|{salt}".encode("utf-8", "replace"), digest_size=9
        ).digest()
        made = "".join(_LETTERS[byte % len(_LETTERS)] for byte in digest)
        if made not in taken:
            taken.add(made)
            return made
    raise AssertionError("a thousand ids of nine characters are all taken")


def _short_ids(messages: Sequence[Any]) -> Iterator[str]:
    for message in messages:
        calls = message.get("tool_calls") if isinstance(message, dict) else None
        for call in calls if isinstance(calls, list) else ():
            if isinstance(call, dict) and _is_short(call.get("id")):
                yield call["id"]


def _is_short(call_id: Any) -> TypeGuard[str]:
    return isinstance(call_id, str) and SHORT_CALL_ID.match(call_id) is not None


def _has_role(message: Any, role: str) -> bool:
    return isinstance(message, dict) and message.get("role") == role
