"""The loss of a head that learns, in chunks, against all logits at once."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from modiste.nn.head import LearnedHead


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("rows", [1, 4, 100])
def test_losses_and_gradients_are_those_of_all_logits(bias: bool, rows: int) -> None:
    torch.manual_seed(0)
    layer = nn.Linear(6, 11, bias=bias, dtype=torch.float64)
    hidden = torch.randn(9, 6, dtype=torch.float64, requires_grad=True)
    targets, shares = torch.randint(11, (9,)), torch.rand(9)
    nll = LearnedHead(layer).nll(hidden, targets, rows=rows)
    expected = nn.functional.cross_entropy(layer(hidden), targets, reduction="none")
    # Losses are fp32 whatever came in.
    torch.testing.assert_close(nll.double(), expected, rtol=1e-6, atol=1e-6)
    parts = [hidden, *layer.parameters()]
    found = torch.autograd.grad((nll * shares).sum(), parts)
    wanted = torch.autograd.grad((expected * shares).sum(), parts)
    for mine, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-6)


def test_no_rows_have_no_losses() -> None:
    head = LearnedHead(nn.Linear(6, 11))
    assert head.nll(torch.zeros(0, 6), torch.zeros(0, dtype=torch.long), rows=4).shape == (0,)
