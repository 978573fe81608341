"""An answer on its way out: what of it was looked at, and how much of that may be sent.

Text waits until a window of it is there, is looked at together with what was sent before, and goes
out except for its end, which may be the beginning of something. So nothing is sent that was not
looked at, and what is found is found whole before its first letter leaves, as long as it is not
longer than `TAIL`.
"""

from __future__ import annotations

from collections.abc import Iterable

WINDOW = 400
"""Characters that wait before they are looked at."""
TAIL = 200
"""Characters that are held back behind those that go out."""
CONTEXT = 2000
"""Characters already sent that are looked at again with the new ones."""


class Window:
    """One text that is being written.

    Args:
        whole: nothing goes out before the end.
        before: what the text continues, looked at with it and never sent.
        behind: what comes after it, looked at with its end and never sent.
    """

    def __init__(self, *, whole: bool = False, before: str = "", behind: str = "") -> None:
        self.whole = whole
        self._sent, self._held, self._behind = before[-TAIL:], "", behind[:TAIL]
        self._foreign = len(self._sent)

    def add(self, text: str) -> None:
        self._held += text

    @property
    def due(self) -> bool:
        return not self.whole and len(self._held) >= WINDOW

    @property
    def empty(self) -> bool:
        return not self._held

    def to_look_at(self, *, last: bool) -> str:
        """What was sent and what waits; without the word that is being written."""
        held = self._held + self._behind if last else self._held[: self._last_space()]
        return self._sent[-CONTEXT:] + held

    def alone(self, *, last: bool) -> str:
        """The same without what stands around it."""
        seen = self.to_look_at(last=last)
        if not self._foreign and not self._behind:
            return seen
        begun = max(0, self._foreign - max(0, len(self._sent) - CONTEXT))
        return seen[begun : len(seen) - len(self._behind) if last else None]

    def passed(self, replaced: Iterable[tuple[int, int, str]] = (), *, last: bool) -> str:
        """What may go out now.

        Args:
            replaced: start, end and what stands there instead, in the text that was looked at.
        """
        sent = len(self._sent[-CONTEXT:])
        end_of = len(self._held) if last else len(self._held) + sent
        spans = sorted(
            (start - sent, min(end - sent, end_of), by)
            for start, end, by in replaced
            if end > sent and start - sent < end_of
        )
        cut = len(self._held) if last else max(0, min(self._last_space(), len(self._held) - TAIL))
        for start, end, _ in reversed(spans):
            if start < cut < end:
                cut = max(0, start)  # Found, and not yet whole: it waits.
        pieces, at = [], 0
        for start, end, by in spans:
            if start >= cut or end <= at:
                continue
            if start >= at or at == 0:
                pieces += [self._held[at : max(start, at)], by]
            at = end
        pieces.append(self._held[at:cut])
        self._sent += self._held[:cut]
        self._held = self._held[cut:]
        return "".join(pieces)

    def _last_space(self) -> int:
        """Where the word that is being written begins; a text without any space is one."""
        at = max(self._held.rfind(space) for space in " \n\t")
        return at + 1 if at >= 0 else len(self._held)
