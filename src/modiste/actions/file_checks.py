"""What an uploaded training file comes to: can its rows be read at all, what do the checks say.

No database here. A file with a row that cannot be read (broken JSON lines, a torn Parquet file) is
refused with all such rows; everything else is stored, and what is wrong with it is in its report.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import orjson

from modiste import __version__
from modiste.prepare.checks.findings import Findings, Input, check_files
from modiste.prepare.formats.read import Reading, read
from modiste.prepare.row_index import Building, RowIndex, is_row
from modiste.prepare.sources.containers import Container, packing_of
from modiste.types import Problem, SampleType

MAX_PROBLEMS = 10_000
"""Unreadable rows told one by one; a file with more is something else than training data."""
MIMETYPES = {
    Container.JSONL: "application/jsonl",
    Container.JSON: "application/json",
    Container.CSV: "text/csv",
    Container.TSV: "text/tab-separated-values",
    Container.PARQUET: "application/vnd.apache.parquet",
    Container.ARROW: "application/vnd.apache.arrow.file",
}


class Refused(NamedTuple):
    """Nothing of such a file is to be stored."""

    what: str
    """What it was taken for, for people."""
    problems: tuple[Problem, ...]


class Examined(NamedTuple):
    """A file that may be stored, and what is kept beside it."""

    n_rows: int
    sample_type: str
    format: str | None
    mimetype: str
    report: bytes
    """JSON, as `GET /v1/files/{id}/report` gives it."""
    rows: bytes
    """Its `RowIndex`."""


def examine(path: Path, filename: str, *, workers: int = 1) -> Examined | Refused:
    """Read all rows, then check them. Never raises for what a file holds.

    Args:
        workers: processes that check; what they find does not depend on it.
    """
    reading = read(path, filename=filename)
    looked = _look(reading)
    if not len(looked.rows) and not looked.unreadable:
        text = "the file holds no rows"
        looked.unreadable.append(Problem(filename, None, "", "file_empty", text))
    if looked.unreadable:
        return Refused(_kind(reading.container), tuple(looked.unreadable))
    found = check_files([Input(path, filename)], workers=workers)
    pretrain = looked.sample_type is SampleType.PRETRAIN
    return Examined(
        n_rows=looked.n_rows,
        sample_type="pretrain" if pretrain else "instruct",
        format=reading.format or found.train[0].format,
        mimetype=MIMETYPES[reading.container],
        report=orjson.dumps(report_json(found), option=orjson.OPT_NON_STR_KEYS),
        rows=looked.rows.to_bytes(),
    )


def report_json(found: Findings) -> dict[str, Any]:
    """A report as it is stored: what the command line prints, and who wrote it."""
    return {"modiste_version": __version__, **found.to_json()}


def first_rows(path: Path, filename: str, *, max_bytes: int) -> list[bytes] | None:
    """Rows from the beginning of a file as JSON lines, some `max_bytes` of them.

    None for plain JSON lines, whose beginning can be had without reading them as rows.
    """
    packing = packing_of(path, filename=filename)
    if packing.container is Container.JSONL and not packing.gzipped:
        return None
    taken, size = [], 0
    for found in read(path, filename=filename).rows:
        if size >= max_bytes:
            break
        taken.append(found.raw + b"\n")
        size += len(taken[-1])
    return taken


class _Looked(NamedTuple):
    rows: RowIndex
    n_rows: int
    sample_type: SampleType | None
    """Of the first row that shows one."""
    unreadable: list[Problem]


def _look(reading: Reading) -> _Looked:
    building = Building()
    unreadable: list[Problem] = []
    n_rows, n_untold, sample_type = 0, 0, None
    for found in reading.rows:
        n_rows += 1
        if is_row(found):
            building.add(found.value, found.line)
        elif len(unreadable) < MAX_PROBLEMS:
            unreadable += found.row.problems
        else:
            n_untold += 1
        if sample_type is None and found.row.example is not None:
            sample_type = found.row.example.sample_type
    if n_untold:
        text = f"and {n_untold:,} more rows that cannot be read"
        unreadable.append(Problem(unreadable[0].file, None, "", "more_problems", text))
    return _Looked(building.done(), n_rows, sample_type, unreadable)


def _kind(container: Container) -> str:
    return "JSONL" if container is Container.JSONL else container.upper()
