"""The tokens of one text as they are told: what text each stands for, where, and how likely it was.

A token is told with the text it brings: what may still become a stop string is held back with its
tokens, and a stop string takes its tokens along. Tokens are shown by their text, by their bytes
where that is no whole character (`bytes:\\xf0\\x9f`), and control tokens by their name. Offsets
count characters of the text of the choice, its echo included.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from modiste.actions.stop_strings import StopStrings
from modiste.prepare.render import Renderer
from modiste.serve.sequence import Logprob


@dataclass(frozen=True)
class Shown:
    """One token of a text."""

    text: str
    offset: int
    logprob: float | None = None
    """None where it follows nothing."""
    top: tuple[tuple[str, float], ...] = ()
    """The most likely tokens at its place, likeliest first, and the token itself."""


class Said(NamedTuple):
    text: str
    tokens: tuple[Shown, ...]
    stopped: bool
    """A stop string was met: this is the last of it."""


class TextReading:
    """Reads one choice, token by token."""

    def __init__(self, renderer: Renderer, *, stop: Sequence[str], offset: int = 0) -> None:
        """`offset`: characters of the choice's text before the first token."""
        self._renderer = renderer
        self._decoder = renderer.stream_decoder(continuing=True)
        self._stops = StopStrings(stop)
        self._decoded = self._shown = offset
        self._pending: list[Shown] = []

    def push(self, token: int, logprob: Logprob | None = None) -> Said:
        self._pending.append(shown(self._renderer, token, self._decoded, logprob))
        return self._said(self._decoder.push([token]))

    def end(self, token: int | None = None, logprob: Logprob | None = None) -> Said:
        """The text has ended, by the control token `token` if one is given."""
        said = self._said(self._decoder.flush())
        if said.stopped:
            return said
        text = said.text + self._stops.flush()
        rest = [*said.tokens, *self._pending]
        if token is not None:
            rest.append(shown(self._renderer, token, self._decoded, logprob))
        return Said(text, tuple(rest), stopped=False)

    def _said(self, text: str) -> Said:
        self._decoded += len(text)
        visible, stopped = self._stops.push(text)
        self._shown += len(visible)
        all_out = not stopped and self._shown == self._decoded
        out = [token for token in self._pending if all_out or token.offset < self._shown]
        self._pending = [] if stopped else self._pending[len(out) :]
        return Said(visible, tuple(out), stopped)


def echoed(renderer: Renderer, ids: Sequence[int], told: Sequence[Logprob]) -> tuple[Shown, ...]:
    """The tokens of a prompt; the first follows nothing.

    Args:
        told: of `ids[1:]`.
    """
    decoder, offset, tokens = renderer.stream_decoder(), 0, []
    for token, logprob in zip(ids, (None, *told), strict=True):
        tokens.append(shown(renderer, token, offset, logprob))
        offset += len(decoder.push([token]))
    return tuple(tokens)


def shown(renderer: Renderer, token: int, offset: int, logprob: Logprob | None) -> Shown:
    name = token_text(renderer, token)
    if logprob is None:
        return Shown(name, offset)
    beside: dict[str, float] = {}
    for other, value in (*logprob.top, (token, logprob.logprob)):
        beside.setdefault(token_text(renderer, other), value)  # Of one spelling, the likelier.
    return Shown(name, offset, logprob.logprob, tuple(beside.items()))


def token_text(renderer: Renderer, token: int) -> str:
    """What a token is called: its text, its bytes where they are no whole characters, its name."""
    if not 0 <= token < renderer.vocab_size:
        return ""
    spelt = renderer.spelling[token]
    if not spelt:
        return renderer.token_name(token) or ""
    try:
        return spelt.decode()
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in spelt)
