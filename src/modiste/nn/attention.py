"""Attention over a flat row of packed documents: each token sees its own document's past only.

A micro-batch is one row of tokens without padding. For attention alone, documents of similar length
(within a quarter, or sixteen tokens) form small dense batches, so that the work is that of the
documents and never quadratic in the row. It plugs into transformers' attention registry under
`NAME` and needs the `documents` keyword that `packed_inputs` prepares; position ids restart with
each document. Soft caps, attention sinks and dropout are refused, as ignoring them would change the
model.

Legend: T tokens in the row, H query heads, K key/value heads, E head size, n documents of length L.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from modiste.nn import blocked

NAME = "modiste-packed"
LEAST_STEP = 16
"""Lengths are rounded up to few, and batches hold 1, 2, 4, 8 documents and so on: oneDNN compiles
each shape of product and keeps it, which with lengths as they come costs more than the padding."""


class Bucket(NamedTuple):
    """Documents computed together, shorter ones padded on the right."""

    rows: Tensor
    """(n * L,) place in the flat row; padding repeats a real place and is never written back."""
    kept: Tensor | None
    """(tokens,) places inside n * L that are real; None where all are."""
    n: int
    length: int


class Documents(NamedTuple):
    lengths: tuple[int, ...]
    buckets: tuple[Bucket, ...]


class PackedInputs(NamedTuple):
    """What a forward over packed documents needs besides the token ids."""

    position_ids: Tensor
    """(1, T)"""
    documents: Documents


def packed_inputs(lengths: Sequence[int], *, device: torch.device | str = "cpu") -> PackedInputs:
    """For documents of these lengths (tokens), laid out one after the other."""
    positions = torch.cat([torch.arange(length) for length in lengths])
    return PackedInputs(positions[None].to(device), _documents(lengths, device))


def register() -> None:
    """Make `NAME` known to transformers; safe to call again."""
    ALL_ATTENTION_FUNCTIONS.register(NAME, packed_attention)


def packed_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    documents: Documents | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """query (1, H, T, E), key and value (1, K, T, E) to (1, T, H, E).

    Raises:
        NotImplementedByPacking: the model asks for something this attention does not compute.
    """
    asked = [name for name in ("softcap", "s_aux") if others.get(name) is not None]
    if documents is None or query.shape[0] != 1 or dropout or attention_mask is not None or asked:
        raise NotImplementedByPacking(
            f"{type(module).__name__} cannot run on packed documents "
            f"({', '.join(asked) or 'it does not pass them on to its attention'})"
        )
    way = _InBlocks if blocked.suits(query) else _PerDocument
    out: Tensor = cast(Any, way).apply(query, key, value, documents, scaling, sliding_window)
    return out, None


class NotImplementedByPacking(Exception):
    """The caller runs documents one by one instead; see tune/loss.py."""


class _PerDocument(torch.autograd.Function):
    """Gather, dense causal attention and scatter per bucket. Nothing is kept but the inputs; the
    backward gathers and computes a bucket's probabilities a second time."""

    @staticmethod
    def forward(
        ctx: Any,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        documents: Documents,
        scaling: float | None,
        window: int | None,
    ) -> Tensor:
        flat = [x[0].transpose(0, 1) for x in (q, k, v)]  # (T, heads, E)
        out_THE = torch.empty_like(flat[0], memory_format=torch.contiguous_format)
        for bucket in documents.buckets:
            parts = [_gather(x, bucket) for x in flat]
            _scatter(_sdpa(*parts, scaling=scaling, window=window), bucket, out_THE)
        ctx.save_for_backward(q, k, v)
        ctx.documents, ctx.scaling, ctx.window = documents, scaling, window
        return out_THE[None]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        dout_THE = grads[0][0]
        flat = [x[0].transpose(0, 1) for x in ctx.saved_tensors]
        gradients = [torch.empty(x.shape, dtype=x.dtype, device=x.device) for x in flat]
        for bucket in ctx.documents.buckets:
            parts = [_gather(x, bucket) for x in flat]
            dresult = _gather(dout_THE, bucket, zero_padding=True)
            inner = _gradients(dresult, *parts, scaling=ctx.scaling, window=ctx.window)
            for gradient, target in zip(inner, gradients, strict=True):
                _scatter(gradient, bucket, target)
        dq, dk, dv = (gradient.transpose(0, 1)[None] for gradient in gradients)
        return dq, dk, dv, None, None, None


class _InBlocks(torch.autograd.Function):
    """The same, where one product for many documents is the faster way."""

    @staticmethod
    def forward(
        ctx: Any,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        documents: Documents,
        scaling: float | None,
        window: int | None,
    ) -> Tensor:
        ctx.save_for_backward(q, k, v)
        ctx.how = {"lengths": documents.lengths, "scaling": scaling, "window": window}
        return blocked.attention(q[0], k[0], v[0], **ctx.how)[None]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v = ctx.saved_tensors
        dq, dk, dv = blocked.gradients(grads[0][0], q[0], k[0], v[0], **ctx.how)
        return dq[None], dk[None], dv[None], None, None, None


def _documents(lengths: Sequence[int], device: torch.device | str) -> Documents:
    starts = torch.tensor([0, *lengths]).cumsum(0)[:-1].tolist()
    groups: dict[int, list[int]] = {}
    for i in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        groups.setdefault(rounded(lengths[i]), []).append(i)
    buckets = tuple(
        _bucket([starts[i] for i in part], [lengths[i] for i in part], room, device)
        for room, group in groups.items()
        for part in _in_powers_of_two(group)
    )
    return Documents(tuple(lengths), buckets)


def rounded(length: int) -> int:
    """Up to the next of at most eight lengths per power of two, sixteen apart at the least."""
    step = max(LEAST_STEP, (1 << (length - 1).bit_length()) // 8)
    return -(-length // step) * step


def _in_powers_of_two(group: list[int]) -> Iterator[list[int]]:
    at = 0
    while at < len(group):
        n = 1 << ((len(group) - at).bit_length() - 1)
        yield group[at : at + n]
        at += n


def _bucket(
    starts: list[int], lengths: list[int], longest: int, device: torch.device | str
) -> Bucket:
    within = torch.arange(longest)
    size = torch.tensor(lengths)[:, None]
    rows = torch.tensor(starts)[:, None] + torch.minimum(within[None], size - 1)
    real = (within[None] < size).flatten()
    kept = None if bool(real.all()) else real.nonzero().squeeze(1).to(device)
    return Bucket(rows.flatten().to(device), kept, len(lengths), longest)


def _gather(x_THE: Tensor, bucket: Bucket, *, zero_padding: bool = False) -> Tensor:
    """(T, heads, E) to (n, heads, L, E)."""
    dense = x_THE.index_select(0, bucket.rows)
    if zero_padding and bucket.kept is not None:
        padding = torch.ones(dense.shape[0], dtype=torch.bool, device=dense.device)
        padding[bucket.kept] = False
        dense.masked_fill_(padding[:, None, None], 0.0)
    return dense.view(bucket.n, bucket.length, *dense.shape[1:]).transpose(1, 2)


def _scatter(x_nHLE: Tensor, bucket: Bucket, out_THE: Tensor) -> None:
    x = x_nHLE.transpose(1, 2).reshape(bucket.n * bucket.length, *out_THE.shape[1:])
    if bucket.kept is None:
        out_THE.index_copy_(0, bucket.rows, x)
    else:
        out_THE.index_copy_(0, bucket.rows[bucket.kept], x[bucket.kept])


def _gradients(
    dresult: Tensor,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    *,
    scaling: float | None,
    window: int | None,
) -> tuple[Tensor, ...]:
    with torch.enable_grad():
        parts = [x.detach().requires_grad_() for x in (q, k, v)]
        result = _sdpa(*parts, scaling=scaling, window=window)
    return torch.autograd.grad(result, parts, dresult)


def _sdpa(q: Tensor, k: Tensor, v: Tensor, *, scaling: float | None, window: int | None) -> Tensor:
    length = q.shape[2]
    grouped = q.shape[1] != k.shape[1]
    if window is None or window >= length:
        return F.scaled_dot_product_attention(
            q, k, v, is_causal=True, scale=scaling, enable_gqa=grouped
        )
    at = torch.arange(length, device=q.device)
    back = at[:, None] - at[None, :]
    mask = (back >= 0) & (back < window)
    return F.scaled_dot_product_attention(
        q, k, v, attn_mask=mask, scale=scaling, enable_gqa=grouped
    )
