"""What a model generates, read as it arrives: text, thoughts and calls of tools.

One pass over the pieces of `marks.py`. However an answer is cut into pieces, the same parts come
out. Text comes as soon as it is certain to be text; a call comes once, whole. White space around
calls and around spelt marks of thoughts is how a template sets them apart: it belongs to no part.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from modiste.prepare.calls import Broken, Call, CallReader, Over
from modiste.prepare.manner import CALLS, PYTHON_TAG, TAG, CallStyle, Manner
from modiste.prepare.marks import Mark, Piece


@dataclass(frozen=True)
class Text:
    text: str


@dataclass(frozen=True)
class Thought:
    """A piece of what the model thinks before it answers."""

    text: str


Part = Text | Thought | Call

_OPENS = {
    CallStyle.LIST: CALLS,
    CallStyle.NAMED: CALLS,
    CallStyle.TAGGED: TAG,
    CallStyle.BARE: PYTHON_TAG,
}


class AnswerReader:
    def __init__(self, manner: Manner, *, tools: bool, thinks_first: bool = False) -> None:
        """
        Args:
            tools: whether calls are looked for; without, what might be one is text.
            thinks_first: the prompt opened a thought already.
        """
        self._style = manner.calls if tools else None
        self._thinking = manner.thinking
        self._reader: CallReader | None = None
        self.in_thought = thinks_first
        self._trims = thinks_first and self._framed
        """White space that comes now belongs to the mark before it."""
        self._space = ""
        """White space that is text only if text follows."""
        self._began = False
        """Something was said: no spelt thought and no call without a mark can begin any more."""

    @property
    def holds(self) -> bool:
        """Whether something was read that is not told yet."""
        return self._reader is not None or bool(self._space)

    def push(self, pieces: Iterable[Piece]) -> list[Part]:
        parts: list[Part] = []
        for piece in pieces:
            self._take(piece, parts)
        return parts

    def flush(self) -> list[Part]:
        """The end of the answer: a call that was only begun is text."""
        begun = self._reader.end() if self._reader else None
        text = "" if self.in_thought else self._space
        self._reader, self._space = None, ""
        text += begun.text if begun else ""
        return [Text(text)] if text else []

    @property
    def _framed(self) -> bool:
        return self._thinking is not None and self._thinking.framed

    def _take(self, piece: Piece, parts: list[Part]) -> None:
        if self._reader is not None:
            self._read(piece, self._reader, parts)
        elif isinstance(piece, Mark):
            self._mark(piece, parts)
        elif self._begins_bare_call(piece):
            start = len(piece) - len(piece.lstrip())
            self._space += "" if self._trims else piece[:start]
            self._open(CallStyle.BARE, None)
            self._take(piece[start:], parts)
        else:
            self._say(piece, parts)

    def _mark(self, mark: Mark, parts: list[Part]) -> None:
        thinking = self._thinking
        if self._style is not None and mark.name == _OPENS[self._style] and self._may_call(mark):
            self._open(self._style, mark)
        elif thinking and self.in_thought and mark.name == thinking.end:
            self._space, self.in_thought, self._trims = "", False, self._framed
        elif thinking and mark.name == thinking.begin and self._may_think(mark):
            self._space, self.in_thought, self._trims = "", True, self._framed
        elif mark.spelt:
            self._say(mark.name, parts)

    def _may_call(self, mark: Mark) -> bool:
        """A thought may speak of calls; only a control token breaks it off."""
        return not (self.in_thought and mark.spelt)

    def _may_think(self, mark: Mark) -> bool:
        return not self.in_thought and not (mark.spelt and self._began)

    def _begins_bare_call(self, text: str) -> bool:
        first = self._style is CallStyle.BARE and not self._began and not self.in_thought
        return first and text.lstrip().startswith("{")

    def _open(self, style: CallStyle, mark: Mark | None) -> None:
        if self.in_thought:
            self.in_thought, self._space = False, ""
        self._trims = False
        self._reader = CallReader(style, mark)

    def _read(self, piece: Piece, reader: CallReader, parts: list[Part]) -> None:
        items: Sequence[Piece] = [piece] if isinstance(piece, Mark) else piece
        for at, item in enumerate(items):
            told = reader.step(item)
            if isinstance(told, Call):
                parts.append(told)
                self._space, self._began = "", True
            elif isinstance(told, Broken):
                self._reader = None
                parts.append(Text(self._space + told.text))
                self._space, self._began = "", True
                if isinstance(piece, str) and piece[at + 1 :]:
                    self._take(piece[at + 1 :], parts)
                return
            elif isinstance(told, Over):
                self._reader = None
                self._take(piece if isinstance(piece, Mark) else piece[at:], parts)
                return

    def _say(self, text: str, parts: list[Part]) -> None:
        text = text.lstrip() if self._trims else text
        if not text:
            return
        self._trims = False
        text = self._space + text
        end = len(text.rstrip()) if self._sets_space_apart else len(text)
        text, self._space = text[:end], text[end:]
        if not text:
            return
        if self.in_thought:
            parts.append(Thought(text))
        else:
            parts.append(Text(text))
            self._began = True

    @property
    def _sets_space_apart(self) -> bool:
        if self.in_thought:
            return self._framed
        if self._style is CallStyle.TAGGED:
            return True
        return not self._began and (self._style is CallStyle.BARE or self._framed)
