"""Everything that is wrong with the files of one training run, in one answer.

`check_files` checks each file by itself and then what holds between them. It never raises for what
a file holds; what it says is in the reports, in the order of the files and of their lines, the
same whatever the number of processes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from modiste.prepare.checks.file import REPEATED, Progress, check_file, repeat_problems
from modiste.prepare.checks.report import Report
from modiste.prepare.checks.validation import leaks, size_problem
from modiste.prepare.formats.columns import Columns
from modiste.prepare.formats.kinds import Format
from modiste.prepare.over_length import OverLength
from modiste.prepare.render import Renderer
from modiste.types import Problem

__all__ = ["Findings", "Input", "OverLength", "Progress", "Report", "check_files"]


class Input(NamedTuple):
    path: Path
    filename: str
    """As people know it; problems name it."""
    share_read: float = 1.0
    """Less than 1 where `path` is only the beginning of the file."""


@dataclass(frozen=True)
class Findings:
    train: tuple[Report, ...]
    validation: tuple[Report, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether every row may be trained on; warnings do not count."""
        return not any(report.errors for report in self.reports)

    @property
    def reports(self) -> tuple[Report, ...]:
        return (*self.train, *self.validation)

    @property
    def problems(self) -> tuple[Problem, ...]:
        return tuple(problem for report in self.reports for problem in report.problems)

    def to_json(self) -> dict[str, Any]:
        files = [report.to_json() | {"use": "train"} for report in self.train]
        files += [report.to_json() | {"use": "validation"} for report in self.validation]
        return {"ok": self.ok, "files": files}


def check_files(
    train: Sequence[Input],
    *,
    validation: Sequence[Input] = (),
    renderer: Renderer | None = None,
    seq_len: int | None = None,
    over_length: OverLength | str = OverLength.REFUSE,
    workers: int = 1,
    format: Format | None = None,
    columns: Columns | None = None,
    inspect: bool = True,
    near: bool = True,
    on_progress: Callable[[Progress], None] | None = None,
) -> Findings:
    """Check files together.

    Args:
        renderer: of the base to be tuned; without one nothing is said about tokens.
        seq_len: longest sample in tokens.
        over_length: what becomes of longer conversations: `refuse` them, or `split` them between
            turns.
        workers: processes; what is found does not depend on it.
        format: what the rows are; None tells it from the file.
        columns: for `Format.COLUMNS`.
        inspect: remark on what rows hold: private data, teachers' phrases, languages, ….
        near: look for rows that are nearly the same, within files and between them.
        on_progress: called now and then while a file is read.
    """

    def report(file: Input) -> Report:
        return check_file(
            file.path,
            filename=file.filename,
            renderer=renderer,
            seq_len=seq_len,
            over_length=over_length,
            workers=workers,
            format=format,
            columns=columns,
            inspect=inspect,
            near=near,
            on_progress=on_progress,
        )

    trained = tuple(map(report, train))
    validated = tuple(map(report, validation))
    trained = tuple(
        one.with_problems(_between(trained[:at], one)) for at, one in enumerate(trained)
    )
    said = [list(leaks(trained, one)) for one in validated]
    if validated and (too_large := _size(train, validation)):
        said[0].insert(0, too_large)
    validated = tuple(
        one.with_problems(tuple(more)) for one, more in zip(validated, said, strict=True)
    )
    return Findings(trained, validated)


def _between(before: tuple[Report, ...], one: Report) -> tuple[Problem, ...]:
    """Rows that repeat rows of the training files before; repeats within the file are told."""
    files = [(r.seen, r.filename) for r in (*before, one) if r.seen is not None]
    if not before or one.seen is None:
        return ()
    names = [name for _, name in files]
    told = {p.line for p in one.problems if p.code in REPEATED}
    found = repeat_problems([seen for seen, _ in files], names)
    return tuple(p for p in found if p.line is not None and p.line not in told)


def _size(train: Sequence[Input], validation: Sequence[Input]) -> Problem | None:
    return size_problem(
        sum(_bytes(file) for file in validation),
        trained_bytes=sum(_bytes(file) / file.share_read for file in train),
        names=[file.filename for file in validation],
    )


def _bytes(file: Input) -> int:
    return file.path.stat().st_size if file.path.is_file() else 0
