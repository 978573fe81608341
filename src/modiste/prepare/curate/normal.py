"""Text as comparison sees it: two texts that a reader would call the same come out equal.

Compatibility forms, case, invisible characters and white space do not count; punctuation does,
because `a > b` and `a < b` are two answers. Nothing here is written back to a row.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from typing import NamedTuple

from modiste.types import Example, Message, Role

_SYSTEM, _ASSISTANT = Role.SYSTEM, Role.ASSISTANT
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U000e0000-\U000e0fff]"
)
"""Zero-width and other characters that show nothing (Unicode's default-ignorable ones)."""
_LINES = re.compile("[\u0085\u1680\u2028\u2029]")
"""White space that NFKC does not make a blank."""
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u3100-\u312f"
    "\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)
"""Letters of scripts that put no blanks between words; each counts as a word."""
_DIGIT = re.compile(r"\d")
_NOT_WORD = re.compile(r"(?:\W|_)+")
_ASCII_WORDS = bytes(
    ord(chr(code).lower()) if code < 128 and chr(code).isalnum() else ord(" ")
    for code in range(256)
)


def folded(text: str) -> str:
    """Compatibility forms, case and invisible characters levelled; white space as it was."""
    if text.isascii():
        return text.lower()
    plain = _INVISIBLE.sub("", text)
    plain = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", plain).casefold())
    return _LINES.sub(" ", _INVISIBLE.sub("", plain))


def normal(text: str, *, digits: bool = False) -> str:
    """`folded`, with single blanks between words and none around.

    Args:
        digits: write every digit as 0, so that texts that differ in numbers are the same.
    """
    plain = " ".join(folded(text).split())
    return _DIGIT.sub("0", plain) if digits else plain


def parted(text: str) -> str:
    """`folded`, with blanks around letters of scripts that are written without any."""
    plain = folded(text)
    return plain if plain.isascii() else _UNSPACED.sub(r" \g<0> ", plain)


def words(text: str) -> str:
    """Letters and digits only, blanks between words: for finding copies, not for telling apart."""
    if text.isascii():
        return text.encode("ascii").translate(_ASCII_WORDS).decode("ascii")
    return _NOT_WORD.sub(" ", parted(text))


def digest(*texts: str) -> bytes:
    """blake2b-128 of some texts, told apart from the same characters cut otherwise."""
    hashed = hashlib.blake2b(digest_size=16)
    for text in texts:
        data = text.encode("utf-8", "surrogatepass")
        hashed.update(len(data).to_bytes(8, "little"))
        hashed.update(data)
    return hashed.digest()


class Said(NamedTuple):
    """The two sides of a row that are compared."""

    asked: str
    answered: str


def said(example: Example, *, system: bool = False) -> Said:
    """What a row asks and what it teaches as the answer.

    Plain texts are asked and answer nothing. A classifier row answers its labels, a preference row
    the preferred answer and then the other. Tool calls and results count as they are written.

    Args:
        system: count system messages as asked; many rows share one, and then all look alike.
    """
    if not example.messages:
        return Said(example.text or "", _labels(example))
    asked: list[str] = []
    answered: list[str] = []
    for message in example.messages:
        role = message.role
        if role is _SYSTEM and not system:
            continue
        side = answered if role is _ASSISTANT else asked
        if message.tool_calls:
            side += written(message)
        elif message.content:
            side.append(message.content)
    for message in (*example.chosen, *example.rejected):
        answered += written(message)
    if example.labels:
        answered.append(_labels(example))
    return Said("\n".join(asked), "\n".join(answered))


def written(message: Message) -> list[str]:
    """The texts of a message: its content and its tool calls."""
    texts = [message.content] if message.content else []
    return texts + [f"{call.name} {call.arguments}" for call in message.tool_calls]


def _labels(example: Example) -> str:
    return "\n".join(f"{name}: {', '.join(v)}" for name, v in sorted(example.labels.items()))
