"""Stop strings over text that arrives in pieces: nothing of a stop string is ever let out.

A stop string may begin in one piece and end three pieces later, so text that could still become
one is held back until it is decided. The earliest match in the text wins; two that match at the
same place end the text at the same place.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Visible(NamedTuple):
    text: str
    """What may be shown now."""
    stopped: bool
    """A stop string was met: `text` is the last of it."""


class StopStrings:
    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = tuple(stop for stop in stops if stop)
        self._held = ""

    @property
    def holds(self) -> bool:
        return bool(self._held)

    def push(self, text: str) -> Visible:
        """Take the next piece; answer with what is certain not to belong to a stop string."""
        self._held += text
        found = [at for stop in self._stops if (at := self._held.find(stop)) >= 0]
        if found:
            shown, self._held = self._held[: min(found)], ""
            return Visible(shown, stopped=True)
        keep = max((_overlap(self._held, stop) for stop in self._stops), default=0)
        cut = len(self._held) - keep
        shown, self._held = self._held[:cut], self._held[cut:]
        return Visible(shown, stopped=False)

    def flush(self) -> str:
        """The end: what was held back did not become a stop string."""
        shown, self._held = self._held, ""
        return shown


def _overlap(text: str, stop: str) -> int:
    """Length of the longest end of `text` that begins `stop`."""
    for size in range(min(len(text), len(stop) - 1), 0, -1):
        if text.endswith(stop[:size]):
            return size
    return 0
