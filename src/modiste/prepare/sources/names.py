"""Which files hold rows, by their names: of a folder here, or of a list of names elsewhere.

Hidden files and what Modiste, `datasets` and the hub write beside rows hold none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

from modiste.prepare.sources.containers import named_container

PATTERN = re.compile(r"[*?\[]")
_PIECES = re.compile(r"(\*\*/|\*\*|\*|\?|\[[^\]]+\])")
_SIGNS = {"**/": r"(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
_BESIDE_ROWS = (
    "*.report.json",
    "dataset.json",
    "dataset_dict.json",
    "dataset_info.json",
    "dataset_infos.json",
    "state.json",
)
"""Reports of curation, manifests of datasets, and what `datasets` and the hub keep about a set."""


def rows_files(names: Iterable[str]) -> list[str]:
    """The files of a folder that hold rows, by their paths below it, in order."""
    there = set(names)
    return [name for name in sorted(there) if _holds_rows(PurePosixPath(name), there)]


def _holds_rows(path: PurePosixPath, there: set[str]) -> bool:
    hidden = any(part.startswith(".") for part in path.parts)
    beside = any(fnmatchcase(path.name, pattern) for pattern in _BESIDE_ROWS)
    if path.name == "rows.jsonl.gz" and str(path.with_name("dataset.json")) in there:
        beside = True  # where each row of the data set beside it came from
    return not hidden and not beside and named_container(path.name) is not None


def choose(names: Iterable[str], wanted: str) -> list[str]:
    """The files that a path, a folder or a pattern asks for, in order."""
    wanted = wanted.strip("/")
    names = sorted(names)
    if wanted in names:
        return [wanted]
    if PATTERN.search(wanted):
        asked = re.compile(_translated(wanted))
        return [name for name in names if asked.match(name)]
    below = f"{wanted}/" if wanted else ""
    inside = rows_files(n.removeprefix(below) for n in names if n.startswith(below))
    return [f"{below}{name}" for name in inside]


def _translated(pattern: str) -> str:
    """A pattern as a regular expression: `**/` is any folders, `*` stays in one."""
    parts = []
    for piece in _PIECES.split(pattern):
        if piece.startswith("[") and piece.endswith("]") and len(piece) > 2:
            inside = piece[1:-1].replace("\\", "\\\\")
            parts.append(f"[^{inside[1:]}]" if inside.startswith("!") else f"[{inside}]")
        else:
            parts.append(_SIGNS.get(piece) or re.escape(piece))
    return "".join(parts) + r"\Z"
