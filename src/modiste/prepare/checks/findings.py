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

from modiste.prepare.checks.file import Report, check_file
from modiste.prepare.formats.kinds import Format
from modiste.prepare.render import Renderer
from modiste.types import Problem


class Input(NamedTuple):
    path: Path
    filename: str
    """As people know it; problems name it."""


class Progress(NamedTuple):
    filename: str
    done_bytes: int
    total_bytes: int


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
    over_length: str = "refuse",
    workers: int = 1,
    format: Format | None = None,
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
        on_progress: called now and then while a file is read.
    """

    def report(file: Input) -> Report:
        return check_file(file.path, filename=file.filename, renderer=renderer, seq_len=seq_len)

    return Findings(tuple(map(report, train)), tuple(map(report, validation)))
