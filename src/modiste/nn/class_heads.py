"""The heads of a classifier: linear layers on the pooled last states of a base, one per target.

All heads are one matrix, whose rows are the labels of the first target, then those of the second,
and so on. What learns is a fraction of it: with features of size one, a head needs larger steps
than the adapters below it, and the optimiser makes steps of one size. Published are the whole
values in `classifier.safetensors`, and beside them in `classifier.json` how to pool, which rows
belong to which target, and each target's temperature.

Legend: N texts, T tokens of all of them, D hidden size, L labels of all targets.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from pydantic import TypeAdapter, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from modiste.errors import InvalidInput
from modiste.nn.flat import Flat
from modiste.nn.lanes import here
from modiste.types import ClassifierTarget

WEIGHTS, ABOUT = "classifier.safetensors", "classifier.json"
VERSION = 1
RATE = 10.0
"""How much larger the head's steps are than the adapters'. Chosen, not measured: what was measured
is the learning rate with it (LOG.md)."""


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


class LearnedHeads:
    """What learns of them, as parts of the vector that the adapters lie in."""

    def __init__(self, room: Flat, *, n_labels: int, hidden_size: int) -> None:
        self.weight_LD: nn.Parameter = room.take(n_labels, hidden_size)
        self.bias_L: nn.Parameter = room.take(n_labels)

    def logits(self, pooled_ND: Tensor) -> Tensor:
        """(N, L) in fp32."""
        weight_LD, bias_L = here(self.weight_LD), here(self.bias_L)
        return RATE * F.linear(pooled_ND.float(), weight_LD, bias_L)

    def values(self) -> tuple[Tensor, Tensor]:
        """Weight (L, D) and bias (L,) as they are published."""
        return RATE * self.weight_LD.detach().cpu(), RATE * self.bias_L.detach().cpu()


def size(n_labels: int, hidden_size: int) -> int:
    """Values that learn."""
    return n_labels * (hidden_size + 1)


def pooled(states_TD: Tensor, lengths: Sequence[int], pooling: HeadPooling) -> Tensor:
    """(N, D) of texts laid out one after the other; rows behind the last text are left out."""
    n_tokens = torch.tensor(lengths, device=states_TD.device)
    if pooling is HeadPooling.LAST:
        return states_TD[n_tokens.cumsum(0) - 1]
    owners_T = torch.arange(len(lengths), device=states_TD.device).repeat_interleave(n_tokens)
    sums_ND = states_TD.new_zeros(len(lengths), states_TD.shape[1], dtype=torch.float32)
    sums_ND = sums_ND.index_add(0, owners_T, states_TD[: len(owners_T)].float())
    return sums_ND / n_tokens[:, None]


def probabilities(
    logits_NL: Tensor, targets: Sequence[ClassifierTarget], temperatures: Sequence[float]
) -> Tensor:
    """(N, L): those of a single-class target add up to 1, of a multi-class one each is alone."""
    parts = []
    for target, span, temperature in zip(targets, spans(targets), temperatures, strict=True):
        own_NL = logits_NL[:, span] / temperature
        parts.append(own_NL.softmax(-1) if target.single else own_NL.sigmoid())
    return torch.cat(parts, dim=-1)


@dataclass(frozen=True)
class HeadsFile:
    """`classifier.json`."""

    targets: tuple[ClassifierTarget, ...]
    pooling: HeadPooling
    temperatures: tuple[float, ...]
    """One per target; 1 where no rows were there to find it on."""
    version: int = VERSION
    figures: Mapping[str, Any] = field(default_factory=dict)
    """How it does on rows it did not learn from."""


_FILE: TypeAdapter[HeadsFile] = TypeAdapter(HeadsFile)


@dataclass(frozen=True)
class PublishedHeads:
    """Heads as they are served, in fp64: what they cost is nothing beside the base."""

    about: HeadsFile
    weight_LD: Tensor
    bias_L: Tensor

    @property
    def pooling(self) -> HeadPooling:
        return self.about.pooling

    def logits(self, pooled_ND: Tensor) -> Tensor:
        """(N, L), before any temperature."""
        return F.linear(pooled_ND.double(), self.weight_LD, self.bias_L)

    def probabilities(self, pooled_ND: Tensor) -> Tensor:
        """(N, L)"""
        logits_NL = self.logits(pooled_ND)
        return probabilities(logits_NL, self.about.targets, self.about.temperatures)


def save_heads(folder: Path, about: HeadsFile, weight_LD: Tensor, bias_L: Tensor) -> None:
    """Both files, each whole or not at all.

    Raises:
        OSError: the folder cannot be written.
    """
    tensors = {"weight": weight_LD.float().contiguous(), "bias": bias_L.float().contiguous()}
    _write(folder / WEIGHTS, save(tensors, metadata={"format": "pt"}))
    save_about(folder, about)


def save_about(folder: Path, about: HeadsFile) -> None:
    text = json.dumps(asdict(about), ensure_ascii=False, indent=1, sort_keys=True)
    _write(folder / ABOUT, (text + "\n").encode())


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
    if about.version != VERSION or len(about.temperatures) != len(about.targets):
        raise InvalidInput(f"{folder / ABOUT} is of another version; make the classifier anew")
    return about


def load_heads(folder: Path) -> PublishedHeads:
    """
    Raises:
        InvalidInput: the folder holds no classifier, or one whose files do not fit each other.
    """
    about = read_about(folder)
    try:
        tensors = load_file(folder / WEIGHTS)
        weight_LD, bias_L = tensors["weight"].double(), tensors["bias"].double()
    except (OSError, SafetensorError, KeyError) as error:
        raise InvalidInput(f"{folder / WEIGHTS} cannot be read: {error}") from None
    if weight_LD.shape[0] != n_labels(about.targets) or bias_L.shape != weight_LD.shape[:1]:
        raise InvalidInput(
            f"{folder}: the heads have {weight_LD.shape[0]} labels, {ABOUT} names "
            f"{n_labels(about.targets)}"
        )
    return PublishedHeads(about, weight_LD, bias_L)


def _write(path: Path, content: bytes) -> None:
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())
    partial.rename(path)
