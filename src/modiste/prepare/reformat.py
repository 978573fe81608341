"""A file made fit to train on: repaired in place, then checked, and told what is still wrong.

What mistral-finetune's `utils.reformat_data` is for. It dropped what it could not place, tool calls
among it, and wrote over the file; here a row that cannot be repaired stays, and is left out only
when that is asked for.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from modiste.prepare.checks.file import check_file
from modiste.prepare.fix import FixReport, fix_file
from modiste.types import Problem


class Reformatted(NamedTuple):
    report: FixReport
    problems: tuple[Problem, ...]
    """Errors that remain, in rows that no repair is certain for."""
    bad_lines: frozenset[int]
    """The lines of those rows, as they stand now."""

    @property
    def ok(self) -> bool:
        return not self.problems

    def to_json(self) -> dict[str, Any]:
        left = [
            {
                "line": p.line,
                "path": p.path,
                "code": p.code,
                "severity": str(p.severity),
                "value": p.value,
                "message": p.message,
                "hint": p.hint,
            }
            for p in self.problems
        ]
        return {**self.report.to_json(), "problems": left}


def reformat(
    path: Path, *, filename: str, dry_run: bool = False, drop: bool = False
) -> Reformatted:
    """Repair a file in place; the old one stays as `<name>.bak`.

    Args:
        dry_run: only tell what would be repaired; what would remain is not known then.
        drop: leave out the rows that cannot be trained on.

    Raises:
        InvalidInput: the file is no JSON lines text, or cannot be read or written.
    """
    report = fix_file(path, filename=filename, dry_run=dry_run)
    if dry_run:
        return Reformatted(report, (), frozenset())
    found = check_file(path, filename=filename, inspect=False, near=False)
    if drop and found.bad_lines:
        after = fix_file(path, filename=filename, drop=found.bad_lines, backup=not report.backup)
        report.dropped, report.backup = after.dropped, report.backup or after.backup
        found = check_file(path, filename=filename, inspect=False, near=False)
    return Reformatted(report, found.errors, found.bad_lines)
