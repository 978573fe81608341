"""Packed attention against dense attention of each document alone."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from modiste.nn.attention import (
    NotImplementedByPacking,
    packed_attention,
    packed_inputs,
    rounded,
)

MODULE = SimpleNamespace()
HEADS, KV_HEADS, SIZE = 4, 2, 8


def heads(length: int, *, seed: int = 0) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.randn(1, n, length, SIZE, generator=generator, requires_grad=True)
        for n in (HEADS, KV_HEADS, KV_HEADS)
    ]


def dense(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, window: int | None) -> torch.Tensor:
    """Scores written out; nothing of torch's attention."""
    k, v = (x.repeat_interleave(HEADS // KV_HEADS, dim=1) for x in (k, v))
    length = q.shape[2]
    back = torch.arange(length)[:, None] - torch.arange(length)[None]
    seen = (back >= 0) & (back < (window or length))
    scores = (q @ k.transpose(2, 3) * 0.5).masked_fill(~seen, -torch.inf)
    return (scores.softmax(-1) @ v).transpose(1, 2)


@pytest.mark.parametrize("window", [None, 1, 5, 1000])
@pytest.mark.parametrize(
    "lengths", [[7], [1], [20, 19, 18, 5, 6, 1, 1, 40], [1, 33, 2, 32, 3, 31], [8] * 5]
)
def test_values_and_gradients_are_those_of_each_document_alone(
    lengths: list[int], window: int | None
) -> None:
    q, k, v = heads(sum(lengths))
    packed = packed_inputs(lengths)
    actual, _ = packed_attention(
        MODULE, q, k, v, None, scaling=0.5, sliding_window=window, documents=packed.documents
    )
    parts = [dense(*p, window) for p in zip(*(x.split(lengths, 2) for x in (q, k, v)), strict=True)]
    expected = torch.cat(parts, dim=1)
    weights = torch.randn(expected.shape, generator=torch.Generator().manual_seed(1))
    # fp32, values of size 1 summed over at most 40 terms in another order.
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-5)
    ours = torch.autograd.grad((actual * weights).sum(), (q, k, v))
    theirs = torch.autograd.grad((expected * weights).sum(), (q, k, v))
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-5)


def test_positions_restart_with_each_document() -> None:
    assert packed_inputs([3, 1, 2]).position_ids.tolist() == [[0, 1, 2, 0, 0, 1]]


def test_documents_of_similar_length_share_a_batch_and_others_do_not() -> None:
    documents = packed_inputs([100, 10, 85, 9, 100, 1]).documents
    assert [(bucket.n, bucket.length) for bucket in documents.buckets] == [
        (2, 112),
        (1, 96),
        (2, 16),
        (1, 16),
    ]


def test_padding_and_the_number_of_shapes_are_bounded_for_any_lengths() -> None:
    generator = torch.Generator().manual_seed(0)
    shapes = set()
    for _ in range(50):
        lengths = torch.randint(1, 500, (50,), generator=generator).tolist()
        buckets = packed_inputs(lengths).documents.buckets
        padded = sum(bucket.n * bucket.length for bucket in buckets)
        assert padded <= 1.25 * sum(lengths) + 16 * len(lengths)
        shapes |= {(bucket.n, bucket.length) for bucket in buckets}
    assert {length for _, length in shapes} <= {rounded(length) for length in range(1, 500)}
    assert len(shapes) < 70  # 16 lengths, up to five sizes of batch


@pytest.mark.parametrize(
    "changes",
    [
        {"documents": None},
        {"dropout": 0.1},
        {"softcap": 50.0},
        {"s_aux": torch.ones(HEADS)},
        {"attention_mask": torch.ones(1, 1, 4, 4)},
    ],
)
def test_what_it_does_not_compute_it_refuses(changes: dict) -> None:
    q, k, v = heads(4)
    given = {"documents": packed_inputs([4]).documents, "attention_mask": None} | changes
    with pytest.raises(NotImplementedByPacking):
        packed_attention(MODULE, q, k, v, **given)


def test_nothing_is_kept_after_the_backward() -> None:
    q, k, v = heads(6)
    out, _ = packed_attention(
        MODULE, q, k, v, None, documents=packed_inputs([4, 2]).documents, scaling=1.0
    )
    out.sum().backward()
    assert not hasattr(out.grad_fn, "graphs")
