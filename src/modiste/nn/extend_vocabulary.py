"""More tokens for a base: new rows in its embeddings and head, everything else as it was.

A new row is the mean of the old ones plus noise of a tenth of their spread, seeded: a token that
was never seen is as likely as an average one, and tokens can be told apart. Old rows keep their
bits, so texts that use none of the new ids have the logits they had. Streamed like a merge.

Legend: V old tokens, W new ones, D hidden size.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from modiste.errors import InvalidInput
from modiste.nn import consolidated
from modiste.nn.base import Layout
from modiste.nn.merge import BESIDE, HUGGING_FACE_ONLY, copy_beside
from modiste.nn.tensor_files import Entry, TensorFiles, write_tensors

ROWS = ("model.embed_tokens.weight", "lm_head.weight")
"""The tensors with one row per token."""
NOISE = 0.1
"""Of the standard deviation of the old rows."""
MISTRAL_SPLIT = 3
"""Where Mistral's v3 tokenizer has its 768 control tokens: behind <unk> <s> </s>."""


@dataclass(frozen=True)
class Extended:
    old_size: int
    new_size: int
    files: tuple[Path, ...]
    note: str


def extend(
    base: Path,
    *,
    size: int,
    into: Path,
    insert_at: int | None = None,
    tokenizer: Path | None = None,
    seed: int = 0,
) -> Extended:
    """Write the base in `base` with `size` tokens into the new folder `into`, same layout.

    Args:
        insert_at: first of the new ids, old ones from there move up; None appends. Without it, a
            Mistral base that goes from 32,000 to 32,768 gets them at 3, as Mistral's v3 tokenizer
            has them.
        tokenizer: a file to put in the place of the base's own tokenizer.

    Raises:
        InvalidInput: fewer tokens than now, `insert_at` beyond the end, or `into` is not empty.
    """
    files = TensorFiles(base)
    old = files.info.vocab_size
    at = old if insert_at is None else insert_at
    if insert_at is None and files.info.layout is Layout.MISTRAL and (old, size) == (32000, 32768):
        at = MISTRAL_SPLIT
    _refuse(old, size, at, into, tokenizer, files)
    partial = into.with_name(f".{into.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        written = _weights(files, partial, size=size, at=at, seed=seed)
        written += _beside(base, files, partial, size=size, at=at, tokenizer=tokenizer)
    except BaseException:  # gigabytes under a hidden name are found by nobody
        shutil.rmtree(partial, ignore_errors=True)
        raise
    if into.is_dir():
        into.rmdir()
    partial.rename(into)
    note = f"ids {at:,} to {at + size - old - 1:,} are new"
    if tokenizer is None:
        note += "; the tokenizer is the old one and knows none of them, give one with --tokenizer"
        if at < old:
            note += f" (ids from {at:,} have moved, so the old one fits no longer)"
    return Extended(old, size, tuple(into / p.relative_to(partial) for p in written), note)


def widened(weight_VD: Tensor, *, size: int, at: int, seed: int) -> Tensor:
    """The same rows with new ones from `at` on."""
    n_new = size - len(weight_VD)
    wide_VD = weight_VD.float()
    generator = torch.Generator().manual_seed(seed)
    noise_WD = torch.randn(n_new, weight_VD.shape[1], generator=generator)
    new_WD = wide_VD.mean(0) + noise_WD * wide_VD.std(0) * NOISE
    return torch.cat([weight_VD[:at], new_WD.to(weight_VD.dtype), weight_VD[at:]])


def _refuse(
    old: int, size: int, at: int, into: Path, tokenizer: Path | None, files: TensorFiles
) -> None:
    problems = []
    if size <= old:
        problems.append(f"size is {size:,} and the base has {old:,} tokens already; give more")
    if not 0 <= at <= old:
        problems.append(f"insert-at is {at:,}, expected 0 to {old:,}")
    if into.exists() and (not into.is_dir() or any(into.iterdir())):
        problems.append(f"{into} is there already; give a new folder")
    if tokenizer is not None and not tokenizer.is_file():
        problems.append(f"{tokenizer}: no such file")
    if ROWS[0] not in files.places:
        problems.append(f"no {ROWS[0]} in the base: where its embeddings lie is not known")
    if problems:
        raise InvalidInput("; ".join(problems))


def _weights(files: TensorFiles, into: Path, *, size: int, at: int, seed: int) -> list[Path]:
    mistral = files.info.layout is Layout.MISTRAL
    stored: Mapping[str, str] = {
        (place.stored if mistral else name): name for name, place in files.places.items()
    }
    entries = []
    for written_as, name in stored.items():
        place = files.places[name]
        shape = (size, *place.shape[1:]) if name in ROWS else place.shape
        entries.append(Entry(written_as, place.dtype, shape))

    def produce(written_as: str) -> Tensor:
        name = stored[written_as]
        tensor = files.read(name)
        if name in ROWS:
            return widened(tensor, size=size, at=at, seed=seed + ROWS.index(name))
        if mistral and consolidated.is_rotary(name):
            return consolidated.pairs_from_halves(tensor, head_dim=files.config["head_dim"])
        return tensor

    if mistral:
        return write_tensors(into, entries, produce, stem="consolidated", shard_bytes=None)
    return write_tensors(into, entries, produce)


def _beside(
    base: Path, files: TensorFiles, into: Path, *, size: int, at: int, tokenizer: Path | None
) -> list[Path]:
    """Configuration with the new size, special ids where they are now, and the tokenizer."""
    patterns = BESIDE if files.info.layout is Layout.MISTRAL else (*BESIDE, *HUGGING_FACE_ONLY)
    written = copy_beside(base, into, patterns)
    if tokenizer is not None:
        for old in [path for path in written if path.name.startswith(("tokenizer.", "tekken"))]:
            old.unlink()
            written.remove(old)
        written.append(into / tokenizer.name)
        shutil.copyfile(tokenizer, written[-1])
    name = "params.json" if files.info.layout is Layout.MISTRAL else "config.json"
    config = json.loads((base / name).read_text(encoding="utf-8"))
    target = config["text_config"] if "vocab_size" in config.get("text_config", {}) else config
    n_new = size - target["vocab_size"]
    _move_ids(target, at=at, n_new=n_new)
    if target is not config:
        _move_ids(config, at=at, n_new=n_new)
    target["vocab_size"] = size
    path = _write_json(into / name, config)
    generation = into / "generation_config.json"
    if generation in written:
        told = json.loads(generation.read_text(encoding="utf-8"))
        _move_ids(told, at=at, n_new=n_new)
        _write_json(generation, told)
    return [*(each for each in written if each != path), path]


def _move_ids(config: dict[str, Any], *, at: int, n_new: int) -> None:
    """Special ids, one or a list of them, to where their rows are now."""

    def moved(value: Any) -> Any:
        if isinstance(value, list):
            return [moved(each) for each in value]
        return value + n_new if type(value) is int and value >= at else value

    for key, value in config.items():
        if key.endswith("_token_id"):
            config[key] = moved(value)


def _write_json(path: Path, content: dict[str, Any]) -> Path:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return path
