"""DoRA's lengths without making the matrix; that models train as PEFT's is held in tests/parity."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from modiste.nn.dora import DoraLinear
from modiste.nn.dropout import Dropout
from modiste.nn.frozen import FrozenMatrix


def layer(weight: torch.Tensor, bias: torch.Tensor | None, *, b: float = 0.3) -> DoraLinear:
    generator = torch.Generator().manual_seed(1)
    made = DoraLinear(
        FrozenMatrix(weight, bias),
        lora_A=nn.Parameter(torch.randn(3, weight.shape[1], generator=generator)),
        lora_B=nn.Parameter(b * torch.randn(len(weight), 3, generator=generator)),
        scaling=1.7,
        lengths_O=weight.float().norm(dim=1),
        bias_O=bias,
        dropout=Dropout(0.0, seed=0),
        name="a",
    )
    made.begin(nn.Parameter(torch.empty(len(weight))))
    return made


@pytest.mark.parametrize("biased", [False, True])
def test_lengths_are_those_of_the_changed_matrix(biased: bool) -> None:
    weight, bias = torch.randn(9, 6), torch.randn(9) if biased else None
    made = layer(weight, bias)
    whole = weight + 1.7 * made.lora_B.detach() @ made.lora_A.detach()
    # Sums of six to nine products of size 1 in fp32.
    torch.testing.assert_close(made.lengths(), whole.norm(dim=1), rtol=1e-5, atol=1e-6)
    x = torch.randn(4, 6)
    expected = x @ (made.magnitude.detach() / whole.norm(dim=1))[:, None].mul(whole).t()
    expected = expected if bias is None else expected + bias
    torch.testing.assert_close(made(x).detach(), expected, rtol=1e-5, atol=1e-5)


def test_it_starts_as_the_base() -> None:
    weight, x = torch.randn(9, 6), torch.randn(4, 6)
    torch.testing.assert_close(
        layer(weight, None, b=0.0)(x).detach(), x @ weight.t(), rtol=1e-5, atol=1e-5
    )


def test_a_row_that_vanishes_is_no_division_by_zero() -> None:
    weight = torch.zeros(2, 6)
    assert bool(layer(weight, None, b=0.0)(torch.randn(4, 6)).isfinite().all())
