"""Ids of an answer as they arrive, as text and the marks that structure it.

A mark (`[TOOL_CALLS]`, `<think>`) is a control token in some vocabularies and plain text in others;
behind this file nobody needs to know which. A control token is only ever found by its id: text that
spells its name stays text. A mark that is spelt in text is found however the text is cut, and text
that may still become one is held back.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from modiste.prepare.detokenize import StreamDecoder


@dataclass(frozen=True)
class Mark:
    name: str
    spelt: bool
    """It is text in this vocabulary: where it structures nothing it is shown as it stands."""


Piece = str | Mark


class MarkedDecoder:
    """Decodes one growing answer; without marks it is the decoder that it wraps."""

    def __init__(
        self, decoder: StreamDecoder, *, control: Mapping[int, str], spelt: Sequence[str]
    ) -> None:
        """
        Args:
            control: names of the marks that are control tokens, by id.
            spelt: marks that are text; none of them may lie within another.
        """
        self._decoder = decoder
        self._control = control
        self._spelt = tuple(spelt)
        self.held = ""
        """Text that may still become a mark."""

    def push(self, token: int) -> list[Piece]:
        """What is certain after one more token."""
        name = self._control.get(token)
        if name is None:
            return list(self._found(self._decoder.push([token])))
        return [*self.flush(), Mark(name, spelt=False)]

    def flush(self) -> list[Piece]:
        """The end, or a place that no character and no mark reaches over."""
        found = list(self._found(self._decoder.flush()))
        if self.held:
            found.append(self.held)
            self.held = ""
        return found

    def _found(self, text: str) -> Iterator[Piece]:
        rest = self.held + text
        while True:
            starts = [(at, name) for name in self._spelt if (at := rest.find(name)) >= 0]
            if not starts:
                break
            start, name = min(starts)
            if start:
                yield rest[:start]
            yield Mark(name, spelt=True)
            rest = rest[start + len(name) :]
        keep = max((_overlap(rest, name) for name in self._spelt), default=0)
        cut = len(rest) - keep
        self.held = rest[cut:]
        if cut:
            yield rest[:cut]


def _overlap(text: str, name: str) -> int:
    """Length of the longest end of `text` that begins `name`."""
    for size in range(min(len(text), len(name) - 1), 0, -1):
        if text.endswith(name[:size]):
            return size
    return 0
