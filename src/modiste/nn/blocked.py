"""Causal attention as plain batched matmuls, one block of queries at a time, in bf16 on a CPU.

There torch's own kernel spends its time outside the matmuls: on documents of some hundred tokens
this is two to four times as fast, forward and backward together. Each block sees the keys up to its
last query (and, with a sliding window, no earlier than its first one may), so half of the square is
never computed. Scores are rounded to bf16 before the softmax, which computes in fp32 inside; they
carry that rounding from q and k anyway. Probabilities are computed again in the backward: kept ones
would grow with the square of the length.

Legend: n documents of length L, H query heads, K key/value heads, G = H / K, E head size, B queries
of a block, W keys it sees.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

BLOCK = 128


class Block(NamedTuple):
    """Queries first to last see keys from `seen` to last."""

    first: int
    last: int
    seen: int


def suits(q: Tensor) -> bool:
    """Elsewhere torch's kernel is the better one."""
    return q.device.type == "cpu" and q.dtype == torch.bfloat16


def attention(
    q: Tensor, k: Tensor, v: Tensor, *, scaling: float | None, window: int | None
) -> Tensor:
    """q (n, H, L, E), k and v (n, K, L, E) to (n, H, L, E)."""
    q_nKGLE, k_NLE, v_NLE = _scaled(q, k.shape[1], scaling), _batch(k), _batch(v)
    out = torch.empty_like(q_nKGLE)
    for block in _blocks(q.shape[2], window):
        p_NBW = _probabilities(q_nKGLE, k_NLE, block, window)
        o_NBE = torch.bmm(p_NBW, v_NLE[:, block.seen : block.last])
        queries = out[:, :, :, block.first : block.last]
        queries.copy_(o_NBE.view(queries.shape))
    return out.view(q.shape)


def gradients(
    dout: Tensor, q: Tensor, k: Tensor, v: Tensor, *, scaling: float | None, window: int | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Of q, k and v, in their shapes."""
    scale = _scale(q, scaling)
    q_nKGLE, k_NLE, v_NLE = _scaled(q, k.shape[1], scaling), _batch(k), _batch(v)
    dout_nKGLE = dout.reshape(q_nKGLE.shape)
    dq, blocks = torch.empty_like(q_nKGLE), list(_blocks(q.shape[2], window))
    # Sums over blocks: more than one are added up in fp32.
    sums = torch.float32 if len(blocks) > 1 else k.dtype
    dk_NLE, dv_NLE = (torch.zeros_like(x, dtype=sums) for x in (k_NLE, v_NLE))
    for block in blocks:
        keys = slice(block.seen, block.last)
        p_NBW = _probabilities(q_nKGLE, k_NLE, block, window)
        do_NBE = _queries(dout_nKGLE, block)
        dv_NLE[:, keys] += torch.bmm(p_NBW.transpose(1, 2), do_NBE)
        dp_NBW = torch.bmm(do_NBE, v_NLE[:, keys].transpose(1, 2))
        ds_NBW = torch._softmax_backward_data(dp_NBW, p_NBW, -1, p_NBW.dtype)
        dk_NLE[:, keys] += torch.bmm(ds_NBW.transpose(1, 2), _queries(q_nKGLE, block))
        dq_NBE = torch.bmm(ds_NBW, k_NLE[:, keys])
        part = dq[:, :, :, block.first : block.last]
        torch.mul(dq_NBE.view(part.shape), scale, out=part)
    return dq.view(q.shape), dk_NLE.to(k.dtype).view(k.shape), dv_NLE.to(v.dtype).view(v.shape)


def _blocks(length: int, window: int | None) -> Iterator[Block]:
    for first in range(0, length, BLOCK):
        seen = 0 if window is None else max(0, first - window + 1)
        yield Block(first, min(first + BLOCK, length), seen)


def _probabilities(q_nKGLE: Tensor, k_NLE: Tensor, block: Block, window: int | None) -> Tensor:
    """(n * K, G * B, W)"""
    keys = k_NLE[:, block.seen : block.last]
    s_NBW = torch.bmm(_queries(q_nKGLE, block), keys.transpose(1, 2))
    n_queries = block.last - block.first
    s = s_NBW.view(s_NBW.shape[0], -1, n_queries, s_NBW.shape[2])
    if window is None:  # of the earlier keys all are seen
        s = s[..., block.first - block.seen :]
        hidden = torch.ones(n_queries, n_queries, dtype=torch.bool).triu_(1)
    else:
        at = torch.arange(block.first, block.last)[:, None]
        back = at - torch.arange(block.seen, block.last)[None]
        hidden = (back < 0) | (back >= window)
    s.masked_fill_(hidden, -torch.inf)
    return torch.softmax(s_NBW, dim=-1)


def _scaled(q: Tensor, kv_heads: int, scaling: float | None) -> Tensor:
    """(n, K, G, L, E), contiguous"""
    n, heads, length, size = q.shape
    return (q * _scale(q, scaling)).reshape(n, kv_heads, heads // kv_heads, length, size)


def _scale(q: Tensor, scaling: float | None) -> float:
    return q.shape[-1] ** -0.5 if scaling is None else scaling


def _batch(x: Tensor) -> Tensor:
    """(n * K, L, E), contiguous"""
    return x.reshape(-1, *x.shape[2:])


def _queries(x_nKGLE: Tensor, block: Block) -> Tensor:
    """(n * K, G * B, E)"""
    part = x_nKGLE[:, :, :, block.first : block.last]
    n, kv_heads, groups, length, size = part.shape
    return part.reshape(n * kv_heads, groups * length, size)
