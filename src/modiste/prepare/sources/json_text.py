"""What is wrong with a text that should be JSON, said so that a person can mend it.

A parser says where it stopped; here stands what people did: NaN, single quotes, a cut file. And
what parsers do not say at all: a key that stands twice, of which only the last value survives, and
nesting that nothing behind the parser can follow.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import orjson

MAX_DEPTH = 254
"""What orjson can write; it reads 1,024."""


class Flaw(NamedTuple):
    """Something wrong with a value that a parser took."""

    path: str
    code: str
    message: str
    hint: str


def flaw(text: bytes, value: Any) -> Flaw | None:
    """The first thing that parsing `text` to `value` passed over in silence."""
    try:
        written = orjson.dumps(value)
    except TypeError:
        said = f"the row is nested deeper than {MAX_DEPTH} levels"
        return Flaw("", "nested_too_deep", said, "no training row needs that; look at its export")
    if written == text:
        return None
    # No string of the text is lost if as many quotes come back out; `\u0022` would write one more.
    if text.count(b'"') == written.count(b'"') and b"\\u0022" not in text:
        return None
    return next((_repeated(path, key) for path, key in repeated_keys(text)), None)


def repeated_keys(text: bytes) -> Iterator[tuple[str, str]]:
    """Path of each object that has a key twice, and the key."""
    try:
        tree = json.loads(text, object_pairs_hook=_Object)
    except (ValueError, RecursionError):
        return
    waiting: list[tuple[str, Any]] = [("", tree)]
    while waiting:
        path, node = waiting.pop()
        if isinstance(node, _Object):
            yield from ((path, key) for key in node.repeated)
            inside = [(f"{path}.{key}" if path else key, child) for key, child in node.items()]
        elif isinstance(node, list):
            inside = [(f"{path}[{at}]", child) for at, child in enumerate(node)]
        else:
            continue
        waiting += reversed(inside)


def hint(text: str, at: int) -> str | None:
    """What the writer of the text probably did, told from where the parser stopped."""
    bare, char = text.strip(), text[at : at + 1]
    if "\0" in text:
        return "there are NUL bytes in the line: the file is damaged, copy it again"
    if bare in ("{", "[") or bare.startswith("[{"):
        return "one complete JSON object per line, not a pretty-printed or listed one"
    if "\r" in text:
        return "lines end in a carriage return alone: save with LF or CRLF ends"
    if _NUMBER.match(text, at) or (at and _NUMBER.match(text, at - 1)):
        return "JSON has no NaN and no Infinity: write null or leave the key out"
    if _HUGE.match(text, at):
        return "the number is too large: write it as a string"
    if _HALF.search(text, at):
        return "half of a surrogate pair: a character was cut in two; take the escape out"
    if char == "'" or _PYTHON.match(text, at):
        return "this is Python's spelling: write rows with json.dumps"
    if char.isdigit() and text[:at].rstrip()[-1:] in ("{", ","):
        return "keys are strings in JSON: put quotes around the number"
    if char == ",":
        return "take out the last comma"
    if at and char in ("{", "["):
        return "one row per line: break the line here"
    if bare[:1] in ("{", "[") and at >= len(bare) - 1:
        return "the line is cut off: was the file written or copied whole?"
    return None


class _Object(dict[str, Any]):
    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        counts = Counter(key for key, _ in pairs) if len(pairs) > len(self) else {}
        self.repeated = [key for key, count in counts.items() if count > 1]


def _repeated(path: str, key: str) -> Flaw:
    name = key if len(key) <= 60 else f"{key[:60]}…"
    where = f"{path}.{name}" if path else name
    said = f"the key {name} stands twice in {path or 'the row'}; only one of them could be read"
    return Flaw(where, "key_repeated", said, "keep one of the two")


_PYTHON = re.compile(r"True|False|None|undefined")
_NUMBER = re.compile(r"[+-]?(NaN|nan|Infinity|inf)")
_HUGE = re.compile(r"-?[0-9.]+[eE]\+?[0-9]{3}")
_HALF = re.compile(r"\\u[dD][89a-fA-F]")
