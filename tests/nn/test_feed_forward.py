"""Rows go to the experts with the greatest logits, and get the sum of what those compute."""

import pytest
import torch

from modiste.nn.feed_forward import feed_forward, picked
from modiste.nn.linear import Linear
from modiste.nn.parts import Experts, FeedForward
from modiste.nn.shape import Mixture

D, WIDE, N_EXPERTS = 12, 20, 5


def mixture(n_picked, *, whole):
    return Mixture(N_EXPERTS, n_picked, WIDE, whole=whole, layers=(True,))


def random(*size, seed=0):
    return torch.randn(*size, generator=torch.Generator().manual_seed(seed))


def gated(seed):
    return FeedForward(
        Linear(random(2 * WIDE, D, seed=seed)), Linear(random(D, WIDE, seed=seed + 1))
    )


def test_shares_are_those_of_all_experts_or_add_up_to_one():
    logits = torch.tensor([[0.0, 2.0, 1.0, -1.0, 0.5], [3.0, 0.0, 0.0, 0.0, 2.0]])
    shares, picks = picked(logits, mixture(2, whole=False))
    assert picks.tolist() == [[1, 2], [0, 4]]
    assert torch.equal(shares, logits.softmax(-1).gather(1, picks))
    whole, same = picked(logits, mixture(2, whole=True))
    assert torch.equal(picks, same)
    torch.testing.assert_close(whole, shares / shares.sum(-1, keepdim=True))


@pytest.mark.parametrize("n_picked", [1, 3, 5])
def test_a_row_is_the_weighted_sum_of_its_experts(n_picked):
    """The last expert is asked by nobody where not all are."""
    each = tuple(gated(10 * e) for e in range(N_EXPERTS))
    router = random(N_EXPERTS, D, seed=99)
    if n_picked < N_EXPERTS:
        router[-1] = -10  # Beside inputs that are all positive.
    how, x = mixture(n_picked, whole=True), random(30, D, seed=7).abs()
    shares, picks = picked(x @ router.T, how)
    assert bool((picks == N_EXPERTS - 1).any()) == (n_picked == N_EXPERTS)
    expected = torch.zeros(30, D)
    for row in range(30):
        for share, expert in zip(shares[row], picks[row].tolist(), strict=True):
            one = feed_forward(0, each[expert], x[row : row + 1], None, mixture=None)[0]
            expected[row] += share * one
    found = feed_forward(0, Experts(Linear(router), each), x, None, mixture=how)
    # float32 sums of 12 and 20 products, of sizes up to a hundred.
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-3)


def test_one_network_is_silu_of_the_gate_times_up():
    gate_up, down, x = random(2 * WIDE, D, seed=1), random(D, WIDE, seed=2), random(4, D, seed=3)
    found = feed_forward(0, FeedForward(Linear(gate_up), Linear(down)), x, None, mixture=None)
    gate, up = (x @ gate_up.T).chunk(2, -1)
    expected = (torch.nn.functional.silu(gate) * up) @ down.T
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-4)
