"""A base and an adapter become one model, tensor by tensor: W + scaling * B A, rounded once.

The sum is made in float32 and stored as the base stores it. Peak memory is a few copies of the
largest matrix, whatever the model's size. A layer of the adapter that finds no matrix of its size
is refused, with all others like it.

Legend: I inputs, O outputs, R rank.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from torch import Tensor

from modiste.errors import InvalidInput
from modiste.nn import consolidated
from modiste.nn.base import Layout
from modiste.nn.changes import Change
from modiste.nn.shape import DecoderShape
from modiste.nn.tensor_files import Entry, TensorFiles, write_tensors
from modiste.nn.weights import Weights

TOKENIZERS = ("tokenizer.model*", "tekken.json", "tokenizer.json")
BESIDE = (*TOKENIZERS, "*token*.json", "*.jinja", "vocab.json", "merges.txt", "LICENSE*", "NOTICE*")
"""What is copied beside the weights, where it is there."""
HUGGING_FACE_ONLY = ("config.json", "generation_config.json", "*processor*.json")


class Merged:
    """The tensors of base and adapter as one model."""

    def __init__(self, files: TensorFiles, changes: Mapping[str, Change]) -> None:
        """
        Raises:
            InvalidInput: layers that are not in this base, or of other sizes.
        """
        self.files = files
        self.changes = changes
        problems = []
        for name, change in changes.items():
            place = files.places.get(f"{name}.weight")
            shape = (change.B_OR.shape[0], change.A_RI.shape[1])
            if place is None:
                problems.append(f"{name} is not in the base")
            elif place.shape != shape:
                problems.append(f"{name} is {shape} and in the base {place.shape}")
        if problems:
            more = f" and {len(problems) - 5} more" if len(problems) > 5 else ""
            raise InvalidInput(
                f"the adapter does not fit this base: {'; '.join(problems[:5])}{more}"
            )

    def read(self, name: str) -> Tensor:
        """One tensor by its Hugging Face name, in the base's dtype."""
        if name.removesuffix(".weight") not in self.changes:
            return self.files.read(name)
        return self.read_fp32(name).to(self.files.places[name].dtype)

    def read_fp32(self, name: str) -> Tensor:
        """The same before it is rounded."""
        weight = self.files.read(name)
        change = self.changes.get(name.removesuffix(".weight"))
        if change is not None:
            return change.on(weight)
        return weight.float() if weight.is_floating_point() else weight


class MergedWeights(Weights):
    """The same as `Merged`, as the serving decoder reads a base: nothing is written."""

    changes: Mapping[str, Change]

    @classmethod
    def of(cls, base: Path, shape: DecoderShape, changes: Mapping[str, Change]) -> Self:
        """
        Raises:
            InvalidInput: layers that are not in this base, or of other sizes.
        """
        Merged(TensorFiles(base), changes)
        found = cls.open(base, shape)
        found.changes = changes
        return found

    def get(self, name: str) -> Tensor:
        weight = super().get(name)
        change = self.changes.get(name.removesuffix(".weight"))
        return weight if change is None else change.on(weight).to(weight.dtype)


def write_hugging_face(merged: Merged, base: Path, into: Path) -> list[Path]:
    """config.json, model.safetensors (sharded at 5 GB) and the tokenizer into the folder `into`."""
    written = write_tensors(into, merged.files.entries, merged.read)
    written += copy_beside(base, into, (*BESIDE, *HUGGING_FACE_ONLY))
    if merged.files.info.layout is Layout.MISTRAL:
        config = dict(merged.files.config)
        config["torch_dtype"] = str(merged.files.dtype).removeprefix("torch.")
        config["tie_word_embeddings"] = "lm_head.weight" not in merged.files.places
        path = into / "config.json"
        path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        written.append(path)
    return written


def write_consolidated(merged: Merged, base: Path, into: Path) -> list[Path]:
    """params.json, consolidated.safetensors and Mistral's tokenizer file into the folder `into`.

    One file, and an output matrix of its own even where it is tied to the embeddings:
    mistral-inference reads nothing else.

    Raises:
        InvalidInput: a model that Mistral's layout does not hold.
    """
    params = consolidated.as_params(merged.files.config, where=base)
    sources = {_mistral_name(entry.name): entry for entry in merged.files.entries}
    if "output.weight" not in sources:
        sources["output.weight"] = sources["tok_embeddings.weight"]
    entries = [Entry(name, e.dtype, e.shape) for name, e in sources.items()]

    def produce(name: str) -> Tensor:
        tensor = merged.read(sources[name].name)
        if consolidated.is_rotary(sources[name].name):
            return consolidated.pairs_from_halves(tensor, head_dim=params["head_dim"])
        return tensor

    written = write_tensors(into, entries, produce, stem="consolidated", shard_bytes=None)
    path = into / "params.json"
    path.write_text(json.dumps(params, indent=4) + "\n", encoding="utf-8")
    return [*written, path, *copy_beside(base, into, BESIDE)]


def _mistral_name(name: str) -> str:
    module = consolidated.module_in_mistral(name.removesuffix(".weight"))
    if module is None or not name.endswith(".weight"):
        raise InvalidInput(
            f"Mistral's layout has no place for {name}; take the form merged or peft"
        )
    return f"{module}.weight"


def copy_beside(base: Path, into: Path, patterns: tuple[str, ...]) -> list[Path]:
    """Copy the files of `base` that match; an index of weights never does."""
    names = {path.name for pattern in patterns for path in base.glob(pattern) if path.is_file()}
    wanted = sorted(name for name in names if not name.endswith(".index.json"))
    for name in wanted:
        shutil.copyfile(base / name, into / name)
    return [into / name for name in wanted]
