"""All problems of a training file, with line and field, in one pass and never a traceback.

`json_problems` asks only whether a file is JSON lines at all (uploads). `check_file` asks whether
it trains: rows, conversation rules and, with a renderer, tokens. Rows stream through; what is kept
are problems, numbers of bad lines and eight bytes per row to know repeats.

An error makes its line bad: it is left out or the job is refused, as the job says. A warning
does not; warnings of one kind are told once, with their count.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from modiste.errors import ModisteError
from modiste.prepare.conversation import Rules, Use, violations
from modiste.prepare.formats.chat import parse_row, sample_type_of
from modiste.prepare.formats.kinds import Format
from modiste.prepare.formats.row import Row
from modiste.prepare.render import Renderer
from modiste.prepare.sources.jsonl import RawLine, parse_json, read_rows
from modiste.prepare.turns import turns
from modiste.types import Example, Problem, SampleType, Severity

MAX_PROBLEMS = 10_000
"""Problems told one by one; further ones are counted."""
MAX_BAD_LINES = 1_000_000
"""Reading stops here: such a file is something else than training data."""
MAX_ROWS_COMPARED = 2_000_000
"""Rows remembered to find repeats."""


@dataclass(frozen=True)
class Report:
    filename: str
    n_lines: int
    """Lines that are not blank, good or bad."""
    n_examples: int
    """Rows without an error."""
    sample_type: SampleType | None
    """Of the first row that shows one; None when no row does."""
    problems: tuple[Problem, ...]
    bad_lines: frozenset[int]
    n_tokens: int = 0
    """Of the sequences that would be trained, prompts included. 0 without a renderer."""
    n_trained_tokens: int = 0
    n_samples: int = 0
    """Sequences: a row may unroll into several (see `turns.py`)."""
    longest_sample: int = 0

    @property
    def format(self) -> Format | None:
        kinds = {SampleType.INSTRUCT: Format.CHAT, SampleType.PRETRAIN: Format.TEXT}
        return kinds.get(self.sample_type) if self.sample_type else None

    def to_json(self) -> dict[str, Any]:
        return {
            "file": self.filename,
            "format": self.format,
            "rows": self.n_lines,
            "good_rows": self.n_examples,
            "problems": [asdict(problem) for problem in self.problems],
        }

    @property
    def errors(self) -> tuple[Problem, ...]:
        return tuple(p for p in self.problems if p.severity is Severity.ERROR)

    @property
    def warnings(self) -> tuple[Problem, ...]:
        return tuple(p for p in self.problems if p.severity is Severity.WARNING)


def json_problems(path: Path, filename: str) -> Report:
    """Whether a file is JSON lines; every malformed line is one problem, warnings are left out."""
    tally = _Tally(filename)
    for raw in _lines(path, tally):
        parsed = parse_json(raw, file=filename)
        if parsed.problem:
            tally.error(parsed.problem)
            continue
        tally.sample_type = tally.sample_type or sample_type_of(parsed.value)
        tally.n_examples += 1
    return tally.report(warnings=False)


def check_file(
    path: Path, *, filename: str, renderer: Renderer | None = None, seq_len: int | None = None
) -> Report:
    """Everything that is wrong with a training file.

    Args:
        renderer: of the base to be tuned; without one, tokens are not counted and rules that
            differ between chat formats are not applied.
        seq_len: longest sample in tokens; conversations beyond it are errors, plain texts are cut.
    """
    tally = _Tally(filename)
    rules = renderer.rules if renderer else Rules()
    for raw in _lines(path, tally):
        parsed = parse_json(raw, file=filename)
        if parsed.problem:
            tally.error(parsed.problem)
            continue
        row = parse_row(parsed.value, file=filename, line=raw.line)
        if not _is_good(row, tally, rules) or row.example is None:
            continue
        if renderer and not _renders(row.example, renderer, seq_len, tally):
            continue
        tally.n_examples += 1
        _remark(row, raw, tally)
    if renderer and tally.n_examples and not tally.n_trained_tokens:
        _nothing_to_train(tally)
    return tally.report(warnings=True)


def _lines(path: Path, tally: _Tally) -> Iterator[RawLine]:
    with path.open("rb") as stream:
        for raw in read_rows(stream, file=tally.filename):
            if raw.problem is None and not raw.text.strip():
                tally.warn(raw.line, "", "blank_line", "the line is blank")
                continue
            tally.n_lines += 1
            yield raw
            if len(tally.bad_lines) >= MAX_BAD_LINES:
                text = f"stopped reading after {MAX_BAD_LINES:,} bad lines"
                tally.error(Problem(tally.filename, None, "", "too_many_bad_lines", text))
                return
    if tally.n_lines == 0:
        tally.error(Problem(tally.filename, None, "", "file_empty", "the file holds no rows"))


def _is_good(row: Row, tally: _Tally, rules: Rules) -> bool:
    for problem in row.problems:
        tally.error(problem)
    example = row.example
    if example is None:
        return False
    tally.sample_type = tally.sample_type or example.sample_type
    if example.sample_type is not tally.sample_type:
        text = f"the row is {example.sample_type}, the rows before it are {tally.sample_type}"
        hint = "keep chats and plain texts in separate files"
        problem = Problem(tally.filename, example.line, "", "sample_type_mixed", text, hint=hint)
        tally.error(problem)
        return False
    if example.sample_type is SampleType.PRETRAIN:
        return True
    found = violations(example.messages, tools=example.tools, rules=rules, use=Use.TRAINING)
    for violation in found:
        text = f"{violation.path}: {violation.message}"
        problem = Problem(tally.filename, example.line, violation.path, violation.code, text)
        tally.error(problem)
    return not found


def _renders(example: Example, renderer: Renderer, seq_len: int | None, tally: _Tally) -> bool:
    try:
        samples = renderer.training_samples(example, max_length=seq_len)
    except ModisteError as error:
        code, text = error.error_code, error.message
    except (ValueError, AssertionError, RecursionError) as error:
        # Of the encoders underneath; a file can hold anything, a check has to outlive it.
        code, text = "not_renderable", f"the row cannot be tokenised: {error}"
    else:
        lengths = [len(sample.ids) for sample in samples]
        longest = max(lengths, default=0)
        if seq_len is None or longest <= seq_len:
            tally.n_samples += len(samples)
            tally.n_tokens += sum(lengths)
            tally.n_trained_tokens += sum(sample.n_trained for sample in samples)
            tally.longest_sample = max(tally.longest_sample, longest)
            if not samples:
                text = "no answer of the row is trained"
                tally.warn(example.line, "", "no_trained_tokens", text)
            return True
        code = "too_long"
        text = f"the row takes {longest:,} tokens, more than the {seq_len:,} of the sequence length"
    hint = "shorten it or raise the sequence length" if code == "too_long" else None
    tally.error(Problem(tally.filename, example.line, "", code, text, hint=hint))
    return False


def _remark(row: Row, raw: RawLine, tally: _Tally) -> None:
    """What a good row may still be told."""
    for key in row.ignored:
        tally.warn(raw.line, key, "key_ignored", f"the key {key} is not read")
    if row.example is not None:
        _remark_turns(row.example, tally)
    if len(tally.seen) < MAX_ROWS_COMPARED:
        mark = int.from_bytes(hashlib.blake2b(raw.text, digest_size=8).digest())
        first = tally.seen.setdefault(mark, raw.line)
        if first != raw.line:
            tally.warn(raw.line, "", "row_repeated", f"the row repeats line {first}")


def _remark_turns(example: Example, tally: _Tally) -> None:
    for turn in turns(example.messages):
        weights = {m.weight != 0 for m in example.messages[turn.first : turn.end]}
        where = f"messages[{turn.first}]"
        if turn.first == 0 and turn.wanted:
            text = f"{where} opens the conversation: nobody can ask for it, it is not trained"
            tally.warn(example.line, where, "turn_not_trained", text)
        elif len(weights) > 1:
            text = f"{where} and the assistant messages right after it differ in weight: none of "
            text += "them is trained, because they are served as one answer"
            tally.warn(example.line, where, "turn_not_trained", text)


def _nothing_to_train(tally: _Tally) -> None:
    text = "no token of the file would be trained: every answer has weight 0 or cannot be asked for"
    tally.error(Problem(tally.filename, None, "", "no_trainable_tokens", text))


@dataclass
class _Tally:
    """What is known so far about one file."""

    filename: str
    n_lines: int = 0
    n_examples: int = 0
    sample_type: SampleType | None = None
    n_tokens: int = 0
    n_trained_tokens: int = 0
    n_samples: int = 0
    longest_sample: int = 0
    problems: list[Problem] = field(default_factory=list)
    untold: int = 0
    bad_lines: set[int] = field(default_factory=set)
    warnings: dict[tuple[str, str], tuple[Problem, int]] = field(default_factory=dict)
    """By code and field: the first of its kind, and how many there are."""
    seen: dict[int, int] = field(default_factory=dict)
    """Hash of a row to its first line."""

    def error(self, problem: Problem) -> None:
        if problem.line is not None:
            self.bad_lines.add(problem.line)
        if len(self.problems) < MAX_PROBLEMS or problem.line is None:
            self.problems.append(problem)
        else:
            self.untold += 1

    def warn(self, line: int, path: str, code: str, message: str) -> None:
        problem = Problem(self.filename, line, path, code, message, severity=Severity.WARNING)
        first, count = self.warnings.get((code, path), (problem, 0))
        if count or len(self.warnings) < MAX_PROBLEMS:
            self.warnings[code, path] = (first, count + 1)

    def report(self, *, warnings: bool) -> Report:
        if self.untold:
            text = f"and {self.untold:,} more problems; {len(self.bad_lines):,} lines are bad"
            self.problems.append(Problem(self.filename, None, "", "more_problems", text))
        told = [_counted(*entry) for entry in self.warnings.values()] if warnings else []
        return Report(
            self.filename,
            self.n_lines,
            self.n_examples,
            self.sample_type,
            (*self.problems, *told),
            frozenset(self.bad_lines),
            n_tokens=self.n_tokens,
            n_trained_tokens=self.n_trained_tokens,
            n_samples=self.n_samples,
            longest_sample=self.longest_sample,
        )


def _counted(first: Problem, count: int) -> Problem:
    if count == 1:
        return first
    return Problem(
        first.file,
        first.line,
        first.path,
        first.code,
        f"{first.message} (and {count - 1:,} more lines like this)",
        severity=first.severity,
    )
