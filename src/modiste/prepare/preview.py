"""What a model would be trained on, to be looked at before it is: a few rows, token by token.

Most rows are drawn at random (the same ones for the same seed), one is the longest, because that is
where cutting and masking go wrong. Whatever a row is, it is shown or the reason why it cannot be;
samples of which no token is trained, or every one, raise an alarm.

    preview(path, filename="train.jsonl", renderer=renderer, n=5, seq_len=4096).to_json()
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from modiste.errors import ModisteError
from modiste.prepare import classified
from modiste.prepare.formats.columns import Columns
from modiste.prepare.formats.kinds import Format
from modiste.prepare.formats.places import Places
from modiste.prepare.formats.read import Read, read
from modiste.prepare.formats.row import Row
from modiste.prepare.pairs import conversations
from modiste.prepare.render import Renderer
from modiste.prepare.rendered import Rendered
from modiste.prepare.spans import MOST_TOKENS_SHOWN, NO_TOKENS, Counts, Span, counts, spans
from modiste.types import Example, Problem, SampleType, Severity

ROWS_LOOKED_AT = 100_000
"""Rows that are drawn from; a preview should not take longer than a coffee."""


@dataclass(frozen=True)
class Shown:
    """One sequence of one row, or why there is none."""

    line: int
    kind: SampleType
    part: int
    """From 1. A row takes several sequences where its format moves instructions between turns."""
    parts: int
    picked: str
    """`random` or `longest`."""
    counts: Counts = NO_TOKENS
    spans: tuple[Span, ...] = ()
    answer: str = ""
    """Preference rows: `chosen` or `rejected`."""
    labels: Mapping[str, tuple[str, ...]] | None = None
    """Classifier rows: what is to be learned, instead of tokens."""
    problem: Problem | None = None

    def to_json(self) -> dict[str, Any]:
        written: dict[str, Any] = {
            "line": self.line,
            "kind": str(self.kind),
            "part": self.part,
            "parts": self.parts,
            "picked": self.picked,
            "counts": self.counts.to_json(),
            "spans": [span.to_json() for span in self.spans],
        }
        if self.answer:
            written["answer"] = self.answer
        if self.labels is not None:
            written["labels"] = {name: list(values) for name, values in self.labels.items()}
        if self.problem is not None:
            written["problem"] = problem_json(self.problem)
        return written


@dataclass(frozen=True)
class Preview:
    file: str
    format: str | None
    why: str
    tokenizer: str
    """Fingerprint of tokenizer and template."""
    seq_len: int | None
    seed: int
    rows: int
    """Rows drawn from."""
    whole_file: bool
    samples: tuple[Shown, ...]
    """By line."""
    alarms: tuple[Problem, ...]

    @property
    def counts(self) -> Counts:
        return reduce(Counts.plus, (shown.counts for shown in self.samples), NO_TOKENS)

    def to_json(self) -> dict[str, Any]:
        return {
            "file": self.file,
            "format": self.format,
            "why": self.why,
            "tokenizer": self.tokenizer,
            "seq_len": self.seq_len,
            "seed": self.seed,
            "rows": self.rows,
            "whole_file": self.whole_file,
            "counts": {"samples": len(self.samples), **self.counts.to_json()},
            "alarms": [problem_json(alarm) for alarm in self.alarms],
            "samples": [shown.to_json() for shown in self.samples],
        }


class Drawn(NamedTuple):
    rows: list[tuple[Read, str]]
    """Each with why it was taken, by line."""
    n_rows: int
    n_unreadable: int
    first_problem: Problem | None
    """Of the first row that could not be read."""
    whole_file: bool


def preview(
    path: Path,
    *,
    filename: str,
    renderer: Renderer,
    n: int = 5,
    seq_len: int | None = None,
    seed: int = 0,
    format: Format | None = None,
    columns: Columns | None = None,
    most_tokens: int = MOST_TOKENS_SHOWN,
) -> Preview:
    """Render `n` rows of a file.

    Args:
        seq_len: tokens of a sequence; what lies behind is marked, and plain text is cut there.
        seed: of the draw.
        most_tokens: of longer sequences the middle is left out, and counted.
    """
    reading = read(path, filename=filename, format=format, columns=columns)
    drawn = _draw(reading.rows, n, seed)
    samples = tuple(
        shown
        for found, picked in drawn.rows
        for shown in _shown(found.row, picked, filename, renderer, seq_len, most_tokens)
    )
    return Preview(
        file=filename,
        format=None if reading.format is None else str(reading.format),
        why=reading.why,
        tokenizer=renderer.fingerprint,
        seq_len=seq_len,
        seed=seed,
        rows=drawn.n_rows,
        whole_file=drawn.whole_file,
        samples=samples,
        alarms=tuple(_alarms(filename, drawn, samples, seq_len)),
    )


def problem_json(problem: Problem) -> dict[str, Any]:
    return {
        "line": problem.line,
        "path": problem.path,
        "code": problem.code,
        "severity": str(problem.severity),
        "value": problem.value,
        "message": problem.message,
        "hint": problem.hint,
    }


def _draw(rows: Iterator[Read], n: int, seed: int) -> Drawn:
    """The rows whose number hashes lowest, and the longest: one pass, `n` rows in memory."""
    lowest: list[tuple[int, int, Read]] = []
    longest: Read | None = None
    problem: Problem | None = None
    n_rows = n_unreadable = 0
    for found in islice(rows, ROWS_LOOKED_AT):
        n_rows += 1
        if found.row.example is None:
            n_unreadable += 1
            problem = problem or next(iter(found.row.problems), None)
            continue
        if longest is None or len(found.raw) > len(longest.raw):
            longest = found
        # Negative: the heap gives back the highest. Line numbers differ, rows are never compared.
        entry = (-_lot(seed, found.line), found.line, found)
        if len(lowest) < n:
            heapq.heappush(lowest, entry)
        elif lowest and entry > lowest[0]:
            heapq.heapreplace(lowest, entry)
    taken = {found.line: (found, "random") for _, _, found in lowest}
    if longest is not None and n > 1:
        if longest.line not in taken and len(taken) == n:
            del taken[lowest[0][1]]
        taken[longest.line] = (longest, "longest")
    whole = next(rows, None) is None
    rows_taken = [taken[line] for line in sorted(taken)]
    return Drawn(rows_taken, n_rows, n_unreadable, problem, whole)


def _lot(seed: int, line: int) -> int:
    digest = hashlib.blake2b(f"{seed}:{line}".encode(), digest_size=8).digest()
    return int.from_bytes(digest)


def _shown(
    found: Row, picked: str, file: str, renderer: Renderer, seq_len: int | None, most: int
) -> Iterator[Shown]:
    example = found.example
    if example is None:
        return
    kind = example.sample_type
    for answer, row in conversations(example):
        try:
            samples = [*_sequences(row, renderer, seq_len)]
        except (ModisteError, ValueError, AssertionError, RecursionError) as error:
            # Of the encoders underneath, as in checks: a file can hold anything.
            places = found.places and found.places.answer(answer)
            problem = _cannot(file, row, error, places)
            yield Shown(row.line, kind, 1, 1, picked, answer=answer, problem=problem)
            continue
        for part, rendered in enumerate(samples, start=1):
            yield Shown(
                row.line,
                kind,
                part,
                len(samples),
                picked,
                counts=counts(rendered, renderer, seq_len=seq_len),
                spans=spans(rendered, renderer, seq_len=seq_len, most=most),
                answer=answer,
                labels=example.labels if kind is SampleType.CLASSIFIER else None,
            )


def _sequences(example: Example, renderer: Renderer, seq_len: int | None) -> Iterator[Rendered]:
    """What is trained; of a row that trains nothing, how it would read."""
    if example.sample_type is not SampleType.CLASSIFIER:
        trained = renderer.training_samples(example, max_length=seq_len)
        yield from trained or [renderer.training(example)]
        return
    yield classified.rendered(example, renderer)


def _cannot(file: str, example: Example, error: Exception, places: Places | None) -> Problem:
    code = error.error_code if isinstance(error, ModisteError) else "not_renderable"
    said = error.message if isinstance(error, ModisteError) else f"cannot be tokenised: {error}"
    text = said.removeprefix(f"line {example.line}: ")
    text = places.opening(text) if places else text
    return Problem(file, example.line, "", code, text, hint="modiste data check says more")


def _alarms(
    file: str, drawn: Drawn, samples: tuple[Shown, ...], seq_len: int | None
) -> Iterator[Problem]:
    if drawn.n_unreadable:
        text = f"{drawn.n_unreadable:,} of {drawn.n_rows:,} rows cannot be read and are not shown"
        if drawn.first_problem:
            text += f"; the first at line {drawn.first_problem.line}: {drawn.first_problem.message}"
        hint = "modiste data check names each of them"
        yield Problem(file, None, "", "rows_unreadable", text, hint=hint)
    if not drawn.rows:
        yield Problem(file, None, "", "nothing_to_show", "the file holds no row that can be read")
    for shown in samples:
        yield from _alarms_of(file, shown, seq_len)


def _alarms_of(file: str, shown: Shown, seq_len: int | None) -> Iterator[Problem]:
    if shown.problem is not None:
        yield shown.problem
    if shown.counts.over_length:
        text = f"the sample takes {shown.counts.tokens:,} tokens, {shown.counts.over_length:,} "
        text += f"more than the {seq_len:,} of the sequence length"
        hint = "shorten it, split it at its turns, or raise the sequence length"
        yield Problem(file, shown.line, "", "too_long", text, hint=hint)
    if shown.kind is SampleType.CLASSIFIER or not shown.counts.tokens:
        return
    if not shown.counts.trained:
        text = "no token is trained: every answer has weight 0 or cannot be asked for"
        hint = "give an answer the weight 1, or leave the row out"
        yield _warning(file, shown.line, "nothing_trained", text, hint)
    elif shown.kind is not SampleType.PRETRAIN and shown.counts.untrained <= 1:
        text = "every token of the conversation is trained, the question too"
        hint = "put a user message in front of the answer"
        yield _warning(file, shown.line, "everything_trained", text, hint)


def _warning(file: str, line: int, code: str, text: str, hint: str) -> Problem:
    return Problem(file, line, "", code, text, hint=hint, severity=Severity.WARNING)
