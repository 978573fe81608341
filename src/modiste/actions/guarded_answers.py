"""Answers under policies: nothing is told that was not looked at.

The engine is at work while the input is looked at (`Begun`), and nothing is told before that
verdict. Text waits in a `Window`, calls of tools until their arguments passed, log-probabilities
until the end. What is blocked ends in `Blocked`, mid-stream too, and the engine stops.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing, suppress
from dataclasses import replace

from modiste.actions import moderation
from modiste.actions.answers import (
    Calls,
    Completion,
    Delta,
    Ended,
    Event,
    Prompted,
    Thinks,
    Usage,
    collected,
)
from modiste.actions.guarded import WAITS_FOR_END, Change, Guards, blocked, replaced, violated
from modiste.actions.reading import Drawn
from modiste.moderate.guard import Item
from modiste.moderate.policy import Place
from modiste.moderate.window import Window
from modiste.types import Message, Role, ToolCall

Again = Callable[[str], Awaitable[str]]
"""Answers the same request under an instruction; the text of one choice."""


class GuardedAnswer:
    """An answer of which nothing is told before it was looked at. Read it once."""

    def __init__(
        self,
        events: AsyncGenerator[Event | Usage],
        guards: Guards,
        *,
        n: int,
        before: Sequence[Message] = (),
        again: Again | None = None,
        continues: str = "",
        leads_to: str = "",
    ) -> None:
        """
        Args:
            continues, leads_to: texts around the answer that are not part of what it tells.
        """
        self._events, self._guards, self._n = events, guards, n
        self._before, self._again = tuple(before), again
        self._around = (continues, leads_to)

    async def whole(self) -> Completion:
        return await collected(self.events(), n=self._n)

    async def events(self) -> AsyncGenerator[Event | Usage]:
        """As `Answer.events`.

        Raises:
            Blocked: what comes next may not be told. ModisteError: as `Answer.events`.
        """
        choices = [_Choice(index, self) for index in range(self._n)]
        async with aclosing(self._events) as events:
            async for event in events:
                if isinstance(event, Usage) or not self._guards.looks_at_answers():
                    yield event
                    continue
                async for told in choices[event.index].heard(event):
                    yield told

    async def look(self, text: str, place: Place) -> Change:
        item = Item(text, self._before, Role.ASSISTANT)
        (change,) = await self._guards.changes([(place, item)])
        return change

    async def look_at_name(self, call: ToolCall) -> None:
        """The name of a call, and what escapes in its arguments stand for.

        Raises:
            Blocked: it may not be told; neither can be changed.
        """
        name = moderation.readable(call.name)
        for place, text in (
            (Place.OUTPUT, name),
            (Place.TOOL_ARGUMENTS, name),
            *((Place.TOOL_ARGUMENTS, text) for text in moderation.hidden_in(call.arguments)),
        ):
            change = await self.look(text, place)
            if change.instructions or change.text != text:
                raise blocked(change.told)

    async def safely(self, change: Change) -> str:
        """The answer given again under the instructions of its policies, if it passes now."""
        if self._again is None:
            raise blocked(change.told)
        text = await self._again("\n".join(dict.fromkeys(change.instructions)))
        second = await self.look(text, Place.OUTPUT)
        if second.instructions:
            raise blocked(second.told)
        return second.text

    def window(self) -> Window:
        before, behind = self._around
        return Window(whole=self._guards.waits_for_end(), before=before, behind=behind)

    async def pass_as_they_are(self, texts: Iterable[str]) -> bool:
        return await self._guards.pass_as_they_are(texts)


class _Choice:
    """One choice on its way out."""

    def __init__(self, index: int, answer: GuardedAnswer) -> None:
        self._index, self._answer = index, answer
        self._text, self._thought = answer.window(), Window(whole=answer.window().whole)
        self._drawn: list[Drawn] = []
        self._changed = False

    async def heard(self, event: Event) -> AsyncGenerator[Event]:
        match event:
            case Delta(_, text, drawn):
                self._drawn += drawn
                self._text.add(text)
                if self._text.due and (told := await self._passed(self._text, last=False)):
                    yield Delta(self._index, told)
            case Thinks(_, text):
                self._thought.add(text)
                if self._thought.due and (told := await self._passed(self._thought, last=False)):
                    yield Thinks(self._index, told)
            case Calls(_, call):
                async for each in self._flushed():
                    yield each
                await self._answer.look_at_name(call)
                change = await self._answer.look(call.arguments, Place.TOOL_ARGUMENTS)
                self._changed |= change.text != call.arguments
                yield Calls(self._index, replace(call, arguments=change.text))
            case Prompted():
                yield event  # Of a prompt that was looked at, and changed where it had to be.
            case Ended():
                async for each in self._flushed():
                    yield each
                if self._drawn and not self._changed and await self._drawn_passes():
                    yield Delta(self._index, "", tuple(self._drawn))
                yield event

    async def _drawn_passes(self) -> bool:
        """Log-probabilities tell tokens that a stop string cut off, and what was likelier than
        what was drawn: both are texts."""
        drawn = "".join(each.likely.text for each in self._drawn)
        likeliest = "".join(each.top[0].text for each in self._drawn if each.top)
        return await self._answer.pass_as_they_are((drawn, likeliest))

    async def _flushed(self) -> AsyncGenerator[Event]:
        if not self._thought.empty and (told := await self._passed(self._thought, last=True)):
            yield Thinks(self._index, told)
        if not self._text.empty and (told := await self._passed(self._text, last=True)):
            yield Delta(self._index, told)

    async def _passed(self, window: Window, *, last: bool) -> str:
        """What may be told of a window's text."""
        seen = window.to_look_at(last=last)
        change = await self._answer.look(seen, Place.OUTPUT)
        if change.text == seen and (alone := window.alone(last=last)) != seen:
            other = await self._answer.look(alone, Place.OUTPUT)
            if other.instructions or other.text != alone:
                raise blocked(other.told)  # Its places are those of another text.
        anew = any(each.action in WAITS_FOR_END for each in violated(change.told))
        if window is self._thought and anew:
            self._changed = True
            window.passed(last=True)
            return ""  # What was thought is no answer: it is kept back, nothing takes its place.
        if change.instructions:
            self._changed = True
            window.passed(last=True)
            return await self._answer.safely(change)
        if change.text == seen:
            return window.passed(last=last)
        self._changed = True
        if anew:
            window.passed(last=True)
            return change.text
        return window.passed(replaced(change.told), last=last)


class Begun:
    """The events of an answer, asked for already: the engine works while the input is looked at."""

    def __init__(self, events: AsyncGenerator[Event | Usage]) -> None:
        self._events = events
        self._first = asyncio.ensure_future(anext(events, None))

    async def close(self) -> None:
        self._first.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await self._first
        await self._events.aclose()

    async def events(self) -> AsyncGenerator[Event | Usage]:
        try:
            first = await self._first
            if first is not None:
                yield first
                async for event in self._events:
                    yield event
        finally:
            await self.close()
