"""A decoder's layers for the compiled kernels: one call computes all layers of a step's rows.

Rows of different sequences have nothing to do with each other, so threads share a step by rows:
each computes all layers for its sequences and waits for nobody. Layouts are those of
`native/decoder.c`.

Legend: N rows of a step, D hidden size.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from torch import Tensor

from modiste.nn.deltas import Group
from modiste.nn.linear import Product
from modiste.nn.native import (
    CCells,
    CDecoder,
    CFeedForward,
    CLayer,
    CLinear,
    CMixture,
    CRotary,
    CSpan,
    Library,
    address,
)
from modiste.nn.panels import PanelLinear
from modiste.nn.parts import Experts, FeedForward, KeyValues, Layer, Span
from modiste.nn.rotary import Rotary
from modiste.nn.shape import DecoderShape, Mixture

SPAN_BYTES = ctypes.sizeof(CSpan)
MOST_GROUPED_HEADS = 64


class NativeDecoder:
    def __init__(
        self,
        library: Library,
        shape: DecoderShape,
        layers: Sequence[Layer],
        norm: Tensor,
        rotary: Rotary,
    ) -> None:
        self._library, self._shape, self._rotary = library, shape, rotary
        each = [_layer(layer, w) for layer, w in zip(layers, shape.windows, strict=True)]
        self._held = (layers, norm, each)  # The structures point into them.
        self._layers = (CLayer * len(layers))(*each)
        self._decoder = CDecoder(
            shape.n_layers,
            shape.hidden_size,
            shape.intermediate_size,
            shape.n_heads,
            shape.n_kv_heads,
            shape.head_size,
            shape.norm_eps,
            self._layers,
            address(norm),
            _mixture(shape.mixture),
        )
        self._threads = max(1, torch.get_num_threads())
        self._pool = ThreadPoolExecutor(self._threads - 1) if self._threads > 1 else None

    def hidden(
        self, x_ND: Tensor, spans: Sequence[Span], cells: KeyValues, groups: Sequence[Group]
    ) -> Tensor:
        """Last hidden states of the rows, in place of their embeddings."""
        table_S5 = np.array(_rows(spans, groups), dtype=np.int64)
        cos, sin = self._rotary.tables(int(table_S5[:, 3].max()))
        c_cells = CCells(
            address(cells.keys_LCKE), address(cells.values_LCKE), cells.keys_LCKE.shape[1]
        )
        c_rotary = CRotary(address(cos), address(sin))

        def compute(first: int, end: int) -> int:
            first_row = int(table_S5[first, 0])
            n_rows = int(table_S5[first:end, 1].sum())
            table_S5[first:end, 0] -= first_row
            status: int = self._library.forward(
                ctypes.byref(self._decoder),
                n_rows,
                x_ND.data_ptr() + 4 * first_row * self._shape.hidden_size,
                end - first,
                table_S5.ctypes.data + first * SPAN_BYTES,
                c_cells,
                c_rotary,
            )
            return status

        parts = share(table_S5, self._threads)
        waiting = [self._pool.submit(compute, *part) for part in parts[1:]] if self._pool else []
        if any([compute(*parts[0]), *(other.result() for other in waiting)]):
            raise MemoryError(f"no memory for a step of {len(x_ND)} rows")
        return x_ND


def computes(shape: DecoderShape) -> bool:
    """Whether the kernels have room for these heads."""
    return shape.n_heads // shape.n_kv_heads <= MOST_GROUPED_HEADS and shape.head_size % 2 == 0


def share(table_S5: np.ndarray[Any, np.dtype[np.int64]], n_parts: int) -> list[tuple[int, int]]:
    """Spans [first, end) for each thread, with about as many rows each.

    Spans of one sequence stay together: later ones read the keys of earlier ones.
    """
    rows = table_S5[:, 1].cumsum()
    parts, first = [], 0
    for n in range(1, n_parts + 1):
        end = int(np.searchsorted(rows, rows[-1] * n // n_parts, side="left")) + 1
        while end < len(table_S5) and table_S5[end, 2] == table_S5[end - 1, 2]:
            end += 1
        end = min(end, len(table_S5))
        if end > first:
            parts.append((first, end))
            first = end
    return parts


def _rows(spans: Sequence[Span], groups: Sequence[Group]) -> list[tuple[int, ...]]:
    """Spans as `native.CSpan`, each with the address of its adapter's table or 0."""
    adapters = {row: group for group in groups for row in range(group.first, group.end)}
    rows: list[tuple[int, ...]] = []
    for span in spans:
        group = adapters.get(span.first_row)
        table = 0 if group is None else group.deltas.placed.address
        rows.append((*span, table))
    return rows


def _layer(layer: Layer, window: int | None) -> CLayer:
    mlp, router, experts = CFeedForward(), CLinear(), None
    if isinstance(layer.mlp, Experts):
        router = _linear(layer.mlp.router)
        experts = (CFeedForward * len(layer.mlp.each))(*map(_feed_forward, layer.mlp.each))
    else:
        mlp = _feed_forward(layer.mlp)
    return CLayer(
        address(layer.input_norm),
        address(layer.q_norm),
        address(layer.k_norm),
        address(layer.mlp_norm),
        _linear(layer.qkv),
        _linear(layer.o),
        mlp,
        router,
        experts,
        window or 0,
    )


def _linear(linear: Product) -> CLinear:
    assert isinstance(linear, PanelLinear)  # noqa: S101  # The decoder made it so.
    return linear.c


def _feed_forward(mlp: FeedForward) -> CFeedForward:
    return CFeedForward(_linear(mlp.gate_up), _linear(mlp.down))


def _mixture(mixture: Mixture | None) -> CMixture:
    if mixture is None:
        return CMixture()
    return CMixture(mixture.n_experts, mixture.n_picked, mixture.expert_size, mixture.whole)
