"""A dataset in a folder: its rows, and everything that says where they came from.

    train.jsonl validation.jsonl …   the rows
    rows.jsonl.gz                    for each of them: id, and the file and line it came from
    reports/1-dedup.json …           what each stage said
    dataset.json                     files and their hashes, stages with settings, versions of code

`dataset.json` is removed first and written last: a folder that has one is whole. Nothing in these
files tells the time or the machine, so the same rows and stages make the same bytes.
"""

from __future__ import annotations

import gzip
import hashlib
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from modiste import __version__
from modiste.errors import InvalidInput
from modiste.prepare.curate.cache import KeptPart
from modiste.prepare.curate.origins import read_origins
from modiste.prepare.curate.whole import (
    hash_file,
    remove_left_over,
    replacing,
    sync_folder,
    write_json,
)
from modiste.prepare.formats.columns import Columns

MANIFEST = "dataset.json"
ROWS = "rows.jsonl.gz"
LAYOUT = 1
UNFINISHED = "publishing.json"
"""In the cache while a folder is being filled: which files are ours to replace."""


class Done(NamedTuple):
    """One stage that is behind us."""

    stage: str
    version: int
    settings: Mapping[str, Any]
    source: str
    """The stream it took."""
    reads: Sequence[Mapping[str, Any]]
    """Files that its settings name, with their hashes."""
    key: str
    known: bool
    """Taken from the cache."""
    outputs: Mapping[str, int]
    """Rows by stream."""
    report: Mapping[str, Any]

    @property
    def rows_in(self) -> int:
        return sum(corpus["rows"] for corpus in self.report["inputs"])


class Dataset(NamedTuple):
    """What a pipeline came to."""

    name: str
    inputs: Sequence[Mapping[str, Any]]
    format: str | None
    columns: Columns | None
    done: Sequence[Done]
    parts: Mapping[str, KeptPart]
    folder: Path
    manifest: Mapping[str, Any] = {}
    """As written; empty before."""
    changed: bool = False
    """Whether the folder held something else before."""


class SourcedRow(NamedTuple):
    """One line of `rows.jsonl.gz`."""

    part: str
    line: int
    """In the part's file …"""
    id: str
    file: str
    source_line: int
    """… and in the file it came from."""


def read_manifest(folder: Path) -> dict[str, Any]:
    """Raises InvalidInput where there is no finished dataset."""
    try:
        content = orjson.loads((folder / MANIFEST).read_bytes())
    except OSError:
        raise InvalidInput(
            f"{folder} holds no finished dataset: there is no {MANIFEST}; run its pipeline again"
        ) from None
    except orjson.JSONDecodeError as error:
        raise InvalidInput(f"{folder / MANIFEST} is not readable: {error.msg}") from None
    if not isinstance(content, dict) or content.get("modiste_dataset") != LAYOUT:
        raise InvalidInput(f"{folder / MANIFEST} is of another layout than {LAYOUT}")
    return content


def read_sources(folder: Path) -> Iterator[SourcedRow]:
    """Where every row of a dataset came from, in the order of its files."""
    with gzip.open(folder / ROWS) as stream:
        for line in stream:
            yield SourcedRow(**orjson.loads(line))


class Publication:
    """Filling the folder of a dataset, such that an interrupted filling is noticed and repeated."""

    def __init__(self, folder: Path, cache: Path) -> None:
        self.folder = folder
        self._marker = cache / UNFINISHED

    def refuse_changed(self) -> None:
        """Raises InvalidInput if somebody has written what would be lost."""
        if self._marker.exists():
            return
        if not (self.folder / MANIFEST).exists():
            names = [p.name for p in self.folder.iterdir() if not p.name.startswith(".")]
            if names:
                raise InvalidInput(
                    f"{self.folder} holds {', '.join(sorted(names)[:5])}, which no pipeline wrote; "
                    "choose an empty folder as output"
                )
            return
        changed = [
            part["file"]
            for part in read_manifest(self.folder)["outputs"].values()
            if not _is(self.folder / part["file"], part["sha256"])
        ]
        if changed:
            raise InvalidInput(
                f"{', '.join(changed)} in {self.folder} was changed since it was written; move it "
                f"away, or remove {self.folder / MANIFEST} and the files beside it"
            )

    def put(self, dataset: Dataset) -> Dataset:
        """Write the dataset's files; those that are there already are left as they are."""
        manifest = _manifest(dataset)
        before = self._before()
        if before == manifest:
            return dataset._replace(manifest=manifest)
        ours = {*_files_of(before), *_files_of(manifest), *self._unfinished()}
        write_json(sorted(ours), self._marker)
        (self.folder / MANIFEST).unlink(missing_ok=True)
        sync_folder(self.folder)
        for name, part in dataset.parts.items():
            _copy(part, self.folder / f"{name}.jsonl")
        for number, done in enumerate(dataset.done, start=1):
            write_json(done.report, self.folder / _report_name(number, done))
        _write_rows(dataset.parts, self.folder / ROWS)
        for name in ours - {*_files_of(manifest)}:
            remove_left_over(self.folder / name)
            (self.folder / name).unlink(missing_ok=True)
        write_json(manifest, self.folder / MANIFEST)
        self._marker.unlink()
        return dataset._replace(manifest=manifest, changed=True)

    def _before(self) -> Mapping[str, Any]:
        if self._marker.exists() or not (self.folder / MANIFEST).exists():
            return {}
        return read_manifest(self.folder)

    def _unfinished(self) -> list[str]:
        if not self._marker.exists():
            return []
        return [str(name) for name in orjson.loads(self._marker.read_bytes())]


def _manifest(dataset: Dataset) -> dict[str, Any]:
    content: dict[str, Any] = {
        "modiste_dataset": LAYOUT,
        "name": dataset.name,
        "modiste_version": __version__,
        "inputs": list(dataset.inputs),
        "stages": [
            {
                "stage": done.stage,
                "version": done.version,
                "settings": done.settings,
                "from": done.source,
                "reads": list(done.reads),
                "rows_in": done.rows_in,
                "rows_out": dict(done.outputs),
                "report": _report_name(number, done),
            }
            for number, done in enumerate(dataset.done, start=1)
        ],
        "outputs": {
            name: {
                "file": f"{name}.jsonl",
                "sha256": part.sha256,
                "rows": part.n_rows,
                "format": dataset.format,
                **({"columns": dataset.columns.messages} if dataset.columns else {}),
            }
            for name, part in dataset.parts.items()
        },
        "rows": ROWS,
    }
    text = orjson.dumps(content, option=orjson.OPT_SORT_KEYS)
    whole: dict[str, Any] = orjson.loads(orjson.dumps(content))
    return {**whole, "version": hashlib.sha256(text).hexdigest()[:16]}


def _files_of(manifest: Mapping[str, Any]) -> list[str]:
    if not manifest:
        return []
    return [
        *(part["file"] for part in manifest["outputs"].values()),
        *(stage["report"] for stage in manifest["stages"]),
        ROWS,
    ]


def _report_name(number: int, done: Done) -> str:
    return f"reports/{number}-{done.stage}.json"


def _is(path: Path, sha256: str) -> bool:
    return path.is_file() and hash_file(path) == sha256


def _copy(part: KeptPart, path: Path) -> None:
    """A copy, not a link: whoever edits the dataset must not edit the cache."""
    if _is(path, part.sha256):
        return
    with part.rows.open("rb") as source, replacing(path) as stream:
        shutil.copyfileobj(source, stream, 1 << 20)


def _write_rows(parts: Mapping[str, KeptPart], path: Path) -> None:
    with (
        replacing(path) as stream,
        gzip.GzipFile("", "wb", compresslevel=3, fileobj=stream, mtime=0) as packed,
    ):
        for name, part in parts.items():
            for line, origin in enumerate(read_origins(part.origins, part.files), start=1):
                row = SourcedRow(name, line, origin.id, origin.file, origin.line)
                packed.write(orjson.dumps(row._asdict()) + b"\n")
