"""Attention by blocks of queries against scores written out in fp64."""

from __future__ import annotations

import pytest
import torch

from modiste.nn import blocked

HEADS, KV_HEADS, SIZE = 4, 2, 16


def heads(length: int, *, n: int = 2) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [
        torch.randn(n, h, length, SIZE, generator=generator).bfloat16()
        for h in (HEADS, KV_HEADS, KV_HEADS)
    ]


def dense(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, window: int | None) -> torch.Tensor:
    k, v = (x.repeat_interleave(HEADS // KV_HEADS, dim=1) for x in (k, v))
    back = torch.arange(q.shape[2])[:, None] - torch.arange(q.shape[2])[None]
    seen = (back >= 0) & (back < (window or q.shape[2]))
    scores = (q @ k.transpose(2, 3) * SIZE**-0.5).masked_fill(~seen, -torch.inf)
    return scores.softmax(-1) @ v


@pytest.mark.parametrize("window", [None, 1, 7, 150, 1000])
@pytest.mark.parametrize("length", [1, 5, 127, 128, 129, 300])
def test_values_and_gradients_are_those_of_all_scores_at_once(
    length: int, window: int | None
) -> None:
    parts = heads(length)
    exact = [x.double().requires_grad_() for x in parts]
    expected = dense(*exact, window)
    dout = torch.randn(expected.shape, generator=torch.Generator().manual_seed(1)).bfloat16()
    gradients = torch.autograd.grad(expected, exact, dout.double())
    ours = blocked.attention(*parts, scaling=None, window=window)
    mine = blocked.gradients(dout, *parts, scaling=None, window=window)
    for actual, wanted in zip((ours, *mine), (expected, *gradients), strict=True):
        # bf16 rounds at 2^-9; scores, probabilities and sums are each rounded once or twice.
        distance = (actual.double() - wanted).norm() / wanted.norm().clamp_min(0.05)
        assert distance < 0.02


def test_the_probabilities_of_other_kernels_are_met_in_bf16() -> None:
    q, k, v = heads(200)
    theirs = torch.nn.functional.scaled_dot_product_attention(
        q, k, v, is_causal=True, enable_gqa=True
    )
    ours = blocked.attention(q, k, v, scaling=None, window=None)
    assert (ours - theirs).float().norm() / theirs.float().norm() < 0.01


def test_only_bf16_on_a_cpu_comes_here() -> None:
    assert blocked.suits(torch.zeros(1, dtype=torch.bfloat16))
    assert not blocked.suits(torch.zeros(1))
