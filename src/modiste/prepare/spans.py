"""A rendered sample as people can read it: runs of text, and which of them the loss counts.

Control tokens stand alone, by name. Everything that decodes is text, also `[INST]` written by a
user. The number of tokens is kept for each run, so that the runs of a sample add up to its length;
where a sample is too long to show, the middle is one run that says how many tokens it leaves out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Protocol

from modiste.prepare.render import StreamDecoder
from modiste.prepare.rendered import Rendered

MOST_TOKENS_SHOWN = 4_096


class Spelling(Protocol):
    """The part of a renderer that turns ids into something to read."""

    def token_name(self, token_id: int) -> str | None: ...

    def stream_decoder(self, *, continuing: bool = False) -> StreamDecoder: ...


class Span(NamedTuple):
    text: str
    n_tokens: int
    trained: bool
    special: bool = False
    """One control token; `text` is its name."""
    over_length: bool = False
    """Behind the end of the sequence length."""
    omitted: bool = False
    """Not shown; `text` is empty."""

    def to_json(self) -> dict[str, Any]:
        """What is false or empty is left out."""
        written: dict[str, Any] = {"text": self.text, "tokens": self.n_tokens}
        flags = ("trained", "special", "over_length", "omitted")
        return written | {name: True for name in flags if getattr(self, name)}


class Counts(NamedTuple):
    """Of tokens. A token may be trained, special and over length at the same time."""

    tokens: int = 0
    trained: int = 0
    special: int = 0
    over_length: int = 0

    @property
    def untrained(self) -> int:
        return self.tokens - self.trained

    def plus(self, other: Counts) -> Counts:
        return Counts(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))

    def to_json(self) -> dict[str, int]:
        return self._asdict() | {"untrained": self.untrained}


NO_TOKENS = Counts()


def counts(rendered: Rendered, spelling: Spelling, *, seq_len: int | None) -> Counts:
    ids, mask = rendered
    special = sum(spelling.token_name(token_id) is not None for token_id in ids)
    over = 0 if seq_len is None else max(0, len(ids) - seq_len)
    return Counts(len(ids), sum(mask), special, over)


def spans(
    rendered: Rendered,
    spelling: Spelling,
    *,
    seq_len: int | None = None,
    most: int = MOST_TOKENS_SHOWN,
) -> tuple[Span, ...]:
    """The runs of a sample, in order; of more than `most` tokens the middle is left out."""
    ids, mask = rendered
    if len(ids) <= most:
        return tuple(_runs(ids, mask, spelling, seq_len, start=0))
    head, tail = most // 2, len(ids) - (most - most // 2)
    return (
        *_runs(ids[:head], mask[:head], spelling, seq_len, start=0),
        Span("", tail - head, trained=any(mask[head:tail]), omitted=True),
        *_runs(ids[tail:], mask[tail:], spelling, seq_len, start=tail),
    )


def _runs(
    ids: Sequence[int], mask: Sequence[bool], spelling: Spelling, seq_len: int | None, *, start: int
) -> Iterable[Span]:
    """A character whose bytes lie on both sides of a border is read with the run that ends it."""
    found: list[Span] = []
    decoder = spelling.stream_decoder(continuing=True)
    for at, (token_id, trained) in enumerate(zip(ids, mask, strict=True), start=start):
        name = spelling.token_name(token_id)
        over = seq_len is not None and at >= seq_len
        if name is not None:
            _end_text(found, decoder)
            found.append(Span(name, 1, trained, special=True, over_length=over))
            continue
        text = decoder.push([token_id])
        last = found[-1] if found else None
        if last and not last.special and (last.trained, last.over_length) == (trained, over):
            found[-1] = last._replace(text=last.text + text, n_tokens=last.n_tokens + 1)
        else:
            found.append(Span(text, 1, trained, over_length=over))
    _end_text(found, decoder)
    return found


def _end_text(found: list[Span], decoder: StreamDecoder) -> None:
    rest = decoder.flush()
    if rest and found:
        found[-1] = found[-1]._replace(text=found[-1].text + rest)
