"""What a check says about a file, and how it is gathered: a tally for each part, joined in order.

An error makes its line bad: it is left out or the job is refused, as the job says. A warning does
not. What all lines of a file tend to share (a key that is not read) is told once, with its count;
everything else is told line by line, up to a limit, and counted beyond it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from modiste.prepare.checks.redact import redacted
from modiste.prepare.checks.repeats import Seen
from modiste.prepare.formats.kinds import Format
from modiste.prepare.formats.places import Places
from modiste.prepare.inspect.all import Ledger
from modiste.prepare.statistics import Statistics
from modiste.types import Problem, SampleType, Severity

MAX_WARNINGS = 1_000
"""Of one code told line by line; further ones are counted."""
SHARED = frozenset({"key_ignored", "blank_line", "information_lost"})
_FORMATS = {
    SampleType.INSTRUCT: Format.CHAT,
    SampleType.PRETRAIN: Format.TEXT,
    SampleType.CLASSIFIER: Format.CLASSIFIER,
    SampleType.PREFERENCE: Format.PREFERENCE,
}


@dataclass(frozen=True)
class Report:
    filename: str
    n_lines: int
    """Lines that are not blank, good or bad; rows, where rows are not lines."""
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
    n_split: int = 0
    """Rows that are cut between turns because they are too long."""
    format: Format | None = None
    why: str = ""
    """How the format was told."""
    statistics: Statistics = field(default_factory=Statistics, compare=False)
    seen: Seen | None = field(default=None, repr=False, compare=False)
    """What is remembered of the rows, to compare other files with."""

    @property
    def errors(self) -> tuple[Problem, ...]:
        return tuple(p for p in self.problems if p.severity is Severity.ERROR)

    @property
    def warnings(self) -> tuple[Problem, ...]:
        return tuple(p for p in self.problems if p.severity is Severity.WARNING)

    def with_problems(self, more: tuple[Problem, ...]) -> Report:
        return replace(self, problems=(*self.problems, *more)) if more else self

    def to_json(self) -> dict[str, Any]:
        return {
            "file": self.filename,
            "format": self.format,
            "why": self.why,
            "rows": self.n_lines,
            "good_rows": self.n_examples,
            "bad_rows": len(self.bad_lines),
            "problems": [asdict(problem) for problem in self.problems],
            "statistics": self.statistics.to_json(),
        }


@dataclass
class Tally:
    """What is known of a file, or of a part of it that one process read."""

    filename: str
    max_problems: int
    seq_len: int | None = None
    n_lines: int = 0
    n_examples: int = 0
    n_trainable: int = 0
    """Rows with at least one answer that is trained."""
    sample_type: SampleType | None = None
    n_tokens: int = 0
    n_trained_tokens: int = 0
    n_samples: int = 0
    longest_sample: int = 0
    n_split: int = 0
    errors: list[Problem] = field(default_factory=list)
    untold: int = 0
    bad_lines: set[int] = field(default_factory=set)
    shared: dict[tuple[str, str], tuple[Problem, int]] = field(default_factory=dict)
    """Warnings told once, by code and field: the first of its kind, and how many there are."""
    warnings: list[Problem] = field(default_factory=list)
    n_warnings: Counter[str] = field(default_factory=Counter)
    """By code, of `warnings`, those beyond the limit included."""
    stopped: bool = False
    """Nothing behind this is worth reading."""
    ledger: Ledger | None = None
    seen: Seen | None = None
    statistics: Statistics = field(default_factory=Statistics)
    places: Places | None = None
    """Of the row that is being checked: what is said about it names these."""
    label_places: Places | None = None
    """Of the first row that calls its labels otherwise."""

    def error(self, problem: Problem) -> None:
        if problem.line is not None:
            self.bad_lines.add(problem.line)
        if self.places is not None:
            problem = self.places.problem(problem)
        self._tell(problem)

    def _tell(self, problem: Problem) -> None:
        if len(self.errors) < self.max_problems or problem.line is None:
            self.errors.append(redacted(problem))
        else:
            self.untold += 1

    def say(self, problem: Problem) -> None:
        if problem.severity is Severity.ERROR:
            self.error(problem)
        elif problem.code in SHARED:
            self._share(problem, 1)
        else:
            self.n_warnings[problem.code] += 1
            if self.n_warnings[problem.code] <= MAX_WARNINGS:
                if self.places is not None:
                    problem = self.places.problem(problem)
                self.warnings.append(problem)

    def warn(
        self, line: int | None, path: str, code: str, message: str, hint: str | None = None
    ) -> None:
        self.say(
            Problem(self.filename, line, path, code, message, hint=hint, severity=Severity.WARNING)
        )

    def merge(self, later: Tally) -> None:
        """Join what was found further down the file."""
        for problem in later.errors:
            self._tell(problem)
        self.untold += later.untold
        self.bad_lines |= later.bad_lines
        for first, count in later.shared.values():
            self._share(first, count)
        for problem in later.warnings:
            self.say(problem)
        told = Counter(problem.code for problem in later.warnings)
        self.n_warnings.update(later.n_warnings - told)
        self._count(later)
        self.label_places = self.label_places or later.label_places
        if self.ledger and later.ledger:
            self.ledger.merge(later.ledger)
        if self.seen and later.seen:
            self.seen.extend(later.seen)
        self.statistics.merge(later.statistics)

    def report(self, *, format: Format | None = None, why: str = "") -> Report:
        kind = _FORMATS.get(self.sample_type) if self.sample_type else None
        return Report(
            self.filename,
            self.n_lines,
            self.n_examples,
            self.sample_type,
            tuple(self._told()),
            frozenset(self.bad_lines),
            n_tokens=self.n_tokens,
            n_trained_tokens=self.n_trained_tokens,
            n_samples=self.n_samples,
            longest_sample=self.longest_sample,
            n_split=self.n_split,
            format=format or kind,
            why=why,
            statistics=self.statistics,
            seen=self.seen,
        )

    def _told(self) -> list[Problem]:
        told = list(self.errors)
        if self.untold:
            text = f"and {self.untold:,} more problems; {len(self.bad_lines):,} lines are bad"
            told.append(Problem(self.filename, None, "", "more_problems", text))
        shared = sorted(self.shared.values(), key=lambda entry: entry[0].line or 0)
        told += [_counted(*entry) for entry in shared]
        told += self.warnings
        for code, count in self.n_warnings.items():
            if count > MAX_WARNINGS:
                text = f"and {count - MAX_WARNINGS:,} more lines with {code}"
                more = Problem(self.filename, None, "", code, text, severity=Severity.WARNING)
                told.append(more)
        return told

    def _share(self, problem: Problem, count: int) -> None:
        key = (problem.code, problem.path)
        if key in self.shared or len(self.shared) < self.max_problems:
            first, before = self.shared.get(key, (problem, 0))
            self.shared[key] = (first, before + count)

    def _count(self, later: Tally) -> None:
        self.n_lines += later.n_lines
        self.n_examples += later.n_examples
        self.n_trainable += later.n_trainable
        self.sample_type = self.sample_type or later.sample_type
        self.n_tokens += later.n_tokens
        self.n_trained_tokens += later.n_trained_tokens
        self.n_samples += later.n_samples
        self.longest_sample = max(self.longest_sample, later.longest_sample)
        self.n_split += later.n_split
        self.stopped |= later.stopped


def _counted(first: Problem, count: int) -> Problem:
    if count == 1:
        return first
    return replace(first, message=f"{first.message} (and {count - 1:,} more lines like this)")
