"""`classifier.json`: what the heads of a classifier are, readable without torch.

It says how to pool, which rows of the heads' matrix belong to which target, each target's
temperature, and how much of what is said comes from phrases. The values lie beside it
(`nn.class_heads`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from modiste.errors import InvalidInput
from modiste.types import ClassifierTarget

ABOUT = "classifier.json"
VERSION = 2


class HeadPooling(StrEnum):
    """How the states of a text become one."""

    MEAN = "mean"
    LAST = "last"


def spans(targets: Sequence[ClassifierTarget]) -> list[slice]:
    """Which labels of the whole row belong to each target."""
    found, at = [], 0
    for target in targets:
        found.append(slice(at, at + len(target.labels)))
        at += len(target.labels)
    return found


def n_labels(targets: Sequence[ClassifierTarget]) -> int:
    return sum(len(target.labels) for target in targets)


@dataclass(frozen=True)
class HeadsFile:
    """`classifier.json`."""

    targets: tuple[ClassifierTarget, ...]
    pooling: HeadPooling
    temperatures: tuple[float, ...]
    """One per target; 1 where no rows were there to find it on."""
    phrase_shares: tuple[float, ...] = ()
    """One per target where phrases are read beside the states: how much of the sum they are. The
    values beside this file are times their share already."""
    version: int = VERSION
    figures: Mapping[str, Any] = field(default_factory=dict)
    """How it does on rows it did not learn from."""


_FILE: TypeAdapter[HeadsFile] = TypeAdapter(HeadsFile)


def save_about(folder: Path, about: HeadsFile) -> None:
    text = json.dumps(asdict(about), ensure_ascii=False, indent=1, sort_keys=True)
    write(folder / ABOUT, (text + "\n").encode())


def read_about(folder: Path) -> HeadsFile:
    """
    Raises:
        InvalidInput: there is none, or it says something that is not understood here.
    """
    try:
        about = _FILE.validate_json((folder / ABOUT).read_bytes())
    except OSError as error:
        raise InvalidInput(f"{folder} holds no classifier: {error.strerror}") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise InvalidInput(f"{folder / ABOUT}: {where}: {first['msg']}") from None
    n_targets = len(about.targets)
    fits = len(about.temperatures) == n_targets and len(about.phrase_shares) in (0, n_targets)
    if about.version != VERSION or not fits:
        raise InvalidInput(f"{folder / ABOUT} is of another version; make the classifier anew")
    return about


def write(path: Path, content: bytes) -> None:
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    partial.rename(path)
