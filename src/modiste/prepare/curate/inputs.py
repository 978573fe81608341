"""Names that people write (a file, a folder, a pattern, a URL) as corpora, the rows behind them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from modiste.errors import InvalidInput
from modiste.prepare.curate.stage import Corpus
from modiste.prepare.formats.columns import Columns
from modiste.prepare.formats.kinds import Format


def corpora(
    places: Sequence[str], *, format: Format | None = None, columns: Columns | None = None
) -> list[Corpus]:
    """Every file behind the names, in order; one that is named twice is there once.

    Raises:
        InvalidInput: a name that leads to no file; all of them at once.
    """
    found: dict[str, Corpus] = {}
    missing = []
    for place in places:
        path = Path(place).expanduser()
        if path.is_dir():
            files = sorted(p for p in path.rglob("*") if p.is_file() and p.suffix == ".jsonl")
        else:
            files = [path] if path.is_file() else []
        if not files:
            missing.append(place)
        for file in files:
            found.setdefault(str(file), Corpus(file, filename=str(file), format=format))
    if missing:
        raise InvalidInput(f"no file at {', '.join(missing)}")
    return list(found.values())


def parts_of(folder: str, names: Sequence[str]) -> dict[str, Corpus]:
    """The parts of an earlier split that lie in a folder."""
    paths = {name: Path(folder).expanduser() / f"{name}.jsonl" for name in names}
    found = {name: Corpus(path) for name, path in paths.items() if path.is_file()}
    if not found:
        raise InvalidInput(
            f"{folder} holds no part of an earlier split: none of "
            f"{', '.join(path.name for path in paths.values())}"
        )
    return found
