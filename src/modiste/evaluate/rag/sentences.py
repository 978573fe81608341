"""A text as numbered sentences, so that a judge can say which of them a claim is from."""

from __future__ import annotations

import re
import unicodedata

END = re.compile(r"(?<=[.!?…])[\"'”’)\]]*\s+(?=[\"'“‘(\[]?[^\W_a-z])|(?<=[。！？])|\n+")
"""Where a sentence may end: a full stop before a capital letter or a digit, or a new line."""
ABBREVIATED = re.compile(r"(?:^|\s)(?:[A-Z]|Dr|Mr|Mrs|Ms|Prof|St|No|Art|vs|e\.g|i\.e|approx)\.$")
ELLIPSIS = re.compile(r"\.{3}|…")


def sentences(text: str) -> tuple[str, ...]:
    """The sentences of a text in order; without any, nothing."""
    found: list[str] = []
    for part in END.split(text):
        sentence = " ".join(part.split())
        if not sentence:
            continue
        if found and ABBREVIATED.search(found[-1]):
            found[-1] = f"{found[-1]} {sentence}"
        else:
            found.append(sentence)
    return tuple(found)


def numbered(lines: tuple[str, ...]) -> str:
    """`[1] …`, one a line."""
    return "\n".join(f"[{at}] {line}" for at, line in enumerate(lines, start=1))


def quoted_in(quote: str, text: str) -> bool:
    """Whether a quotation stands in a text, spacing, letter case and quotation marks aside. An
    ellipsis stands for what was left out; an empty quotation stands nowhere."""
    parts = [folded(part) for part in ELLIPSIS.split(quote)]
    parts = [part for part in parts if part]
    whole = folded(text)
    return bool(parts) and all(part in whole for part in parts)


def folded(text: str) -> str:
    plain = unicodedata.normalize("NFKC", text).casefold()
    plain = re.sub(r"[\"'“”‘’«»`]", "", plain)
    return " ".join(plain.split()).strip(" .,;:")
