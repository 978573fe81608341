"""What a step of the decoder is made of, for both ways of computing it.

Legend: L layers, C cells (one token's keys and values), K key/value heads, E head size.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

from modiste.nn.linear import Product


class Span(NamedTuple):
    """Rows of one sequence in this step: its `n_rows` latest tokens, laid from row `first_row`.

    Its keys and values fill the cells [first_cell, first_cell + length), these rows' included.
    """

    first_row: int
    n_rows: int
    first_cell: int
    length: int


class KeyValues(NamedTuple):
    keys_LCKE: Tensor
    values_LCKE: Tensor


class FeedForward(NamedTuple):
    gate_up: Product
    down: Product


class Experts(NamedTuple):
    router: Product
    each: tuple[FeedForward, ...]


class Layer(NamedTuple):
    input_norm: Tensor
    qkv: Product
    q_norm: Tensor | None
    k_norm: Tensor | None
    o: Product
    mlp_norm: Tensor
    mlp: FeedForward | Experts
