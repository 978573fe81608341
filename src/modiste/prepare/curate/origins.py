"""Where each row of a stage's output came from: the file people gave, and its line.

Beside the rows of a stage that others follow lies a file of as many lines: number of the source,
line in it, id of the row. Rows read through `Traced` say where they stood at first, so that every
later report speaks of files that people know.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

from modiste.errors import Corrupt
from modiste.prepare.curate.stage import Corpus
from modiste.prepare.records import Record


class Origin(NamedTuple):
    file: str
    line: int
    id: str


class Recording:
    """Writes where the rows that pass came from; `files` are the names met so far."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._numbers: dict[str, int] = {}

    def add(self, record: Record) -> None:
        number = self._numbers.setdefault(record.file, len(self._numbers))
        self._stream.write(b"%d %d %s\n" % (number, record.line, record.id.encode()))

    @property
    def files(self) -> list[str]:
        return list(self._numbers)


def read_origins(path: Path, files: Sequence[str]) -> Iterator[Origin]:
    with path.open("rb") as stream:
        for line in stream:
            number, at, id = line.split()
            yield Origin(files[int(number)], int(at), id.decode())


class Traced(Corpus):
    """Rows of a stage's output that say where they stood before any stage."""

    def __init__(
        self, path: Path, origins: Path, files: Sequence[str], *, origins_sha256: str, **how: Any
    ) -> None:
        super().__init__(path, **how)
        self.origins = origins
        self.files = files
        self.origins_sha256 = origins_sha256

    def __iter__(self) -> Iterator[Record]:
        origins = read_origins(self.origins, self.files)
        for record in super().__iter__():
            origin = next(origins, None)
            if origin is None or origin.id != record.id:
                raise Corrupt(f"{self.origins} does not belong to {self.path}")
            yield record._replace(file=origin.file, line=origin.line)

    def plain(self, filename: str) -> Corpus:
        """The same rows, each where it stands now."""
        return Corpus(
            self.path,
            filename=filename,
            format=self.format,
            container=self.container,
            columns=self.columns,
            sha256=self.sha256,
            n_rows=self.n_rows,
        )
