"""Attention by blocks of a packed row against scores written out in fp64."""

from __future__ import annotations

import pytest
import torch

from modiste.nn import blocked

HEADS, KV_HEADS, SIZE = 4, 2, 16


def heads(length: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [
        torch.randn(h, length, SIZE, generator=generator).bfloat16()
        for h in (HEADS, KV_HEADS, KV_HEADS)
    ]


def dense(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, lengths: tuple[int, ...], window: int | None
) -> torch.Tensor:
    k, v = (x.repeat_interleave(HEADS // KV_HEADS, dim=0) for x in (k, v))
    owners = torch.arange(len(lengths)).repeat_interleave(torch.tensor(lengths))
    back = torch.arange(len(owners))[:, None] - torch.arange(len(owners))[None]
    seen = (back >= 0) & (back < (window or len(owners))) & (owners[:, None] == owners[None])
    scores = (q @ k.transpose(1, 2) * SIZE**-0.5).masked_fill(~seen, -torch.inf)
    return (scores.softmax(-1) @ v).transpose(0, 1)


@pytest.mark.parametrize("window", [None, 1, 7, 150, 4000])
@pytest.mark.parametrize(
    "lengths",
    [
        (1,),
        (128,),
        (127, 1),
        (129,),
        (300, 20, 7, 1, 1, 200, 33),
        (1000, 3, 120, 130),
        tuple(range(5, 200, 14)),
    ],
)
def test_values_and_gradients_are_those_of_all_scores_at_once(
    lengths: tuple[int, ...], window: int | None
) -> None:
    parts = heads(sum(lengths))
    exact = [x.double().requires_grad_() for x in parts]
    expected = dense(*exact, lengths, window)
    dout = torch.randn(expected.shape, generator=torch.Generator().manual_seed(1)).bfloat16()
    gradients = torch.autograd.grad(expected, exact, dout.double())
    how = {"lengths": lengths, "scaling": None, "window": window}
    ours = blocked.attention(*parts, **how)
    mine = blocked.gradients(dout, *parts, **how)
    for actual, wanted in zip((ours, *mine), (expected, *gradients), strict=True):
        assert actual.shape == wanted.shape
        # bf16 rounds at 2^-9; scores, probabilities and sums are each rounded once or twice.
        distance = (actual.double() - wanted).norm() / wanted.norm().clamp_min(0.05)
        assert distance < 0.02


def test_the_probabilities_of_other_kernels_are_met_in_bf16() -> None:
    q, k, v = heads(200)
    theirs = torch.nn.functional.scaled_dot_product_attention(
        q[None], k[None], v[None], is_causal=True, enable_gqa=True
    )[0].transpose(0, 1)
    ours = blocked.attention(q, k, v, lengths=(200,), scaling=None, window=None)
    assert (ours - theirs).float().norm() / theirs.float().norm() < 0.01


def test_no_token_sees_another_document() -> None:
    q, k, v = heads(300)
    before = blocked.attention(q, k, v, lengths=(100, 200), scaling=None, window=None)
    k[:, :100], v[:, :100] = 50.0, 1e4
    after = blocked.attention(q, k, v, lengths=(100, 200), scaling=None, window=None)
    assert torch.equal(before[100:], after[100:])


def test_short_documents_share_their_products_and_long_ones_stay_within_bounds() -> None:
    blocked._tiles.cache_clear()
    short = blocked._tiles((16,) * 128, None, HEADS)
    assert [len(tile.blocks) for tile in short] == [32]
    assert [len(tile.blocks) for tile in blocked._tiles((64,) * 7, None, HEADS)] == [4, 2, 1]
    long = blocked._tiles((8192,), None, HEADS)
    assert sorted(int(n) for tile in long for n in tile.blocks) == list(range(128))
    for tile in long:
        scores = HEADS * len(tile.blocks) * blocked.BLOCK * tile.width
        assert len(tile.blocks) == 1 or scores <= blocked.SCORES
    assert len({tile.width for tile in long}) < 32


def test_only_bf16_on_a_cpu_comes_here() -> None:
    assert blocked.suits(torch.zeros(1, dtype=torch.bfloat16))
    assert not blocked.suits(torch.zeros(1))
