"""Files repaired in place: safe repairs only, every change told, the old file kept beside.

A file is rewritten only when a row changes. Rows that do not change keep their bytes; so do lines
that are no JSON, and rows with a key twice, where repairing one would lose the other. The new file
is written beside the old one, synced, and renamed over it when the old one has its second name:
whenever the power fails, one of the two is there whole.
"""

from __future__ import annotations

import difflib
import json
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import orjson

from modiste.errors import InvalidInput
from modiste.prepare.inspect.conceal import conceal
from modiste.prepare.repairs import Change, Fixed, fix_row
from modiste.prepare.sources.json_text import repeated_keys
from modiste.prepare.sources.jsonl import MAX_LINE_BYTES

__all__ = ["Change", "FixReport", "Fixed", "fix_file", "fix_row"]

CHANGES_TOLD = 1_000
"""Changes told one by one; further ones are counted."""
ROWS_IN_DIFF = 20
LEVELS_SHOWN = 12
"""Of a value in the report; a tool's schema has fewer."""
_BOM = b"\xef\xbb\xbf"


class LineChange(NamedTuple):
    line: int
    change: Change


@dataclass
class FixReport:
    filename: str
    n_rows: int = 0
    """Lines that are not blank."""
    n_changed: int = 0
    """Rows that were repaired."""
    counts: Counter[str] = field(default_factory=Counter)
    """Changes by code."""
    changes: list[LineChange] = field(default_factory=list)
    """The first of them."""
    diff: list[str] = field(default_factory=list)
    """Of the first repaired rows, a unified diff with one line per JSON value, secrets masked."""
    dropped: list[int] = field(default_factory=list)
    """Lines left out because `drop` said so."""
    backup: Path | None = None
    """The file as it was; None where nothing was written."""

    @property
    def changed(self) -> bool:
        return bool(self.n_changed or self.dropped)

    def to_json(self) -> dict[str, Any]:
        return {
            "file": self.filename,
            "rows": self.n_rows,
            "changed_rows": self.n_changed,
            "counts": dict(self.counts),
            "changes": [
                {
                    "line": line,
                    "path": change.path,
                    "code": change.code,
                    "before": _shown(change.before),
                    "after": _shown(change.after),
                }
                for line, change in self.changes
            ],
            "untold_changes": self.counts.total() - len(self.changes),
            "dropped": self.dropped,
            "diff": self.diff,
            "backup": str(self.backup) if self.backup else None,
        }


def fix_file(
    path: Path,
    *,
    filename: str,
    dry_run: bool = False,
    drop: frozenset[int] = frozenset(),
    backup: bool = True,
) -> FixReport:
    """Repair a JSON lines file in place; the old file stays as `<name>.bak`.

    Args:
        dry_run: only tell what would change.
        drop: lines to leave out.
        backup: False only where the file as it was is kept already.

    Raises:
        InvalidInput: the file is no JSON lines text, or cannot be read or written.
    """
    report = FixReport(filename)
    try:
        with path.open("rb") as source:
            _refuse_other_containers(source, filename)
            if dry_run:
                for _ in _repaired(source, report, drop):
                    pass
                return report
            _rewrite(path, source, report, drop, backup=backup)
    except OSError as error:
        raise InvalidInput(f"{filename} cannot be repaired: {error}", param="files") from error
    return report


def _refuse_other_containers(source: BinaryIO, filename: str) -> None:
    head = source.read(4)
    source.seek(0)
    if head.startswith((b"\x1f\x8b", b"PK", b"PAR1", b"ARRO", b"\xff\xfe", b"\xfe\xff", b"[")):
        raise InvalidInput(
            f"{filename} is not JSON lines, only they are repaired in place: "
            f"`modiste data convert {filename}` writes them",
            param="files",
        )


def _rewrite(
    path: Path, source: BinaryIO, report: FixReport, drop: frozenset[int], *, backup: bool
) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    written = Path(name)
    try:
        with os.fdopen(handle, "wb") as target:
            for piece in _repaired(source, report, drop):
                target.write(piece)
            target.flush()
            os.fsync(target.fileno())
        if report.changed:
            shutil.copymode(path, written)
            report.backup = _keep(path) if backup else None
            written.replace(path)
            _sync_folder(path.parent)
    finally:
        written.unlink(missing_ok=True)


def _keep(path: Path) -> Path:
    """The file under a second name that nothing had before: `x.bak`, `x.bak.1`, …"""
    for number in range(10_000):
        backup = path.with_name(f"{path.name}.bak" + (f".{number}" if number else ""))
        try:
            os.link(path, backup)
        except FileExistsError:
            continue
        except OSError:  # a file system without links
            with path.open("rb") as old, backup.open("xb") as copy:
                shutil.copyfileobj(old, copy)
                os.fsync(copy.fileno())
        return backup
    raise InvalidInput(f"{path} has ten thousand backups: remove some", param="files")


def _sync_folder(folder: Path) -> None:
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _repaired(source: BinaryIO, report: FixReport, drop: frozenset[int]) -> Iterator[bytes]:
    """The file's bytes, line by line, with repaired rows in the place of theirs."""
    line, dropping, whole = 0, False, True
    while piece := source.readline(MAX_LINE_BYTES):
        if not whole:  # the rest of a line that is too long to be a row
            whole = piece.endswith(b"\n")
            if not dropping:
                yield piece
            continue
        line += 1
        whole = piece.endswith(b"\n") or len(piece) < MAX_LINE_BYTES
        report.n_rows += bool(piece.strip())
        dropping = line in drop
        if dropping:
            report.dropped.append(line)
        else:
            yield _line(piece, line, report) if whole else piece


def _line(piece: bytes, line: int, report: FixReport) -> bytes:
    text = piece.removeprefix(_BOM) if line == 1 else piece
    row = text.rstrip(b"\r\n")
    try:
        value = orjson.loads(row)
        if not fix_row(value).changes or next(repeated_keys(row), None):
            return piece
        # Numbers survive in Python's reader whatever their length; asked only for these rows.
        value = json.loads(row)
        fixed = fix_row(value)
        written = _written(fixed.value)
        diff = _diff(value, fixed.value) if report.n_changed < ROWS_IN_DIFF else []
    except (ValueError, RecursionError):
        return piece
    report.n_changed += 1
    report.counts.update(change.code for change in fixed.changes)
    room = CHANGES_TOLD - len(report.changes)
    report.changes += [LineChange(line, change) for change in fixed.changes[:room]]
    report.diff += [f"--- {report.filename} line {line}", *diff[2:]] if diff else []
    start, end = piece[: len(piece) - len(text)], text[len(row) :]
    return start + written + end


def _written(value: Any) -> bytes:
    try:
        return json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:  # half a surrogate pair stays the escape it was
        return json.dumps(value).encode()


def _diff(before: Any, after: Any) -> list[str]:
    old, new = (
        conceal(json.dumps(value, indent=1, ensure_ascii=False)).splitlines()
        for value in (before, after)
    )
    return list(difflib.unified_diff(old, new, n=1, lineterm=""))


def _shown(value: Any, levels: int = LEVELS_SHOWN) -> Any:
    """A value for a report: texts and depth shortened, nothing private in them."""
    if isinstance(value, str):
        text = conceal(value)
        return text if len(text) <= 200 else f"{text[:199]}…"
    if isinstance(value, list | Mapping) and not levels:
        return "…"
    if isinstance(value, list):
        return [_shown(item, levels - 1) for item in value]
    if isinstance(value, Mapping):
        return {key: _shown(item, levels - 1) for key, item in value.items()}
    if isinstance(value, int) and value.bit_length() > 63:  # no JSON reader must take it
        return _shown(str(value)[:201])
    return value
