"""Safetensors read and written tensor by tensor, so that a model of any size passes through.

`TensorFiles` reads a base of either layout under Hugging Face names and in Hugging Face's rotary
order. `write_tensors` writes the header first, from shapes alone, and then asks for one tensor
after the other. Plain reads instead of mapped pages: memory stays at the largest tensor.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from modiste.errors import InvalidInput
from modiste.nn import consolidated
from modiste.nn.base import Layout, describe_base, read_config, safetensors_header, weight_files

DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
NAMES = {dtype: name for name, dtype in DTYPES.items()}
SHARD_BYTES = 5 << 30


class Place(NamedTuple):
    file: Path
    start: int
    dtype: torch.dtype
    shape: tuple[int, ...]
    stored: str
    """The name in the file."""


class Entry(NamedTuple):
    """A tensor that is going to be written."""

    name: str
    dtype: torch.dtype
    shape: tuple[int, ...]

    @property
    def n_bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


class TensorFiles:
    """The weights of the base in `folder` by their Hugging Face checkpoint names."""

    def __init__(self, folder: Path) -> None:
        """
        Raises:
            InvalidInput: not a complete base, or stored in numbers that are not read here.
        """
        self.info = describe_base(folder)
        self.config = read_config(folder, self.info.layout)
        self._mistral = self.info.layout is Layout.MISTRAL
        self.places: dict[str, Place] = {}
        for file in weight_files(folder, self.info.layout):
            self._index(file)

    @property
    def entries(self) -> list[Entry]:
        return [Entry(name, place.dtype, place.shape) for name, place in self.places.items()]

    @property
    def dtype(self) -> torch.dtype:
        """The one that most values are stored in."""
        sizes: dict[torch.dtype, int] = {}
        for entry in self.entries:
            sizes[entry.dtype] = sizes.get(entry.dtype, 0) + math.prod(entry.shape)
        return max(sizes, key=lambda dtype: sizes[dtype])

    def read(self, name: str) -> Tensor:
        place = self.places[name]
        content = bytearray(math.prod(place.shape) * place.dtype.itemsize)
        with place.file.open("rb", buffering=0) as stream:
            stream.seek(place.start)
            view, at = memoryview(content), 0
            while at < len(content):
                n = stream.readinto(view[at:])
                if not n:
                    raise InvalidInput(f"{place.file}: ends inside {place.stored}")
                at += n
        tensor = torch.frombuffer(content, dtype=place.dtype).view(place.shape)
        if self._mistral and consolidated.is_rotary(name):
            return consolidated.halves_from_pairs(tensor, head_dim=self.config["head_dim"])
        return tensor

    def _index(self, file: Path) -> None:
        header = safetensors_header(file)
        first = 8 + int.from_bytes(file.open("rb").read(8), "little")
        for stored, entry in header.items():
            if stored == "__metadata__":
                continue
            if entry["dtype"] not in DTYPES:
                raise InvalidInput(
                    f"{file}: {stored} is stored as {entry['dtype']}; only plain numbers are read, "
                    "use the unquantised release"
                )
            name = consolidated.rename(stored) if self._mistral else stored
            self.places[name] = Place(
                file,
                first + entry["data_offsets"][0],
                DTYPES[entry["dtype"]],
                tuple(entry["shape"]),
                stored,
            )


def write_tensors(
    folder: Path,
    entries: Sequence[Entry],
    produce: Callable[[str], Tensor],
    *,
    stem: str = "model",
    shard_bytes: int | None = SHARD_BYTES,
) -> list[Path]:
    """Write `entries` into `folder`, each asked of `produce` when its turn comes.

    More than one shard comes with an index, as transformers writes it; `shard_bytes` None keeps
    everything in one file.
    """
    shards = _shards(entries, shard_bytes)
    if len(shards) == 1:
        names = [f"{stem}.safetensors"]
    else:
        names = [
            f"{stem}-{i:05}-of-{len(shards):05}.safetensors" for i in range(1, len(shards) + 1)
        ]
    files = [folder / name for name in names]
    for file, shard in zip(files, shards, strict=True):
        _write_file(file, shard, produce)
    if len(files) > 1:
        index = {
            "metadata": {"total_size": sum(entry.n_bytes for entry in entries)},
            "weight_map": {e.name: f.name for f, s in zip(files, shards, strict=True) for e in s},
        }
        files.append(folder / f"{stem}.safetensors.index.json")
        files[-1].write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")
    return files


def _shards(entries: Sequence[Entry], shard_bytes: int | None) -> list[list[Entry]]:
    shards: list[list[Entry]] = [[]]
    size = 0
    for entry in entries:
        if shard_bytes is not None and shards[-1] and size + entry.n_bytes > shard_bytes:
            shards.append([])
            size = 0
        shards[-1].append(entry)
        size += entry.n_bytes
    return shards


def _write_file(file: Path, entries: Sequence[Entry], produce: Callable[[str], Tensor]) -> None:
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    at = 0
    for entry in entries:
        header[entry.name] = {
            "dtype": NAMES[entry.dtype],
            "shape": list(entry.shape),
            "data_offsets": [at, at + entry.n_bytes],
        }
        at += entry.n_bytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with file.open("wb") as stream:
        stream.write(len(text).to_bytes(8, "little") + text)
        for entry in entries:
            tensor = produce(entry.name)
            if tensor.dtype != entry.dtype or tuple(tensor.shape) != entry.shape:
                raise ValueError(f"{entry.name} became {tensor.dtype} {tuple(tensor.shape)}")
            stream.write(tensor.contiguous().view(-1).view(torch.uint8).numpy().data)
        stream.flush()
        os.fsync(stream.fileno())
