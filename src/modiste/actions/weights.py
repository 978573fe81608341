"""Where the weights of a model lie: a base's folder, with an adapter's beside it or none.

A job leaves an adapter, or after full fine-tuning a whole model: files with a config.json of their
own. Both are kept as blobs and made a folder at first use; a whole model then is a base like any.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from modiste.store.blobs import Blobs
from modiste.types import Adapter

MADE = "adapters"
"""Of the cache: folders made of blobs, by version."""


class Weights(NamedTuple):
    base: Path
    adapter: Path | None = None
    version: str | None = None
    """Of the adapter."""


def folders(blobs: Blobs, cache_dir: Path, *, base: Path, made: Adapter | None) -> Weights:
    """
    Args:
        made: what a job left; None for a base as it is.

    Raises:
        Corrupt: a blob is gone or has other bytes.
        StorageFull: no room to make the folder.
    """
    if made is None:
        return Weights(base)
    folder = blobs.materialise(made, cache_dir / MADE)
    return Weights(folder) if made.is_whole else Weights(base, folder, made.version)
