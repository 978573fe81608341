"""The tokens of one choice as what a caller may be told: text up to a stop string, thoughts, calls.

Stop strings end the text of an answer; within thoughts and calls they mean nothing. A call gets an
id where the model wrote none: nine letters or digits, which every format and every client takes,
and the same ones when the same request is seeded the same way.
"""

from __future__ import annotations

import hashlib
import string
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from modiste.actions.stop_strings import StopStrings
from modiste.prepare.answer import AnswerReader, Part, Text, Thought
from modiste.prepare.calls import Call
from modiste.prepare.manner import Manner
from modiste.prepare.marks import MarkedDecoder
from modiste.prepare.render import Renderer
from modiste.serve.sequence import Logprob
from modiste.types import ToolCall

LETTERS = string.ascii_letters + string.digits
ID_LENGTH = 9


@dataclass(frozen=True)
class Chat:
    """How the tokens of a chat's answer are understood; thoughts are always told from text."""

    tools: bool = False
    """Calls are, too."""
    one_call: bool = False
    """The answer ends with its first call."""
    thinks_first: bool = False
    """The prompt opened a thought."""


Said = Text | Thought | ToolCall


class Likely(NamedTuple):
    """A token at its place in an answer."""

    token: int
    text: str
    """What it says, by itself: part of a character shows as U+FFFD, a control token by its name."""
    spelt: bytes
    """Empty for a control token."""
    logprob: float


class Drawn(NamedTuple):
    """One token of an answer or a prompt, where log-probabilities were asked for."""

    likely: Likely
    top: tuple[Likely, ...]
    """The most likely ones at its place."""


class Heard(NamedTuple):
    """What may be told now."""

    said: list[Said]
    drawn: list[Drawn]
    """The tokens of what is told, those of marks included. Of a text that a stop string ends, the
    tokens up to its end."""


class Reading:
    """Reads one choice. `ended` once nothing behind counts: a stop string, or the only call."""

    def __init__(
        self,
        renderer: Renderer,
        chat: Chat | None,
        *,
        stop: Sequence[str],
        continuing: bool,
        id_seed: str,
    ) -> None:
        """`chat` is None where everything is text."""
        self._id_seed = id_seed
        self._renderer = renderer
        self._ends_with_a_call = chat is not None and chat.one_call
        if chat is None:
            plain = renderer.stream_decoder(continuing=continuing)
            self._decoder = MarkedDecoder(plain, control={}, spelt=())
            self._reader = AnswerReader(Manner(), tools=False)
        else:
            self._decoder = renderer.answer_decoder(tools=chat.tools, continuing=continuing)
            self._reader = AnswerReader(
                renderer.manner, tools=chat.tools, thinks_first=chat.thinks_first
            )
        self._stops = StopStrings(stop)
        self._ids: list[str] = []
        self._owed: list[tuple[Drawn, int]] = []
        """Tokens not told yet, with the length of their texts."""
        self._shown = 0
        """Letters told since the first token that is owed."""
        self._stopped = False
        self.ended = False
        self.n_tokens = 0
        self.n_thought = 0
        """Tokens of thoughts, marks included."""

    @property
    def called(self) -> bool:
        return bool(self._ids)

    def push(self, token: int, logprob: Logprob | None = None) -> Heard:
        before = self._reader.in_thought
        pieces = self._decoder.push(token)
        said = self._said(self._reader.push(pieces))
        self.n_tokens += 1
        self.n_thought += before or self._reader.in_thought
        if logprob is not None:
            length = sum(len(piece) for piece in pieces if isinstance(piece, str))
            self._owed.append((drawn(self._renderer, token, logprob), length))
        return Heard(said, self._told(said) if said else [])

    def flush(self) -> Heard:
        """The sequence has ended: what was held back is decided."""
        said = self._said([*self._reader.push(self._decoder.flush()), *self._reader.flush()])
        if not self.ended and (rest := self._stops.flush()):
            said.append(Text(rest))
        return Heard(said, self._told(said))

    def _told(self, said: Sequence[Said]) -> list[Drawn]:
        self._shown += sum(len(part.text) for part in said if not isinstance(part, ToolCall))
        if self._stops.holds or self._reader.holds or self._decoder.held:
            return []
        told, begins = [], 0
        for drawn, length in self._owed:
            if begins < self._shown or not self._stopped:
                told.append(drawn)
            begins += length
        self._owed, self._shown = [], 0
        return told

    def _said(self, parts: Iterable[Part]) -> list[Said]:
        said: list[Said] = []
        for part in parts:
            if self.ended:
                break
            match part:
                case Text(text):
                    shown, self._stopped = self._stops.push(text)
                    self.ended = self._stopped
                    said += [Text(shown)] if shown else []
                case Call():
                    # What might have become a stop string did not: a call came.
                    said += [Text(rest)] if (rest := self._stops.flush()) else []
                    said.append(self._with_id(part))
                    self.ended = self._ends_with_a_call
                case Thought():
                    said.append(part)
        return said

    def _with_id(self, call: Call) -> ToolCall:
        own = call.id if call.id not in self._ids else None
        self._ids.append(own or call_id(self._id_seed, len(self._ids)))
        return ToolCall(self._ids[-1], call.name, call.arguments)


def drawn(renderer: Renderer, token: int, logprob: Logprob) -> Drawn:
    """A token and those that were likely at its place, with what they say."""
    top = tuple(_likely(renderer, other, at) for other, at in logprob.top)
    return Drawn(_likely(renderer, token, logprob.logprob), top)


def _likely(renderer: Renderer, token: int, logprob: float) -> Likely:
    known = token < renderer.vocab_size  # models pad their vocabulary
    spelt = renderer.spelling[token] if known else b""
    name = renderer.token_name(token) if known else None
    return Likely(token, name or spelt.decode(errors="replace"), spelt, logprob)


def call_id(seed: str, at: int) -> str:
    """An id for the `at`-th call of an answer."""
    number = int.from_bytes(hashlib.blake2b(f"{seed}:{at}".encode(), digest_size=8).digest())
    letters = []
    for _ in range(ID_LENGTH):
        number, letter = divmod(number, len(LETTERS))
        letters.append(LETTERS[letter])
    return "".join(letters)


def id_seed(ids: Sequence[int], seed: int | None, index: int) -> str:
    """Differs from turn to turn of a conversation, even where the caller's seed does not."""
    prompt = hashlib.blake2b(repr(tuple(ids)).encode(), digest_size=8).hexdigest()
    return f"{prompt}:{seed}:{index}"
