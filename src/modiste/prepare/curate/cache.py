"""Finished stages, kept by what went into them: the same work is not done twice.

An entry is a folder named after the hash of stage, version, settings and inputs. It is written
under another name, synced and renamed: an entry that is there is whole, whenever a run was killed.
One run at a time works in a cache; the lock is the kernel's, so a killed run holds nothing.
"""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from modiste.errors import Conflict
from modiste.prepare.curate.origins import Recording
from modiste.prepare.curate.stage import Outcome, routed
from modiste.prepare.curate.whole import hash_file, replacing, sync_folder, write_json
from modiste.prepare.records import Record

ENTRY = "entry.json"
ONLY = "data"
"""Name of the rows where there are no parts."""


class KeptPart(NamedTuple):
    """One output of a stage, in the cache."""

    rows: Path
    origins: Path
    files: tuple[str, ...]
    """Files that the origins speak of."""
    sha256: str
    origins_sha256: str
    n_rows: int


class Entry(NamedTuple):
    folder: Path
    parts: Mapping[str, KeptPart]
    report: Mapping[str, Any]


class Cache:
    """The finished stages of one pipeline, in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @contextmanager
    def held(self) -> Iterator[None]:
        """The cache is ours while the block runs. Raises Conflict if another run has it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                raise Conflict(
                    f"another run is at work in {self.folder.parent}; wait for it, or stop it"
                ) from None
            for left in self.folder.glob(".*.tmp"):
                shutil.rmtree(left)
            yield

    def find(self, key: str) -> Entry | None:
        """The entry, if it is there with the very bytes that were written."""
        folder = self.folder / key
        if not (folder / ENTRY).is_file():
            return None
        entry = _read(folder)
        for part in entry.parts.values():
            if not part.rows.is_file() or hash_file(part.rows) != part.sha256:
                return None
            if not part.origins.is_file() or hash_file(part.origins) != part.origins_sha256:
                return None
        return entry

    def make(
        self,
        key: str,
        outcome: Outcome,
        *,
        report: Callable[[Mapping[str, Mapping[str, Any]]], Mapping[str, Any]],
    ) -> Entry:
        """Write what a stage kept. `report` is made when all rows are written, from the parts."""
        temporary = self.folder / f".{key}.tmp"
        temporary.mkdir()
        parts = {
            name: {
                "sha256": hash_file(temporary / f"{name}.jsonl"),
                "origins_sha256": hash_file(temporary / f"{name}.origins"),
                "rows": written.n_rows,
                "files": written.files,
            }
            for name, written in _write_parts(outcome, temporary).items()
        }
        write_json({"parts": parts, "report": report(parts)}, temporary / ENTRY)
        final = self.folder / key
        shutil.rmtree(final, ignore_errors=True)  # there was one, and its bytes had changed
        temporary.rename(final)
        sync_folder(self.folder)
        return _read(final)

    def keep_only(self, keys: set[str]) -> None:
        """Forget every entry but these."""
        for folder in self.folder.iterdir():
            if folder.is_dir() and folder.name not in keys:
                shutil.rmtree(folder)

    @property
    def size_bytes(self) -> int:
        return sum(p.stat().st_size for p in self.folder.rglob("*") if p.is_file())


def _read(folder: Path) -> Entry:
    content = orjson.loads((folder / ENTRY).read_bytes())
    parts = {
        name: KeptPart(
            folder / f"{name}.jsonl",
            folder / f"{name}.origins",
            tuple(part["files"]),
            part["sha256"],
            part["origins_sha256"],
            part["rows"],
        )
        for name, part in content["parts"].items()
    }
    return Entry(folder, parts, content["report"])


class _Written(NamedTuple):
    n_rows: int
    files: list[str]


def _write_parts(outcome: Outcome, folder: Path) -> dict[str, _Written]:
    """Rows and origins of every output."""
    names = list(outcome.kept) if isinstance(outcome.kept, Mapping) else [ONLY]
    counts = dict.fromkeys(names, 0)
    with ExitStack() as stack:
        rows, origins = {}, {}
        for name in names:
            rows[name] = stack.enter_context(replacing(folder / f"{name}.jsonl"))
            beside = stack.enter_context(replacing(folder / f"{name}.origins"))
            origins[name] = Recording(beside)
        for name, record in _routed(outcome):
            rows[name].write(record.raw + b"\n")
            origins[name].add(record)
            counts[name] += 1
    return {name: _Written(counts[name], origins[name].files) for name in names}


def _routed(outcome: Outcome) -> Iterator[tuple[str, Record]]:
    kept = outcome.kept
    return routed(kept if isinstance(kept, Mapping) else {ONLY: kept})
