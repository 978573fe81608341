"""What every stage of curation is: rows of some files in, rows kept and a report out.

A stage decides, it writes nothing; `write` and `write_parts` put what it kept beside a report, so
that whoever reads either sees all of it or none. A stage never holds all rows in memory: it reads
its inputs twice rather. Its settings are one frozen model behind YAML and flags.

A module of a stage has its settings (`Dedup`) and one instance of the stage, `STAGE`.
"""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any, ClassVar, NamedTuple, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from modiste import __version__
from modiste.errors import InvalidInput
from modiste.prepare.curate.whole import hash_file, replacing, sync_folder, write_json
from modiste.prepare.formats.columns import Columns
from modiste.prepare.formats.kinds import Format
from modiste.prepare.formats.read import Told, tell
from modiste.prepare.records import Record, records
from modiste.prepare.sources.containers import Container


class Settings(BaseModel):
    """Base of every stage's settings: frozen, and no name is accepted that means nothing."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Corpus:
    """Rows of one file, in order, as often as they are asked for.

    Args:
        filename: what people call the file; rows and reports name it so.
        format, container, columns: what the file is, where it is not to be asked.
        sha256, n_rows: where they are known already.
    """

    def __init__(
        self,
        path: Path,
        *,
        filename: str | None = None,
        format: Format | None = None,
        container: Container | None = None,
        columns: Columns | None = None,
        sha256: str | None = None,
        n_rows: int | None = None,
    ) -> None:
        self.path = path
        self.filename = filename or str(path)
        self.format = format
        self.container = container
        self.columns = columns
        self._sha256 = sha256
        self._n_rows = n_rows

    def __iter__(self) -> Iterator[Record]:
        """Raises InvalidInput at the end if any row could not be read."""
        count = 0
        for record in records(self.path, **self._how()):
            count += 1
            yield record
        self._n_rows = count

    def _how(self) -> dict[str, Any]:
        return {
            "filename": self.filename,
            "format": self.format,
            "container": self.container,
            "columns": self.columns,
        }

    @property
    def told(self) -> Told:
        """What the file is, as it says or as it was given."""
        return tell(self.path, **self._how())

    @property
    def sha256(self) -> str:
        if self._sha256 is None:
            self._sha256 = hash_file(self.path)
        return self._sha256

    @property
    def n_rows(self) -> int:
        """Known after one whole pass, otherwise counted by one."""
        if self._n_rows is None:
            for _ in self:
                pass
        return self._n_rows or 0

    def to_json(self) -> dict[str, Any]:
        return {"file": self.filename, "sha256": self.sha256, "rows": self.n_rows}


def chain(inputs: Iterable[Corpus]) -> Iterator[Record]:
    """The rows of several files, one file after the other."""
    for corpus in inputs:
        yield from corpus


class Parts(Mapping[str, Iterable[Record]]):
    """Rows that go to named outputs, decided row by row: all outputs are written in one pass.

    Args:
        names: the outputs, in order.
        routed: makes the rows anew, each with the name of its output.
    """

    def __init__(
        self, names: Sequence[str], routed: Callable[[], Iterator[tuple[str, Record]]]
    ) -> None:
        self.names = tuple(names)
        self.routed = routed

    def __getitem__(self, name: str) -> Iterable[Record]:
        if name not in self.names:
            raise KeyError(name)
        return (record for part, record in self.routed() if part == name)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)


class Outcome(NamedTuple):
    kept: Iterable[Record] | Mapping[str, Iterable[Record]]
    """Named outputs where there are several; an empty mapping from a stage that only looks."""
    report: Mapping[str, Any]
    """JSON values, complete once `kept` was read. `dropped` lists rows that were left out."""


class Stage(Protocol):
    """One kind of curation."""

    name: ClassVar[str]
    """In YAML, in reports, on the command line."""
    version: ClassVar[int]
    """Changed whenever the same rows and settings could come out differently: it keys caches."""
    settings: ClassVar[type[BaseModel]]
    reads: ClassVar[tuple[str, ...]]
    """Names of settings that name other files (a string or several): these files key caches too."""

    def run(self, inputs: Sequence[Corpus], settings: Any) -> Outcome: ...


S = TypeVar("S", bound=BaseModel)


def parse_settings(model: type[S], values: Mapping[str, Any], *, where: str) -> S:
    """Settings from YAML or flags.

    Raises:
        InvalidInput: with every wrong name and value in one message.
    """
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        said = [wrong_setting(model, dict(found)) for found in error.errors()]
    raise InvalidInput("; ".join(f"{where}: {text}" for text in said))


def wrong_setting(model: type[BaseModel], found: Mapping[str, Any]) -> str:
    """One of Pydantic's errors, as people say it."""
    place = ".".join(str(part) for part in found["loc"])
    if found["type"] == "extra_forbidden":
        known = list(model.model_fields)
        near = difflib.get_close_matches(str(found["loc"][-1]), known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
        return f"{place}: unknown; {hint}"
    said = found["msg"].removeprefix("Value error, ")
    if not found["loc"]:  # about several settings, which the message names
        return str(said)
    got = "" if found["type"] == "missing" else f", got {found['input']!r}"
    return f"{place}: {said}{got}"


class Written(NamedTuple):
    path: Path
    sha256: str
    n_rows: int

    def to_json(self) -> dict[str, Any]:
        return {"file": self.path.name, "sha256": self.sha256, "rows": self.n_rows}


def report_path(output: Path) -> Path:
    """`train.jsonl` is reported in `train.report.json`."""
    return output.with_name(output.name.removesuffix(".jsonl") + ".report.json")


def write(
    stage: Stage, outcome: Outcome, output: Path, *, settings: BaseModel, inputs: Sequence[Corpus]
) -> Mapping[str, Any]:
    """Rows into one file of JSON lines, the report beside it. Returns the report."""
    if isinstance(outcome.kept, Mapping):
        raise TypeError(f"{stage.name} has named outputs, write_parts writes them")
    _refuse_inputs([output], inputs)
    written = write_rows(outcome.kept, output, outdated=report_path(output))
    report = {
        **head(stage, settings, inputs),
        "output": written.to_json(),
        **outcome.report,
    }
    write_json(report, report_path(output))
    return report


def write_parts(
    stage: Stage,
    outcome: Outcome,
    folder: Path,
    *,
    settings: BaseModel,
    inputs: Sequence[Corpus],
) -> Mapping[str, Any]:
    """Named outputs into `folder/<name>.jsonl`, one report `folder/<stage>.report.json`."""
    if not isinstance(outcome.kept, Mapping):
        raise TypeError(f"{stage.name} has one output, write writes it")
    outputs = {name: folder / f"{name}.jsonl" for name in outcome.kept}
    _refuse_inputs(outputs.values(), inputs)
    told = folder / f"{stage.name}.report.json"
    written = write_many(outcome.kept, outputs, outdated=told)
    report = {
        **head(stage, settings, inputs),
        "outputs": {name: part.to_json() for name, part in written.items()},
        **outcome.report,
    }
    write_json(report, told)
    return report


def head(stage: Stage, settings: BaseModel, inputs: Sequence[Corpus]) -> dict[str, Any]:
    """What every report begins with."""
    return {
        "stage": stage.name,
        "stage_version": stage.version,
        "modiste_version": __version__,
        "settings": settings.model_dump(mode="json"),
        "inputs": [corpus.to_json() for corpus in inputs],
    }


def _refuse_inputs(outputs: Iterable[Path], inputs: Sequence[Corpus]) -> None:
    read = {corpus.path.resolve(): corpus.filename for corpus in inputs}
    for output in outputs:
        if output.resolve() in read:
            raise InvalidInput(f"{output} is one of the inputs; name another output")


def write_rows(rows: Iterable[Record], output: Path, *, outdated: Path | None = None) -> Written:
    """One file. `outdated` speaks of the file that is replaced, and goes first."""
    with _rows_file(output) as file:
        for record in rows:
            file.add(record)
        _remove(outdated)
    return file.written()


def write_many(
    kept: Mapping[str, Iterable[Record]],
    outputs: Mapping[str, Path],
    *,
    outdated: Path | None = None,
) -> dict[str, Written]:
    """Every named output; of `Parts`, in one pass over the rows. All are written, then all are
    put into place: where that is interrupted, there is no report that speaks of them."""
    with ExitStack() as stack:
        files = {name: stack.enter_context(_rows_file(path)) for name, path in outputs.items()}
        for name, record in routed(kept):
            files[name].add(record)
        _remove(outdated)
    return {name: file.written() for name, file in files.items()}


def routed(kept: Mapping[str, Iterable[Record]]) -> Iterator[tuple[str, Record]]:
    """Every row with the name of its output."""
    if isinstance(kept, Parts):
        yield from kept.routed()
    else:
        yield from ((name, record) for name, rows in kept.items() for record in rows)


def _remove(outdated: Path | None) -> None:
    if outdated is not None and outdated.exists():
        outdated.unlink()
        sync_folder(outdated.parent)


class _Rows:
    """A file of JSON lines that is being written, hashed on the way."""

    def __init__(self, path: Path, stream: IO[bytes]) -> None:
        self.path = path
        self.n_rows = 0
        self._stream = stream
        self._digest = hashlib.sha256()

    def add(self, record: Record) -> None:
        line = record.raw + b"\n"
        self._stream.write(line)
        self._digest.update(line)
        self.n_rows += 1

    def written(self) -> Written:
        return Written(self.path, self._digest.hexdigest(), self.n_rows)


@contextmanager
def _rows_file(output: Path) -> Iterator[_Rows]:
    with replacing(output) as stream:
        yield _Rows(output, stream)
