"""The norm against transformers' class and autograd."""

from __future__ import annotations

import pytest
import torch
from transformers.models.mistral.modeling_mistral import MistralRMSNorm

from modiste.nn.rms_norm import rms_norm


def test_values_and_gradients_are_those_of_transformers() -> None:
    weight = torch.randn(6, dtype=torch.float32)
    x = torch.randn(3, 4, 6, requires_grad=True)
    theirs = MistralRMSNorm(6, eps=1e-5)
    theirs.weight.data.copy_(weight)
    dy = torch.randn(3, 4, 6)
    expected, actual = theirs(x), rms_norm(x, weight, 1e-5)
    # fp32, six terms summed in another order.
    torch.testing.assert_close(actual, expected, rtol=1e-6, atol=1e-6)
    (wanted,), (mine,) = (torch.autograd.grad(y, x, dy) for y in (expected, actual))
    torch.testing.assert_close(mine, wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("length", [1, 50])
def test_bf16_is_rounded_where_transformers_rounds(length: int) -> None:
    theirs = MistralRMSNorm(64).bfloat16()
    x = torch.randn(length, 64).bfloat16()
    assert torch.equal(rms_norm(x, theirs.weight.detach(), 1e-6), theirs(x).detach())


def test_the_gradient_that_comes_in_is_left_as_it_was() -> None:
    x, dy = torch.randn(3, 8, requires_grad=True), torch.randn(3, 8)
    before = dy.clone()
    rms_norm(x, torch.ones(8), 1e-6).backward(dy)
    assert torch.equal(dy, before)
