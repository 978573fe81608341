"""Files of any format into one file of JSON lines of another, with an account of every row.

Beside the output stands `<output>.report.json`: how each input was told, which rows were left out
and why, what of which rows was lost, and what the checks say about the result. The output appears
whole or not at all.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import IO, Any

import orjson

from modiste import __version__
from modiste.errors import InvalidInput
from modiste.prepare.checks.findings import Findings, Input, check_files
from modiste.prepare.curate.stage import report_path
from modiste.prepare.curate.whole import hash_file, replacing, write_json
from modiste.prepare.formats.columns import Columns
from modiste.prepare.formats.kinds import Format
from modiste.prepare.formats.read import Read, Reading, read
from modiste.prepare.formats.write import NATIVE, write
from modiste.prepare.sources.containers import Container
from modiste.prepare.sources.locate import Located
from modiste.types import Problem, Severity

MAX_TOLD = 10_000
"""Rows left out that are told one by one; further ones are counted."""


@dataclass
class Lines:
    """Line numbers as they come, kept as ranges."""

    count: int = 0
    ranges: list[list[int]] = field(default_factory=list)

    def add(self, line: int) -> None:
        self.count += 1
        if self.ranges and line in (self.ranges[-1][1], self.ranges[-1][1] + 1):
            self.ranges[-1][1] = line
        else:
            self.ranges.append([line, line])


@dataclass
class Conversion:
    """What became of the rows."""

    to: Format | None
    native: Format | None = None
    """What the first row is."""
    inputs: list[dict[str, Any]] = field(default_factory=list)
    n_rows: int = 0
    """Rows of the output."""
    sha256: str = ""
    dropped: list[Problem] = field(default_factory=list)
    n_dropped: int = 0
    """Rows left out."""
    remarks: list[Problem] = field(default_factory=list)
    """Warnings of the containers."""
    lost: dict[tuple[str, str], Lines] = field(default_factory=dict)
    """By file and what was lost: the lines that lost it."""
    check: Findings | None = None

    @property
    def ok(self) -> bool:
        """Every row was written, and the checks find nothing that keeps one from training."""
        return not self.n_dropped and self.check is not None and self.check.ok

    def expect(self, native: Format, where: str) -> None:
        """Without a format to write, all rows must be of one kind.

        Raises:
            InvalidInput: this row is of another than those before it.
        """
        self.native = self.native or native
        if self.to is None and native is not self.native:
            raise InvalidInput(
                f"{where} is a {native} row, those before it are {self.native} rows: convert them "
                "apart, or with --to chat"
            )

    def to_json(self, output: Path, settings: dict[str, Any]) -> dict[str, Any]:
        return {
            "stage": "convert",
            "modiste_version": __version__,
            "ok": self.ok,
            "settings": settings,
            "inputs": self.inputs,
            "output": {"file": output.name, "sha256": self.sha256, "rows": self.n_rows},
            "dropped_rows": self.n_dropped,
            "dropped": [asdict(problem) for problem in self.dropped],
            "remarks": [asdict(problem) for problem in self.remarks],
            "lost": [
                {"file": file, "what": what, "rows": lines.count, "lines": lines.ranges}
                for (file, what), lines in self.lost.items()
            ],
            "check": None if self.check is None else self.check.to_json(),
        }


def convert_files(
    inputs: Sequence[Located],
    output: Path,
    *,
    to: Format | None = None,
    format: Format | None = None,
    container: Container | None = None,
    columns: Columns | None = None,
    workers: int = 1,
) -> dict[str, Any]:
    """Write every row of the inputs as `to`, check the result, report beside it.

    Args:
        to: None for the format that keeps everything: chat, text, classifier or preference.
        format: of the inputs; None tells it from each file.

    Returns:
        The report; `ok` is false when a row was left out or the result may not be trained on.

    Raises:
        InvalidInput: an output that is an input, a format nothing is written in, no row to write.
    """
    if to is Format.COLUMNS:
        raise InvalidInput("columns say how rows are read, not how they are written", param="to")
    if any(output.resolve() == each.path.resolve() for each in inputs):
        raise InvalidInput(f"{output} is one of the inputs; name another output", param="output")
    conversion = Conversion(to)
    forced: dict[str, Any] = {"format": format, "container": container, "columns": columns}
    with replacing(output) as stream:
        sink = _Sink(stream)
        for each in inputs:
            reading = read(
                each.path,
                filename=each.filename,
                format=format,
                container=container,
                columns=columns,
            )
            n_rows = _convert(reading.rows, each.filename, sink, conversion)
            conversion.inputs.append(_input(each, reading, n_rows))
        if not conversion.n_rows:
            raise _nothing(conversion)
    conversion.sha256 = sink.digest.hexdigest()
    conversion.check = check_files([Input(output, str(output))], format=to, workers=workers)
    if columns is not None:
        forced["columns"] = [list(pair) for pair in columns.messages]
    report = conversion.to_json(output, {"to": to, **forced})
    write_json(report, report_path(output))
    return report


class _Sink:
    """The output while it is written, hashed on the way."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self.digest = hashlib.sha256()

    def add(self, text: bytes) -> None:
        self._stream.write(text)
        self.digest.update(text)


def _input(each: Located, reading: Reading, n_rows: int) -> dict[str, Any]:
    return {
        "file": each.filename,
        "sha256": hash_file(each.path),
        "rows": n_rows,
        "container": reading.container,
        "format": reading.format,
        "why": reading.why,
    }


def _convert(reads: Iterator[Read], filename: str, sink: _Sink, conversion: Conversion) -> int:
    n_rows = 0
    for line, _, _, row in reads:
        errors = [p for p in row.problems if p.severity is Severity.ERROR]
        conversion.remarks += [p for p in row.problems if p.severity is Severity.WARNING]
        if row.example is None and not errors:
            continue
        n_rows += 1
        if row.example is not None:
            conversion.expect(NATIVE[row.example.sample_type], f"{filename} line {line}")
        if row.example is None:
            _drop(conversion, errors)
            continue
        written = write(row.example, conversion.to, number=conversion.n_rows + 1)
        if written.refused is not None:
            hint = "leave the row out, or convert to chat"
            said = row.places.text(written.refused) if row.places else written.refused
            problem = Problem(filename, line, "", "not_convertible", said, hint=hint)
            _drop(conversion, [problem])
            continue
        try:
            text = b"".join(orjson.dumps(value) + b"\n" for value in written.rows)
        except orjson.JSONEncodeError as error:
            said = f"the row cannot be written as JSON: {error}"
            _drop(conversion, [Problem(filename, line, "", "not_writable", said)])
            continue
        sink.add(text)
        conversion.n_rows += 1
        for what in dict.fromkeys((*row.ignored, *row.lost, *written.lost)):
            conversion.lost.setdefault((filename, what), Lines()).add(line)
    return n_rows


def _drop(conversion: Conversion, problems: Sequence[Problem]) -> None:
    conversion.n_dropped += 1
    if len(conversion.dropped) < MAX_TOLD:
        conversion.dropped += problems


def _nothing(conversion: Conversion) -> InvalidInput:
    if not conversion.dropped:
        return InvalidInput("the inputs hold no rows")
    kinds: dict[tuple[str, str, str], list[Problem]] = {}
    for problem in conversion.dropped:
        kinds.setdefault(kind_of(problem), []).append(problem)
    n = conversion.n_dropped
    said = "the row cannot be converted:"
    if n > 1:
        said = f"none of the {n:,} rows can be converted. Of each kind of problem the first:"
    told = [with_others(same, all_told=n <= MAX_TOLD) for same in kinds.values()]
    return InvalidInput(said, problems=told)


def kind_of(problem: Problem) -> tuple[str, str, str]:
    """Problems are of one kind whose paths differ only in numbers (`messages[3].role`)."""
    return problem.file, problem.code, re.sub(r"\d+", "#", problem.path or problem.message)


def with_others(same: Sequence[Problem], *, all_told: bool = True) -> Problem:
    """The first of a kind, with how many there are."""
    first, n_others = same[0], len(same) - 1
    if not n_others:
        return first
    least = "" if all_told else "at least "
    text = f"{first.message.rstrip('.')}, and {least}{n_others:,} more like this"
    return replace(first, message=text)
