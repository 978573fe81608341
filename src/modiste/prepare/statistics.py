"""What a file amounts to: rows, tokens, turns and how long things are. Small, and mergeable.

`Statistics.add` takes one good row and the sequences it renders to; two halves of a file counted
apart and merged give what the whole gives. Lengths are kept in bins of at most 1.6 % width, exact
up to 128 and at every power of two, so "fits into 4,096 tokens" is never off by one.

    counted = Statistics(seq_len=4096)
    counted.add(example, renderer.training_samples(example))
    counted.merge(other)
    counted.to_json()
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from modiste.prepare.rendered import Rendered
from modiste.types import Example, Message, Role, SampleType

EXACT = 128
PER_OCTAVE = 64
BARS = 24
"""Bars of a histogram in JSON, about."""
_ROLES = tuple(Role)
_SYSTEM, _ASSISTANT, _TOOL = Role.SYSTEM, Role.ASSISTANT, Role.TOOL
"""Looked up once: to find and to hash a member of an enumeration takes longer than to count."""
SEQUENCE_LENGTHS = tuple(1 << power for power in range(8, 18))
"""256 to 131,072: the lengths people choose from."""


class Bar(NamedTuple):
    """`n` values lie from `least` to `most`, both included."""

    least: int
    most: int
    n: int


@dataclass
class Histogram:
    """Of whole numbers from 0."""

    bins: Counter[int] = field(default_factory=Counter)
    """Counts by the largest value of each bin."""
    n: int = 0
    total: int = 0
    least: int | None = None
    most: int = 0

    def add(self, value: int) -> None:
        self.bins[value if value <= EXACT else _upper(value)] += 1
        self.n += 1
        self.total += value
        if value > self.most:
            self.most = value
        if self.least is None or value < self.least:
            self.least = value

    def merge(self, other: Histogram) -> None:
        self.bins.update(other.bins)
        self.n += other.n
        self.total += other.total
        self.most = max(self.most, other.most)
        known = [least for least in (self.least, other.least) if least is not None]
        self.least = min(known, default=None)

    def quantile(self, share: float) -> int:
        """The smallest bin that holds at least this share of the values, by its largest value."""
        wanted, seen = math.ceil(share * self.n), 0
        for upper in sorted(self.bins):
            seen += self.bins[upper]
            if seen >= wanted:
                return min(upper, self.most)
        return 0

    def at_most(self, limit: int) -> int:
        """How many values are `limit` or less; exact up to 128 and at powers of two."""
        return sum(count for upper, count in self.bins.items() if upper <= limit)

    def bars(self) -> list[Bar]:
        """About `BARS` bars of equal width, or of equal ratio where values are far apart."""
        if not self.n:
            return []
        edges = list(_edges(self.least or 0, self.most, self.quantile(0.5)))
        counts: Counter[int] = Counter()
        for upper, count in self.bins.items():
            value = min(upper, self.most)
            counts[next(at for at, (_, last) in enumerate(edges) if value <= last)] += count
        return [Bar(first, last, counts[at]) for at, (first, last) in enumerate(edges)]

    def to_json(self) -> dict[str, Any]:
        return {
            "n": self.n,
            "total": self.total,
            "mean": self.total / self.n if self.n else None,
            "min": self.least,
            "p50": self.quantile(0.5),
            "p90": self.quantile(0.9),
            "p99": self.quantile(0.99),
            "max": self.most,
            "bars": [bar._asdict() for bar in self.bars()],
        }


@dataclass
class Statistics:
    seq_len: int | None = None
    rows: Counter[str] = field(default_factory=Counter)
    """By sample type."""
    roles: Counter[str] = field(default_factory=Counter)
    n_tool_calls: int = 0
    n_with_tools: int = 0
    n_with_system: int = 0
    n_untrained: int = 0
    """Rows of which no token is trained."""
    n_over_length: int = 0
    """Sequences longer than `seq_len` …"""
    n_over_length_tokens: int = 0
    """… and the tokens of them that lie behind it."""
    n_trained_tokens: int = 0
    tokens: Histogram = field(default_factory=Histogram)
    """Of each sequence."""
    trained: Histogram = field(default_factory=Histogram)
    """Trained tokens of each sequence."""
    turns: Histogram = field(default_factory=Histogram)
    """Answers of each conversation."""
    question: Histogram = field(default_factory=Histogram)
    """Characters of system and user messages together, of each row."""
    answer: Histogram = field(default_factory=Histogram)
    """Characters of assistant messages, of each row; of a preference pair, the preferred ones."""
    text: Histogram = field(default_factory=Histogram)
    """Characters of plain texts."""

    def add(self, example: Example, samples: Sequence[Rendered] | None = None) -> None:
        """One good row; `samples` are what it renders to, None where no tokenizer is known."""
        self.rows[example.sample_type] += 1
        self._count_words(example)
        if samples is None:
            return
        if example.sample_type is SampleType.CLASSIFIER:  # No token of it is predicted.
            for sample in samples:
                self.tokens.add(sample.n_tokens)
            return
        trained_tokens = 0
        for sample in samples:
            n_tokens, n_trained = sample.n_tokens, sample.n_trained
            trained_tokens += n_trained
            self.tokens.add(n_tokens)
            self.trained.add(n_trained)
            if self.seq_len is not None and n_tokens > self.seq_len:
                self.n_over_length += 1
                self.n_over_length_tokens += n_tokens - self.seq_len
        self.n_trained_tokens += trained_tokens
        self.n_untrained += not trained_tokens

    def refuse(self, n_tokens: int) -> None:
        """A row that is left out because its longest sequence has so many tokens."""
        self.n_over_length += 1
        self.n_over_length_tokens += n_tokens - (self.seq_len or n_tokens)

    def merge(self, other: Statistics) -> None:
        """Take in what was counted elsewhere, with the same sequence length."""
        for name, mine in vars(self).items():
            theirs = getattr(other, name)
            if isinstance(mine, Histogram):
                mine.merge(theirs)
            elif isinstance(mine, Counter):
                mine.update(theirs)
            elif name != "seq_len":
                setattr(self, name, mine + theirs)

    @property
    def n_rows(self) -> int:
        return self.rows.total()

    @property
    def n_tokens(self) -> int:
        return self.tokens.total

    def fits(self) -> dict[int, float]:
        """Share of the sequences that fit into each usual length, up to the first that fits all."""
        shares: dict[int, float] = {}
        for length in SEQUENCE_LENGTHS if self.tokens.n else ():
            shares[length] = self.tokens.at_most(length) / self.tokens.n
            if shares[length] == 1.0:
                break
        return shares

    def to_json(self) -> dict[str, Any]:
        histograms = {
            name: getattr(self, name).to_json()
            for name in ("tokens", "trained", "turns", "question", "answer", "text")
            if getattr(self, name).n
        }
        written: dict[str, Any] = {
            "rows": self.n_rows,
            "by_type": {str(kind): n for kind, n in self.rows.items()},
            "messages": {str(role): n for role, n in self.roles.items()},
            "with_system": self.n_with_system,
            "with_tools": self.n_with_tools,
            "tool_calls": self.n_tool_calls,
            "lengths": histograms,
        }
        if self.tokens.n:
            written |= {
                "samples": self.tokens.n,
                "tokens": self.n_tokens,
                "trained_tokens": self.n_trained_tokens,
                "untrained_rows": self.n_untrained,
                "seq_len": self.seq_len,
                "over_length_samples": self.n_over_length,
                "over_length_tokens": self.n_over_length_tokens,
                "fits": {str(length): share for length, share in self.fits().items()},
            }
        return written

    def _count_words(self, example: Example) -> None:
        if example.text is not None:
            self.text.add(len(example.text))
        messages = (*example.messages, *example.chosen)
        if not messages:
            return
        asked = answered = n_turns = 0
        before: Role | None = None
        roles = [message.role for message in messages]
        for role, message in zip(roles, messages, strict=True):
            if role is _ASSISTANT:
                answered += _letters(message)
                n_turns += before is not role
                self.n_tool_calls += len(message.tool_calls)
            elif role is not _TOOL:
                asked += _letters(message)
            before = role
        for role in _ROLES:
            if n := roles.count(role):
                self.roles[role] += n
        self.turns.add(n_turns)
        self.question.add(asked)
        self.answer.add(answered)
        self.n_with_system += _SYSTEM in roles
        self.n_with_tools += bool(example.tools)


def _letters(message: Message) -> int:
    said = len(message.content or "")
    if message.tool_calls:
        said += sum(len(call.name) + len(call.arguments) for call in message.tool_calls)
    return said


def _upper(value: int) -> int:
    """The largest value of the bin that holds `value`; powers of two end a bin."""
    width = 1 << ((value - 1).bit_length() - PER_OCTAVE.bit_length())
    return -(-value // width) * width


def _edges(least: int, most: int, middle: int) -> Iterator[tuple[int, int]]:
    """First and last value of each bar, without gaps."""
    if most > 16 * max(1, middle):
        last = (1 << max(0, least.bit_length() - 1)) - 1 if least else -1
        while last < most:
            first = last + 1
            last = max(first, first * 2 - 1)
            yield first, last
        return
    width = _round_width((most - least + 1) / BARS)
    for first in range(least - least % width, most + 1, width):
        yield first, first + width - 1


def _round_width(width: float) -> int:
    """1, 2 or 5 times a power of ten, at least `width`."""
    power: int = 10 ** max(0, math.floor(math.log10(max(1.0, width))))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= width)
