"""Low-rank deltas of many adapters on the rows of one batch, each row with the bits it has alone.

A row's delta is computed in a matrix product of fixed shape. Rows that are generated go through
windows of eight rows of one adapter, repeated where there are fewer; one batched product computes
the windows of all adapters of the same form, from copies laid behind each other (`Stacks`). Rows of
a prompt go through with their own piece, whose size depends on nothing but the prompt. Experts of a
mixture see windows and pieces of the rows that come to them. Ranks may differ between adapters; a
row without an adapter costs nothing.

Legend: N rows of a step, D inputs and O outputs of a site, R rank (of all modules fused there),
C adapters in a stack, W rows of a window.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple
from weakref import WeakKeyDictionary

import torch
import torch.nn.functional as F
from torch import Tensor

from modiste.nn.adapter_table import AdapterDeltas, Delta, ExpertSite, Layers, Site

WINDOW = 8
LEAST_RANK = 16
"""With AVX-512 four columns are enough, with AVX2 on Zen 3 twelve are not."""
STACK_BYTES = 64 * 1024 * 1024
"""Larger adapters are worth no copies: their own products take longer than calling them."""


@dataclass(frozen=True)
class Group:
    """Rows [first, end) of the step go through one adapter."""

    deltas: AdapterDeltas
    first: int
    end: int


class Stack:
    """Adapters of one form, site by site: (C, D, R) down and (C, R, O) up. Experts are left out."""

    def __init__(self, adapters: Sequence[Layers]) -> None:
        self.size = len(adapters)
        self.layers: list[dict[Site, tuple[Tensor, Tensor]]] = []
        for layers in zip(*adapters, strict=True):
            sites = {}
            for site in Site:
                if site not in layers[0]:
                    continue
                downs = [_widened(layer[site].down_RD.t()).t() for layer in layers]
                ups = [_widened(layer[site].up_OR) for layer in layers]
                sites[site] = (_together(downs).transpose(1, 2), _together(ups).transpose(1, 2))
            self.layers.append(sites)


class _Kept(NamedTuple):
    stack: Stack
    adapters: list[AdapterDeltas]
    """Held, so that their ids, which the stack is kept under, stay theirs."""

    @classmethod
    def of(cls, adapters: list[AdapterDeltas]) -> _Kept:
        return cls(Stack([adapter.layers for adapter in adapters]), adapters)


class Stacks:
    """The stacks of the latest step, kept for the next, which mostly has the same adapters.

    Copies are made for a company that is met a second time; until then, and for large adapters,
    each is a stack of its own, which gives the same bits.
    """

    def __init__(self, *, limit_bytes: int = STACK_BYTES) -> None:
        self._limit = limit_bytes
        self._met: set[tuple[int, ...]] = set()
        self._kept: dict[tuple[int, ...], _Kept] = {}
        self._alone: WeakKeyDictionary[AdapterDeltas, Stack] = WeakKeyDictionary()

    def arrange(self, groups: Sequence[Group]) -> list[tuple[Stack, list[Group]]]:
        """Groups with the stack that holds their adapters, in the stack's order."""
        by_form: dict[tuple[object, ...], list[Group]] = {}
        for group in groups:
            by_form.setdefault(group.deltas.form, []).append(group)
        arranged: list[tuple[Stack, list[Group]]] = []
        kept, met = {}, set()
        for together in by_form.values():
            together.sort(key=lambda group: group.first - group.end)  # Most rows first.
            key = tuple(id(group.deltas) for group in together)
            met.add(key)
            small = len(together) * together[0].deltas.size_bytes <= self._limit
            if len(together) > 1 and small and key in self._met:
                kept[key] = self._kept.get(key) or _Kept.of([group.deltas for group in together])
                arranged.append((kept[key].stack, together))
            else:
                arranged += [(self._of(group.deltas), [group]) for group in together]
        self._kept, self._met = kept, met
        return arranged

    def _of(self, deltas: AdapterDeltas) -> Stack:
        """One adapter as a stack: views, no copies."""
        if deltas not in self._alone:
            self._alone[deltas] = Stack([deltas.layers])
        return self._alone[deltas]


class RowDeltas:
    """Adds to each row of a step the delta of its adapter."""

    def __init__(
        self, generated: Sequence[Group], prompts: Sequence[Group], stacks: Stacks
    ) -> None:
        self.groups = [*generated, *prompts]
        self._generated, self._prompts, self._stacks = generated, prompts, stacks

    @cached_property
    def _windows(self) -> list[_Windows]:
        return [_Windows(*arranged) for arranged in self._stacks.arrange(self._generated)]

    def add(self, layer: int, site: Site, x_ND: Tensor, y_NO: Tensor) -> None:
        """y_NO += the deltas of x_ND, in place."""
        for windows in self._windows:
            windows.add(layer, site, x_ND, y_NO)
        for group in self._prompts:
            if (delta := group.deltas.layers[layer].get(site)) is not None:
                down_ND = torch.mm(x_ND[group.first : group.end], delta.down_RD.t())
                y_NO[group.first : group.end].add_(torch.mm(down_ND, delta.up_OR.t()))

    def add_of_expert(
        self, layer: int, place: ExpertSite, rows: Sequence[int], x_nD: Tensor, y_nO: Tensor
    ) -> None:
        """The same where an expert computes only `rows` of the step, in ascending order."""
        n_generated = len(self._generated)
        for number, group in enumerate(self.groups):
            first, end = bisect_left(rows, group.first), bisect_left(rows, group.end)
            delta = group.deltas.layers[layer].get(place)
            if delta is None or first == end:
                continue
            if number < n_generated:
                y_nO[first:end] += _through_windows(x_nD[first:end], delta)
            else:
                down_nD = torch.mm(x_nD[first:end], delta.down_RD.t())
                y_nO[first:end] += torch.mm(down_nD, delta.up_OR.t())


class _Windows:
    """Generated rows of one stack, cut into windows.

    Round k computes the k-th window of every adapter that has one: the first adapters of the
    stack, since it begins with those that have most rows.
    """

    def __init__(self, stack: Stack, groups: Sequence[Group]) -> None:
        self._stack = stack
        self._rounds: list[tuple[int, Tensor]] = []
        placed: list[tuple[int, int]] = []  # (row, where its delta comes out)
        n_places = 0
        for start in range(0, groups[0].end - groups[0].first, WINDOW):
            read: list[int] = []
            for group in groups:
                mine = range(group.first, group.end)[start : start + WINDOW]
                if mine:
                    first = n_places + len(read)
                    placed += [(row, first + i) for i, row in enumerate(mine)]
                    read += [*mine, *[mine[-1]] * (WINDOW - len(mine))]
            n_places += len(read)
            self._rounds.append((len(read) // WINDOW, torch.tensor(read)))
        rows, places = zip(*sorted(placed), strict=True)
        self._places = torch.tensor(places)
        self._rows: slice | Tensor = torch.tensor(rows)
        if rows[-1] - rows[0] == len(rows) - 1:
            self._rows = slice(rows[0], rows[-1] + 1)

    def add(self, layer: int, site: Site, x_ND: Tensor, y_NO: Tensor) -> None:
        if site not in self._stack.layers[layer]:
            return
        down_CDR, up_CRO = self._stack.layers[layer][site]
        parts = []
        for count, read in self._rounds:
            x_CWD = x_ND.index_select(0, read).view(count, WINDOW, -1)
            parts.append(
                torch.bmm(torch.bmm(x_CWD, down_CDR[:count]), up_CRO[:count]).flatten(0, 1)
            )
        deltas = parts[0] if len(parts) == 1 else torch.cat(parts)
        mine_NO = deltas.index_select(0, self._places)
        if isinstance(self._rows, slice):
            y_NO[self._rows].add_(mine_NO)
        else:
            y_NO.index_copy_(0, self._rows, y_NO.index_select(0, self._rows) + mine_NO)


def _through_windows(x_nD: Tensor, delta: Delta) -> Tensor:
    down_DR = _widened(delta.down_RD.t())[None]
    up_RO = _widened(delta.up_OR).t()[None]
    parts = []
    for x_wD in torch.split(x_nD, WINDOW):
        x_1WD = torch.cat((x_wD, x_wD[-1:].expand(WINDOW - len(x_wD), -1)))[None]
        parts.append(torch.bmm(torch.bmm(x_1WD, down_DR), up_RO)[0, : len(x_wD)])
    return torch.cat(parts)


def _widened(matrix_XR: Tensor) -> Tensor:
    """With zeros for ranks that it lacks: products of fewer columns than `LEAST_RANK` have
    bits that depend on where in its window a row lies."""
    lacking = LEAST_RANK - matrix_XR.shape[1]
    return F.pad(matrix_XR, (0, lacking)) if lacking > 0 else matrix_XR


def _together(tensors: list[Tensor]) -> Tensor:
    return tensors[0][None] if len(tensors) == 1 else torch.stack(tensors)


def independent(inputs: int, outputs: int, *, rank: int = 16) -> bool:
    """Whether a row's delta has the same bits alone and in a crowd, on this machine."""
    generator = torch.Generator().manual_seed(0)

    def adapter() -> AdapterDeltas:
        down_RD = torch.randn(rank, inputs, generator=generator)
        up_OR = torch.randn(outputs, rank, generator=generator)
        return AdapterDeltas([{Site.QKV: Delta(down_RD, up_OR)}])

    mine, others = adapter(), [adapter() for _ in range(3)]
    x_ND = torch.randn(30, inputs, generator=generator)
    together, alone, stacks = torch.zeros(30, outputs), torch.zeros(1, outputs), Stacks()
    groups = [Group(other, 5 * i, 5 * i + 5) for i, other in enumerate(others)]
    groups.append(Group(mine, 15, 30))
    stacks.arrange(groups)
    RowDeltas(groups, [], stacks).add(0, Site.QKV, x_ND, together)
    RowDeltas([Group(mine, 0, 1)], [], Stacks()).add(0, Site.QKV, x_ND[20:21], alone)
    return torch.equal(together[20], alone[0])
