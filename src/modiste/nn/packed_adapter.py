"""An adapter's table as one memory-mapped file: opening copies nothing, pages are read when used.

It is a copy of files in PEFT's layout, made for one base's shape; what it was made of is written in
it, and a copy of anything else is taken for none. So it may be deleted at any time. Writing is
atomic; two engines that write the same copy do not disturb each other.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from modiste.nn.adapter_table import Table

FORMAT = "modiste adapter 3"
LINE = 64
"""Bytes of a line of cache: values that begin on one are read fastest."""


def write(path: Path, table: Table, *, source: str) -> None:
    """
    Args:
        source: names what the table was made of.

    Raises:
        OSError: it cannot be written there; what was there before still is.
    """
    tensors = {"segments": _whole_lines(table.segments), "sites": _whole_lines(table.sites)}
    sizes = {"n_sites": str(len(table.sites)), "n_columns": str(table.n_columns)}
    metadata = {"format": FORMAT, "source": source, **sizes}
    content = save({**tensors, "values": table.values}, metadata=metadata)
    if missing := -_header_bytes(content) % LINE:
        # The header grows by what a longer text takes, and is filled up to eight bytes.
        metadata["format"] += " " * missing
        content = save({**tensors, "values": table.values}, metadata=metadata)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(name, path)
    except OSError:
        Path(name).unlink(missing_ok=True)
        raise


def read(path: Path, *, source: str) -> Table | None:
    """The table in `path`, mapped; None where there is none that was made of `source`."""
    try:
        with safe_open(path, framework="pt") as tensors:
            metadata = tensors.metadata() or {}
            if metadata.get("source") != source or metadata.get("format", "").strip() != FORMAT:
                return None
            names = ("sites", "segments", "values")
            sites, segments, values = (tensors.get_tensor(name) for name in names)
            n_sites, n_columns = int(metadata["n_sites"]), int(metadata["n_columns"])
            return Table(sites[:n_sites], segments, values, n_columns)
    except (OSError, SafetensorError):
        return None


def _whole_lines(rows: torch.Tensor) -> torch.Tensor:
    """Rows of five numbers, filled up so that what comes behind begins on a line."""
    return F.pad(rows, (0, 0, 0, -len(rows) % 8))


def _header_bytes(content: bytes) -> int:
    return 8 + int.from_bytes(content[:8], "little")
