"""One adapter as serving needs it: low-rank deltas by layer and site, and their table for kernels.

Modules that one fused linear computes are fused in a delta too: their ranks lie side by side, and
each module's outputs see their own ranks only (`Block`). The table is two small arrays of numbers
and one long array of values, in the order in which they are read: what a packed file holds
(`nn.packed_adapter`), so that opening one copies nothing.

Legend: D inputs and O outputs of a site, R rank (of all modules fused there), L lanes of a panel.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from enum import StrEnum
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from modiste.nn.linear import Kind
from modiste.nn.native import LANES
from modiste.nn.panels import NUMBER_OF_KIND, fill, panels

KINDS = {torch.float32: Kind.FP32, torch.bfloat16: Kind.BF16}
TOGETHER = {torch.float32: 1, torch.bfloat16: 2}
"""Neighbouring inputs of an output that lie together."""


class Site(StrEnum):
    """The four linear layers of a decoder layer, as fused. Of a mixture's, the first two."""

    QKV = "qkv"
    O = "o"  # noqa: E741  # the projection's own name
    GATE_UP = "gate_up"
    DOWN = "down"


class ExpertSite(NamedTuple):
    """Those of one expert of a mixture: `GATE_UP` and `DOWN`."""

    site: Site
    expert: int


Place = Site | ExpertSite


def column(place: Place) -> int:
    """Where a layer's row of a table has this place: the four sites, then two for each expert."""
    sites = list(Site)
    if isinstance(place, ExpertSite):
        return len(sites) + 2 * place.expert + (place.site is Site.DOWN)
    return sites.index(place)


def places(n_columns: int) -> list[Place]:
    """Of so many columns of a table at least, in their order."""
    experts = range((n_columns - len(Site) + 1) // 2)
    return [*Site, *(ExpertSite(s, e) for e in experts for s in (Site.GATE_UP, Site.DOWN))]


class Block(NamedTuple):
    """Outputs [first, first + outputs) see ranks [first_rank, first_rank + rank)."""

    first: int
    outputs: int
    first_rank: int
    rank: int


class Delta(NamedTuple):
    """delta_NO = (x_ND @ down_RD.T) @ up_OR.T; the scale is folded into `up_OR`."""

    down_RD: Tensor
    up_OR: Tensor
    blocks: tuple[Block, ...] = ()
    """Where `up_OR` is not zero; nothing here means everywhere."""

    def all_blocks(self) -> tuple[Block, ...]:
        return self.blocks or (Block(0, len(self.up_OR), 0, len(self.down_RD)),)


Layers = Sequence[Mapping[Place, Delta]]


class Table(NamedTuple):
    """Layout of `Site` and `Segment` in native/decoder.c, with offsets in place of addresses."""

    sites: Tensor
    """int64 (layers * columns, 5): rank, first value of down, number of segments, first segment,
    kind."""
    segments: Tensor
    """int64 (segments, 5): a `Block` and the first value of its up."""
    values: Tensor
    """Panels of down and up, in float32 or bfloat16."""
    n_columns: int = len(Site)


class AdapterDeltas:
    """One adapter; sites that it leaves alone are absent from their layer."""

    def __init__(self, layers: Layers, *, dtype: torch.dtype = torch.float32) -> None:
        """`dtype` is that of the table."""
        self._given: Layers | None = layers
        self._dtype = dtype

    @classmethod
    def of_table(cls, table: Table) -> AdapterDeltas:
        deltas = cls(())
        deltas._given = None
        deltas.table = table
        return deltas

    @cached_property
    def layers(self) -> Layers:
        return unpacked(self.table) if self._given is None else self._given

    @cached_property
    def table(self) -> Table:
        return packed(self.layers, dtype=self._dtype)

    @cached_property
    def placed(self) -> Placed:
        return Placed(self.table)

    @cached_property
    def form(self) -> tuple[tuple[int, Place, int], ...]:
        """Where it acts and with which rank: adapters of one form can be stacked."""
        return tuple(
            (i, place, len(delta.down_RD))
            for i, layer in enumerate(self.layers)
            for place, delta in layer.items()
        )

    @cached_property
    def size_bytes(self) -> int:
        return sum(
            part.nbytes
            for layer in self.layers
            for delta in layer.values()
            for part in (delta.down_RD, delta.up_OR)
        )


class Placed:
    """A table with addresses, for as long as this object lives."""

    def __init__(self, table: Table) -> None:
        self._values = table.values
        self._segments, self._sites = table.segments.clone(), table.sites.clone()
        size = table.values.element_size()
        self._segments[:, 4] = table.values.data_ptr() + size * table.segments[:, 4]
        self._sites[:, 1] = table.values.data_ptr() + size * table.sites[:, 1]
        self._sites[:, 3] = self._segments.data_ptr() + 8 * 5 * table.sites[:, 3]
        widest = int(table.sites[:, 0].max())
        self._adapter = torch.tensor([table.n_columns, widest, self._sites.data_ptr()])
        self.address = self._adapter.data_ptr()


def packed(layers: Layers, *, dtype: torch.dtype = torch.float32) -> Table:
    """`dtype` is float32, or bfloat16 for half the memory to read."""
    kind, together = NUMBER_OF_KIND[KINDS[dtype]], TOGETHER[dtype]
    sites: list[tuple[int, int, int, int, int]] = []
    segments: list[tuple[int, int, int, int, int]] = []
    parts: list[Tensor] = []
    n_values = 0

    def put(matrix: Tensor) -> int:
        nonlocal n_values
        matrix = fill(matrix.to(dtype), 1, together)
        parts.append(panels(matrix, together=together).flatten())
        n_values += len(parts[-1])
        return n_values - len(parts[-1])

    columns = places(max([len(Site), *(column(p) + 1 for layer in layers for p in layer)]))
    for layer in layers:
        for place in columns:
            if (delta := layer.get(place)) is None:
                sites.append((0, 0, 0, 0, kind))
                continue
            blocks = delta.all_blocks()
            down = put(delta.down_RD)
            sites.append((len(delta.down_RD), down, len(blocks), len(segments), kind))
            for block in blocks:
                rows = slice(block.first, block.first + block.outputs)
                ranks = slice(block.first_rank, block.first_rank + block.rank)
                segments.append((*block, put(delta.up_OR[rows, ranks])))
    return Table(torch.tensor(sites), torch.tensor(segments), torch.cat(parts), len(columns))


def unpacked(table: Table) -> Layers:
    """The matrices of a table again."""
    layers: list[dict[Place, Delta]] = []
    columns = places(table.n_columns)
    starts = sorted({*table.segments[:, 4].tolist(), *table.sites[:, 1].tolist()})
    for number, (rank, down, n_segments, first, _) in enumerate(table.sites.tolist()):
        if number % len(columns) == 0:
            layers.append({})
        if rank == 0:
            continue
        end = starts[bisect_right(starts, down)]  # Its ups come behind it.
        inputs = (end - down) // (-(-rank // LANES) * LANES)
        segments = table.segments[first : first + n_segments].tolist()
        up_OR = torch.zeros(max(s[0] + s[1] for s in segments), rank)
        for start, outputs, first_rank, block_rank, at in segments:
            up_OR[start : start + outputs, first_rank : first_rank + block_rank] = _matrix(
                table.values, at, outputs, block_rank
            )
        blocks = tuple(Block(*segment[:4]) for segment in segments)
        delta = Delta(_matrix(table.values, down, rank, inputs), up_OR, blocks)
        layers[-1][columns[number % len(columns)]] = delta
    return layers


def _matrix(values: Tensor, at: int, outputs: int, inputs: int) -> Tensor:
    """(outputs, inputs) of the panels that begin at value `at`."""
    together = TOGETHER[values.dtype]
    n_panels, n_blocks = -(-outputs // LANES), -(-inputs // together)
    size = n_panels * n_blocks * LANES * together
    panels_PDLT = values[at : at + size].view(n_panels, n_blocks, LANES, together)
    matrix = panels_PDLT.transpose(1, 2).reshape(n_panels * LANES, -1)
    return matrix[:outputs, :inputs].float().contiguous()
