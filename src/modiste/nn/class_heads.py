"""The heads of a classifier: linear layers on the pooled last states of a base, one per target.

All heads are one matrix, whose rows are the labels of the first target, then those of the second,
and so on. What learns is a fraction of it: with features of size one, a head needs larger steps
than the adapters below it, and the optimiser makes steps of one size. Published are the whole
values in `classifier.safetensors`, and beside them in `classifier.json` how to pool, which rows
belong to which target, and each target's temperature. Most classifiers also read phrases
(`nn.phrases`): what they say is added to what the heads say of the states.

Legend: N texts, T tokens of all of them, D hidden size, L labels of all targets.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor, nn

from modiste.errors import InvalidInput
from modiste.nn.flat import Flat
from modiste.nn.heads_file import (
    ABOUT,
    HeadPooling,
    HeadsFile,
    n_labels,
    read_about,
    save_about,
    spans,
    write,
)
from modiste.nn.lanes import here
from modiste.nn.phrases import Ids, Phrases
from modiste.types import ClassifierTarget

WEIGHTS = "classifier.safetensors"
KEYS, OF_PHRASES = "phrase_keys", "phrase_weight"
Texts = Sequence[Ids]
"""The ids of each."""
RATE = 10.0
"""How much larger the head's steps are than the adapters'. Chosen, not measured: what was measured
is the learning rate with it (LOG.md)."""


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
class PublishedHeads:
    """Heads as they are served, in fp64: what they cost is nothing beside the base."""

    about: HeadsFile
    weight_LD: Tensor
    bias_L: Tensor
    phrases: Phrases | None = None

    @property
    def pooling(self) -> HeadPooling:
        return self.about.pooling

    def logits(self, pooled_ND: Tensor, texts: Texts) -> Tensor:
        """(N, L), before any temperature."""
        said_NL = F.linear(pooled_ND.double(), self.weight_LD, self.bias_L)
        if self.phrases is None:
            return said_NL
        return said_NL + torch.from_numpy(np.stack([self.phrases.logits(ids) for ids in texts]))

    def probabilities(self, pooled_ND: Tensor, texts: Texts) -> Tensor:
        """(N, L)"""
        logits_NL = self.logits(pooled_ND, texts)
        return probabilities(logits_NL, self.about.targets, self.about.temperatures)


def save_heads(folder: Path, heads: PublishedHeads) -> None:
    """Both files, each whole or not at all.

    Raises:
        OSError: the folder cannot be written.
    """
    values = {"weight": heads.weight_LD, "bias": heads.bias_L}
    tensors = {name: value.float().contiguous() for name, value in values.items()}
    if heads.phrases is not None:
        tensors[KEYS] = torch.from_numpy(heads.phrases.keys_F)
        tensors[OF_PHRASES] = torch.from_numpy(heads.phrases.weight_FL)
    write(folder / WEIGHTS, save(tensors, metadata={"format": "pt"}))
    save_about(folder, heads.about)


def load_heads(folder: Path) -> PublishedHeads:
    """
    Raises:
        InvalidInput: the folder holds no classifier, or one whose files do not fit each other.
    """
    about = read_about(folder)
    try:
        tensors = load_file(folder / WEIGHTS)
        weight_LD, bias_L = tensors["weight"].double(), tensors["bias"].double()
        phrases = _phrases(tensors) if about.phrase_shares else None
    except (OSError, SafetensorError, KeyError) as error:
        raise InvalidInput(f"{folder / WEIGHTS} cannot be read: {error}") from None
    sizes = {weight_LD.shape[0], bias_L.shape[0]}
    sizes |= set() if phrases is None else {phrases.weight_FL.shape[1]}
    if sizes != {n_labels(about.targets)}:
        raise InvalidInput(
            f"{folder}: the heads have {weight_LD.shape[0]} labels, {ABOUT} names "
            f"{n_labels(about.targets)}"
        )
    return PublishedHeads(about, weight_LD, bias_L, phrases)


def _phrases(tensors: Mapping[str, Tensor]) -> Phrases:
    return Phrases(tensors[KEYS].numpy(), tensors[OF_PHRASES].numpy())
