"""Names of data as files on this machine: a file, a folder, a pattern, `s3://…`, `hf://…`.

A folder stands for every file of rows below it, in order of their paths; hidden files and what
Modiste and `datasets` write beside rows (reports, manifests) are left out. What lies elsewhere is
fetched first, into a cache that knows what it holds.
"""

from __future__ import annotations

import glob
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from modiste.errors import InvalidInput
from modiste.prepare.sources.names import PATTERN, rows_files

_URL = re.compile(r"[a-z][a-z0-9+.-]+://")


class Located(NamedTuple):
    path: Path
    filename: str
    """As people call it: below the name they gave, or the whole URL."""


def locate(places: Sequence[str], *, cache: Path | None = None) -> list[Located]:
    """Every file behind the names, in order; one that is named twice is there once.

    Args:
        cache: where fetched files are kept; None for the cache of the home.

    Raises:
        InvalidInput: names that lead to no file of rows; all of them at once.
        Unavailable: a store or the hub does not answer, or its package is not installed.
    """
    found: dict[str, Located] = {}
    missing = []
    for place in places:
        try:
            here = _remote(place, cache) if _URL.match(place) else _local(place)
        except InvalidInput as error:
            missing.append(error.message)
            continue
        for located in here:
            found.setdefault(str(located.path), located)
    if missing:
        raise InvalidInput("; ".join(missing), param="files")
    return list(found.values())


def _local(place: str) -> Iterator[Located]:
    path = Path(place).expanduser()
    if path.is_file():
        return iter([Located(path, place)])
    if path.is_dir():
        inside = [each.relative_to(path).as_posix() for each in path.rglob("*") if each.is_file()]
        rows = [path / name for name in rows_files(inside)]
        if not rows:
            n_other = f" ({len(inside)} other files)" if inside else ""
            raise InvalidInput(
                f"the folder {place} holds no file of rows{n_other}: .jsonl, .json, .csv, .tsv, "
                ".parquet or .arrow, each also .gz"
            )
        return (Located(each, str(each)) for each in rows)
    if PATTERN.search(place):
        matches = sorted(glob.glob(str(path), recursive=True))
        files = [each for each in map(Path, matches) if each.is_file()]
        if not files:
            raise InvalidInput(f"no file matches {place}")
        return (Located(each, str(each)) for each in files)
    if path.exists():
        raise InvalidInput(f"{place} is neither a file nor a folder")
    raise InvalidInput(f"there is no file {place}")


def _remote(place: str, cache: Path | None) -> list[Located]:
    scheme = place.partition("://")[0]
    if scheme == "hf":
        from modiste.prepare.sources import hub

        return [Located(path, name) for path, name in hub.fetch(place)]
    if scheme in ("http", "https"):
        raise InvalidInput(f"{place} is a web address: download it and name the file")
    from modiste.prepare.sources import object_store

    if scheme not in object_store.SCHEMES:
        known = ", ".join(f"{each}://" for each in ("hf", *object_store.SCHEMES))
        raise InvalidInput(f"{place}: nothing is read from {scheme}://, known are {known}")
    return [Located(path, name) for path, name in object_store.fetch(place, into=_cache(cache))]


def _cache(given: Path | None) -> Path:
    if given is not None:
        return given
    from modiste.settings import load

    return load().cache_dir / "remote"
