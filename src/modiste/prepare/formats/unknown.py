"""Rows of no known format: what they look like, and how to say what is what."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from modiste.prepare.formats.row import Notes

_OTHER_FORMATS = {
    "conversations": "ShareGPT",
    "conversation": "ShareGPT",
    "instruction": "Alpaca",
    "prompt": "prompt and completion",
    "chosen": "preference",
    "preferred_output": "preference",
    "input": "Alpaca or preference",
}
CHAT_HINT = 'write it as {"messages": [{"role": "user", "content": …}, …]}'


def say_unknown(value: Mapping[str, Any], row: Notes) -> None:
    named = next((name for key, name in _OTHER_FORMATS.items() if key in value), None)
    keys = ", ".join(map(repr, list(value)[:8])) or "no keys"
    text = f"the row has neither messages nor text, only {keys}"
    hint = f"this looks like {named} data: {CHAT_HINT}" if named else CHAT_HINT
    if not named and len(value) > 1:
        first, second, *_ = [*_longest_texts(value), "…", "…"]
        hint += f", or say what is what: --columns 'user={{{first}}}' 'assistant={{{second}}}'"
    row.say("", "format_unknown", text, hint)


def _longest_texts(value: Mapping[str, Any]) -> list[str]:
    """The two columns that hold most text, in their order, as a template names them."""
    texts: dict[str, str] = {}
    for key, inside in value.items():
        if re.search(r"[{}\[\].!:]", key):
            continue
        if isinstance(inside, str):
            texts[key] = inside
        elif isinstance(inside, list) and inside and isinstance(inside[0], str):
            texts[f"{key}[0]"] = inside[0]
    longest = sorted(texts, key=lambda name: len(texts[name]), reverse=True)[:2]
    return [name for name in texts if name in longest]
