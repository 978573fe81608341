"""Low-rank deltas of many adapters on the rows of one batch, each row with the bits it has alone.

A row's delta is computed in a matrix product of fixed shape: rows that are generated go through
windows of eight neighbouring rows of which only the adapter's own are kept, and rows of a prompt
go through with their own granule, whose size depends on nothing but the prompt. Ranks may differ
between adapters; a row without an adapter costs nothing.

Legend: N rows of a step, D inputs and O outputs of a site, R rank (of all modules fused there).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

WINDOW = 8


class Site(StrEnum):
    """The four linear layers of a decoder layer, as fused."""

    QKV = "qkv"
    O = "o"  # noqa: E741  # the projection's own name
    GATE_UP = "gate_up"
    DOWN = "down"


class Delta(NamedTuple):
    """delta_NO = (x_ND @ down_RD.T) @ up_OR.T; the scale is folded into `up_OR`."""

    down_RD: Tensor
    up_OR: Tensor


AdapterDeltas = Sequence[Mapping[Site, Delta]]
"""One mapping per layer; sites that the adapter leaves alone are absent."""


@dataclass(frozen=True)
class Group:
    """Rows [first, end) of the step go through one adapter."""

    deltas: AdapterDeltas
    first: int
    end: int


class RowDeltas:
    """Adds to each row of a step the delta of its adapter."""

    def __init__(self, generated: Sequence[Group], prompts: Sequence[Group]) -> None:
        self._windows = [(g, start) for g in generated for start in range(g.first, g.end, WINDOW)]
        self._prompts = prompts

    def add(self, layer: int, site: Site, x_ND: Tensor, y_NO: Tensor) -> None:
        """y_NO += the deltas of x_ND, in place."""
        if self._windows:
            self._add_windows(layer, site, x_ND, y_NO)
        for group in self._prompts:
            if (delta := group.deltas[layer].get(site)) is not None:
                y_NO[group.first : group.end] += _apply(delta, x_ND[group.first : group.end])

    def _add_windows(self, layer: int, site: Site, x_ND: Tensor, y_NO: Tensor) -> None:
        rows = len(x_ND)
        if rows < WINDOW:
            x_ND = F.pad(x_ND, (0, 0, 0, WINDOW - rows))
        for group, start in self._windows:
            if (delta := group.deltas[layer].get(site)) is not None:
                end = min(start + WINDOW, group.end)
                window = min(start, len(x_ND) - WINDOW)
                delta_WO = _apply(delta, x_ND[window : window + WINDOW])
                y_NO[start:end] += delta_WO[start - window : end - window]


def _apply(delta: Delta, x_ND: Tensor) -> Tensor:
    return torch.mm(torch.mm(x_ND, delta.down_RD.t()), delta.up_OR.t())
