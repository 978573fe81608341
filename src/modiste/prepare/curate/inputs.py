"""Names that people write (a file, a folder, a pattern, a URL) as corpora, the rows behind them."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from modiste.errors import InvalidInput
from modiste.prepare.curate.origins import Traced
from modiste.prepare.curate.stage import Corpus
from modiste.prepare.formats.columns import Columns
from modiste.prepare.formats.kinds import Format
from modiste.prepare.formats.read import Told
from modiste.prepare.sources.locate import Located, locate


class Opened(str):
    """A name whose files are known already: settings of a pipeline hold these."""

    corpora: tuple[Corpus, ...]

    def __new__(cls, name: str, corpora: Sequence[Corpus]) -> Opened:
        opened = super().__new__(cls, name)
        opened.corpora = tuple(corpora)
        return opened


def corpora(
    places: Sequence[str],
    *,
    format: Format | None = None,
    columns: Columns | None = None,
    folder: Path | None = None,
    traced: bool = False,
) -> list[Corpus]:
    """Every file behind the names, in order; one that is named twice is there once.

    Args:
        folder: what relative names are relative to; the names shown stay as they were written.
        traced: rows of a pipeline's stream are to say where they stood at first.

    Raises:
        InvalidInput: a name that leads to no file; all of them at once.
    """
    found: dict[Path, Corpus] = {}
    for opened in places:
        if isinstance(opened, Opened):
            found |= {
                corpus.path: _as_asked(corpus, str(opened), format, columns, traced)
                for corpus in opened.corpora
            }
    names = [place for place in places if not isinstance(place, Opened)]
    for path, filename in _located(names, folder):
        found.setdefault(path, Corpus(path, filename=filename, format=format, columns=columns))
    return list(found.values())


class Shape(NamedTuple):
    """What rows must be alike in to lie in one file."""

    format: Format | None
    """None where no row has shown one."""
    columns: Columns | None


def one_shape(inputs: Sequence[Corpus]) -> Shape:
    """What rows of all the files are, once they are written as JSON lines.

    Raises:
        InvalidInput: files differ; nobody could read what came out.
    """
    told = {corpus.filename: _written_as(corpus.told) for corpus in inputs}
    shapes = {shape for shape in told.values() if shape.format}
    if len(shapes) > 1:
        said = ", ".join(f"{name} is {shape.format}" for name, shape in told.items())
        raise InvalidInput(
            f"files of different formats cannot become one: {said}. Convert them first: "
            "`modiste data convert FILE --output NEW`"
        )
    return next(iter(shapes), Shape(None, None))


def _written_as(told: Told) -> Shape:
    """Chats that stand in several rows of a table are written as one row each."""
    if told.format is Format.CHAT_TABLE:
        return Shape(Format.CHAT, None)
    return Shape(told.format, told.columns)


def _as_asked(
    corpus: Corpus, name: str, format: Format | None, columns: Columns | None, traced: bool
) -> Corpus:
    if isinstance(corpus, Traced):
        return corpus if traced else corpus.plain(name)
    if format is None and columns is None:
        return corpus
    return Corpus(corpus.path, filename=corpus.filename, format=format, columns=columns)


def _located(names: Sequence[str], folder: Path | None) -> list[Located]:
    if folder is None:
        return locate(names)
    inside = [name if "://" in name else str(folder / Path(name).expanduser()) for name in names]
    return [
        Located(path, filename.removeprefix(f"{folder}{os.sep}"))
        for path, filename in locate(inside)
    ]


def parts_of(place: str, names: Sequence[str]) -> dict[str, Corpus]:
    """The parts of an earlier split that lie in a folder."""
    found = {corpus.path.stem: corpus for corpus in reversed(corpora([place], traced=True))}
    parts = {name: found[name] for name in names if name in found}
    if not parts:
        wanted = ", ".join(f"{name}.jsonl" for name in names)
        raise InvalidInput(f"{place} holds no part of an earlier split: none of {wanted}")
    return parts
