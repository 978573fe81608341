"""Causal attention over a packed row as plain batched matmuls, in bf16 on a CPU.

The row is cut into blocks of queries wherever documents begin and end. A block sees one stretch of
keys: from the start of its first query's document (or that query's sliding window) to its last
query; a mask hides other documents and the future. Blocks with stretches of about the same length
are computed together, so a micro-batch of many short documents takes a few large products, where
torch's kernel, document by document, spends its time outside of them. Masks are made once for all
layers. Scores are rounded to bf16 before the softmax, which computes in fp32 inside; they carry
that rounding from q and k anyway. Probabilities are computed again in the backward: kept ones would
grow with the square of the length.

Legend: T tokens in the row, P the same filled up to whole blocks, H query heads, K key/value heads,
G = H / K, E head size, B queries of a block, W keys of its stretch, m blocks computed together,
N = K * m.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

BLOCK = 64
SCORES = 1 << 20
"""Of blocks computed together: two megabytes, near the cache."""


class Tile(NamedTuple):
    """Blocks of one row that are computed together."""

    blocks: Tensor
    """(m,) their numbers."""
    starts: tuple[int, ...]
    """First row of each one's stretch of keys."""
    width: int
    hidden_mBW: Tensor
    """What a query must not see."""


def suits(q: Tensor) -> bool:
    """Elsewhere torch's kernel is the better one."""
    return q.device.type == "cpu" and q.dtype == torch.bfloat16


def attention(
    q_HTE: Tensor,
    k_KTE: Tensor,
    v_KTE: Tensor,
    *,
    lengths: tuple[int, ...],
    scaling: float | None,
    window: int | None,
) -> Tensor:
    """(T, H, E) for documents of these lengths, which fill the row."""
    n_rows = q_HTE.shape[1]
    q_KbRE, k_KPE, v_KPE = _inputs(q_HTE, k_KTE, v_KTE, scaling)
    n_heads, n_kv, size = len(q_HTE), len(k_KTE), q_HTE.shape[2]
    out_bBKGE = q_HTE.new_empty(q_KbRE.shape[1], BLOCK, n_kv, n_heads // n_kv, size)
    for tile in _tiles(lengths, window, n_heads):
        p_NRW = _probabilities(q_KbRE, k_KPE, tile)
        o_NRE = torch.bmm(p_NRW, _stretches(v_KPE, tile))
        o_mBKGE = o_NRE.view(n_kv, len(tile.blocks), -1, BLOCK, size).permute(1, 3, 0, 2, 4)
        out_bBKGE.index_copy_(0, tile.blocks, o_mBKGE)
    return out_bBKGE.view(-1, n_heads, size)[:n_rows]


def gradients(
    dout_THE: Tensor,
    q_HTE: Tensor,
    k_KTE: Tensor,
    v_KTE: Tensor,
    *,
    lengths: tuple[int, ...],
    scaling: float | None,
    window: int | None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Of q, k and v, in their shapes."""
    q_KbRE, k_KPE, v_KPE = _inputs(q_HTE, k_KTE, v_KTE, scaling)
    do_KbRE = _blocks(dout_THE.transpose(0, 1), len(k_KTE), 1.0)
    dq_KbRE = torch.empty_like(q_KbRE)
    # Stretches overlap; their sums are made in fp32.
    dk_KPE, dv_KPE = (torch.zeros_like(x, dtype=torch.float32) for x in (k_KPE, v_KPE))
    for tile in _tiles(lengths, window, len(q_HTE)):
        p_NRW = _probabilities(q_KbRE, k_KPE, tile)
        do_NRE, q_NRE = _chosen(do_KbRE, tile), _chosen(q_KbRE, tile)
        _add(torch.bmm(p_NRW.transpose(1, 2), do_NRE), tile, dv_KPE)
        dp_NRW = torch.bmm(do_NRE, _stretches(v_KPE, tile).transpose(1, 2))
        ds_NRW = torch._softmax_backward_data(dp_NRW, p_NRW, -1, p_NRW.dtype)
        _add(torch.bmm(ds_NRW.transpose(1, 2), q_NRE), tile, dk_KPE)
        dq_NRE = torch.bmm(ds_NRW, _stretches(k_KPE, tile))
        dq_KbRE.index_copy_(1, tile.blocks, dq_NRE.view(len(k_KTE), -1, *dq_NRE.shape[1:]))
    dq_KbGBE = dq_KbRE.view(*dq_KbRE.shape[:2], -1, BLOCK, dq_KbRE.shape[3])
    dq_KbGBE.mul_(_scale(q_HTE, scaling))
    n_heads, n_rows, size = q_HTE.shape
    dq_HPE = dq_KbGBE.transpose(1, 2).reshape(n_heads, -1, size)
    dk_KTE, dv_KTE = (x[:, :n_rows].to(k_KTE.dtype) for x in (dk_KPE, dv_KPE))
    return dq_HPE[:, :n_rows], dk_KTE, dv_KTE


@lru_cache(maxsize=8)
def _tiles(lengths: tuple[int, ...], window: int | None, n_heads: int) -> list[Tile]:
    """The same for all layers of a micro-batch; several threads have one each."""
    n_rows = sum(lengths)
    begins_T = torch.tensor([0, *lengths[:-1]]).cumsum(0).repeat_interleave(torch.tensor(lengths))
    first_P = F.pad(begins_T, (0, -n_rows % BLOCK))
    if window is not None:
        first_P = torch.maximum(first_P, torch.arange(len(first_P)) - window + 1)
    by_width: dict[int, list[tuple[int, int]]] = {}
    for block, seen in enumerate(first_P[::BLOCK].tolist()):
        last = (block + 1) * BLOCK
        width = min(_rounded(last - seen), len(first_P))
        by_width.setdefault(width, []).append((block, max(0, last - width)))
    return [
        _tile(part, width, first_P, n_rows)
        for width, blocks in sorted(by_width.items())
        for part in _parts(blocks, max(1, SCORES // (n_heads * BLOCK * width)))
    ]


def _tile(blocks: Sequence[tuple[int, int]], width: int, first_P: Tensor, n_rows: int) -> Tile:
    numbers = torch.tensor([block for block, _ in blocks])
    queries_mB = numbers[:, None] * BLOCK + torch.arange(BLOCK)
    keys_mW = torch.tensor([start for _, start in blocks])[:, None] + torch.arange(width)
    seen_mBW = keys_mW[:, None] >= first_P[queries_mB][:, :, None]
    seen_mBW &= keys_mW[:, None] <= queries_mB[:, :, None]
    # Queries behind the row's end see something, as nothing at all would be no number.
    hidden_mBW = ~seen_mBW & (queries_mB < n_rows)[:, :, None]
    return Tile(numbers, tuple(start for _, start in blocks), width, hidden_mBW)


def _parts(blocks: Sequence[tuple[int, int]], most: int) -> Iterator[Sequence[tuple[int, int]]]:
    """By powers of two: oneDNN compiles each shape of product and keeps it."""
    at = 0
    while at < len(blocks):
        n = 1 << (min(most, len(blocks) - at).bit_length() - 1)
        yield blocks[at : at + n]
        at += n


def _rounded(width: int) -> int:
    """Up to one of few widths, for the same reason, and as wider tiles hold more blocks."""
    step = max(BLOCK, (1 << (width - 1).bit_length()) // 4)
    return -(-width // step) * step


def _inputs(
    q_HTE: Tensor, k_KTE: Tensor, v_KTE: Tensor, scaling: float | None
) -> tuple[Tensor, Tensor, Tensor]:
    q_KbRE = _blocks(q_HTE, len(k_KTE), _scale(q_HTE, scaling))
    k_KPE, v_KPE = (_filled(x) for x in (k_KTE, v_KTE))
    return q_KbRE, k_KPE, v_KPE


def _filled(x: Tensor) -> Tensor:
    """(heads, P, E)"""
    return F.pad(x, (0, 0, 0, -x.shape[1] % BLOCK)).contiguous()


def _blocks(x_HTE: Tensor, n_kv: int, scale: float) -> Tensor:
    """(K, blocks, G * B, E) times `scale`"""
    x_HPE, size = _filled(x_HTE), x_HTE.shape[2]
    x_KGbBE = x_HPE.view(n_kv, len(x_HTE) // n_kv, -1, BLOCK, size)
    x_KbGBE = x_KGbBE.transpose(1, 2)
    out = x_HTE.new_empty(x_KbGBE.shape)
    torch.mul(x_KbGBE, scale, out=out)
    return out.view(n_kv, out.shape[1], -1, size)


def _chosen(x_KbRE: Tensor, tile: Tile) -> Tensor:
    """(N, G * B, E)"""
    return x_KbRE.index_select(1, tile.blocks).flatten(0, 1)


def _stretches(x_KPE: Tensor, tile: Tile) -> Tensor:
    """(N, W, E)"""
    parts = [x_KPE[:, start : start + tile.width] for start in tile.starts]
    return torch.stack(parts, dim=1).flatten(0, 1)


def _add(x_NWE: Tensor, tile: Tile, sums_KPE: Tensor) -> None:
    x_KmWE = x_NWE.view(len(sums_KPE), -1, *x_NWE.shape[1:])
    for number, start in enumerate(tile.starts):
        sums_KPE[:, start : start + tile.width] += x_KmWE[:, number]


def _probabilities(q_KbRE: Tensor, k_KPE: Tensor, tile: Tile) -> Tensor:
    """(N, G * B, W)"""
    s_NRW = torch.bmm(_chosen(q_KbRE, tile), _stretches(k_KPE, tile).transpose(1, 2))
    s_KmGBW = s_NRW.view(len(k_KPE), len(tile.blocks), -1, BLOCK, tile.width)
    s_KmGBW.masked_fill_(tile.hidden_mBW[:, None], -torch.inf)
    return torch.softmax(s_NRW, dim=-1)


def _scale(q_HTE: Tensor, scaling: float | None) -> float:
    return q_HTE.shape[-1] ** -0.5 if scaling is None else scaling
