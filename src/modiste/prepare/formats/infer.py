"""Which format rows are in, told from their keys, with the reason and what else they could be.

A guess is never silent: `why` is said wherever a file is read, and any format can be forced.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from modiste.prepare.formats.kinds import Format


class Guess(NamedTuple):
    format: Format
    because: tuple[str, ...]
    """The keys that tell."""


class Inferred(NamedTuple):
    format: Format | None
    """None when no row shows one."""
    why: str
    also: tuple[Format, ...] = ()
    """What the rows could be read as just as well."""


_TEXTS = ("text", "content")
_CHATS = ("messages", "interactions")
_TURNS = ("conversations", "conversation")
_LABELS = ("labels", "label")
_PROMPTS = ("prompt", "question", "query")
_COMPLETIONS = ("completion", "response", "answer", "output")
_OUTPUTS = ("output", "response", "completion", "answer", "instances")


def guesses(value: Any) -> tuple[Guess, ...]:
    """What one row could be, the likeliest first; nothing for what is no row of ours."""
    if not isinstance(value, Mapping):
        return ()
    row = {key: inside for key, inside in value.items() if inside is not None}
    if found := _pair(row):
        return (found,)
    if "role" in row and not {*_CHATS, *_TURNS} & row.keys():
        said = [key for key in ("content", "value", "text", "tool_calls") if key in row]
        return (Guess(Format.CHAT_TABLE, ("role", *said)),) if said else ()
    found_all = [*_chats(row), *_questions(row), *_texts(row)]
    return tuple(found_all)


def format_of(value: Any) -> Format | None:
    found = guesses(value)
    return found[0].format if found else None


def infer(values: Iterable[Any]) -> Inferred:
    """The format of a file from its first rows."""
    n_rows = 0
    counts: Counter[Format] = Counter()
    others: Counter[Format] = Counter()
    first: dict[Format, Guess] = {}
    keys: list[str] = []
    for value in values:
        n_rows += 1
        found = guesses(value)
        if not found:
            keys = keys or (list(map(str, value))[:8] if isinstance(value, Mapping) else [])
            continue
        counts[found[0].format] += 1
        first.setdefault(found[0].format, found[0])
        others.update(guess.format for guess in found[1:])
    if not counts:
        return Inferred(None, _no_format(n_rows, keys))
    (format, count), *rest = counts.most_common()
    why = f"{_share(count, n_rows)} {_listed(first[format].because)}"
    why += "".join(
        f"; {n:,} of them {'looks' if n == 1 else 'look'} like {other}" for other, n in rest
    )
    also = tuple(f for f, n in others.items() if n == n_rows and f is not format)
    if also:
        why += f"; they could be {_listed(map(str, also))} as well, a given format decides"
    return Inferred(format, why, also)


def _pair(row: Mapping[str, Any]) -> Guess | None:
    for pair in (("chosen", "rejected"), ("preferred_output", "non_preferred_output")):
        if pair[0] in row and pair[1] in row:
            return Guess(Format.PREFERENCE, pair)
    return None


def _chats(row: Mapping[str, Any]) -> list[Guess]:
    found = []
    if chat := _first(row, _CHATS):
        turns = row[chat]
        from_value = isinstance(turns, list) and bool(turns) and isinstance(turns[0], Mapping)
        if (label := _first(row, _LABELS)) is not None:
            found.append(Guess(Format.CLASSIFIER, (chat, label)))
        elif from_value and "from" in turns[0] and "role" not in turns[0]:
            found.append(Guess(Format.SHAREGPT, (chat, "from")))
        else:
            found.append(Guess(Format.CHAT, (chat,)))
    if turns := _first(row, _TURNS):
        found.append(Guess(Format.SHAREGPT, (turns,)))
    if isinstance(row.get("chat"), str) and isinstance(row.get("system"), str):
        found.append(Guess(Format.SHAREGPT, ("system", "chat")))
    return found


def _questions(row: Mapping[str, Any]) -> list[Guess]:
    found = []
    prompt, completion = _first(row, _PROMPTS), _first(row, _COMPLETIONS)
    if prompt and completion:
        context = ("context",) if "context" in row else ()
        found.append(Guess(Format.PROMPT_COMPLETION, (*context, prompt, completion)))
    elif "instruction" in row and (output := _first(row, _OUTPUTS)):
        given = ("input",) if "input" in row else ()
        found.append(Guess(Format.ALPACA, ("instruction", *given, output)))
    elif "input" in row and "output" in row:
        found.append(Guess(Format.PROMPT_COMPLETION, ("input", "output")))
    return found


def _texts(row: Mapping[str, Any]) -> list[Guess]:
    text = _first(row, _TEXTS)
    if text is None:
        return []
    if (label := _first(row, _LABELS)) is not None and "completion" not in row:
        return [Guess(Format.CLASSIFIER, (text, label))]
    return [Guess(Format.TEXT, (text,))]


def _first(row: Mapping[str, Any], names: tuple[str, ...]) -> str | None:
    return next((name for name in names if name in row), None)


def _share(count: int, n_rows: int) -> str:
    if n_rows == 1:
        return "the first row holds"
    if count == n_rows:
        return f"the first {n_rows:,} rows hold"
    return f"{count:,} of the first {n_rows:,} rows {'holds' if count == 1 else 'hold'}"


def _no_format(n_rows: int, keys: list[str]) -> str:
    if not n_rows:
        return "no row could be read"
    named = f" (their keys: {', '.join(keys)})" if keys else ""
    rows = "the row does not show" if n_rows == 1 else f"none of the first {n_rows:,} rows shows"
    return f"{rows} a known format{named}"


def _listed(names: Iterable[str]) -> str:
    *most, last = list(names)
    return f"{', '.join(most)} and {last}" if most else last
