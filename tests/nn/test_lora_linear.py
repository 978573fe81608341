"""The hand-written product and the base's own: exact by finite differences.

That whole models train as PEFT's do is held in tests/parity.
"""

from __future__ import annotations

import pytest
import torch
from torch import nn

from modiste.nn.frozen import FrozenMatrix
from modiste.nn.lora_linear import LoraLinear, frozen_product, lora_product


def parts() -> tuple[FrozenMatrix, torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    w, b, x, low_a, low_b = (
        torch.randn(shape, generator=generator, dtype=torch.float64)
        for shape in ((7, 5), (7,), (4, 5), (3, 5), (7, 3))
    )
    return FrozenMatrix(w, b), *(t.requires_grad_() for t in (x, low_a, low_b))


def test_both_products_have_the_gradients_of_finite_differences() -> None:
    base, x, a, b = parts()
    assert torch.autograd.gradcheck(
        lambda x, a, b: lora_product(x, a, b, base=base, scaling=0.7), (x, a, b)
    )
    assert torch.autograd.gradcheck(lambda x: frozen_product(x, base), (x,))


@pytest.mark.parametrize("shape", [(5,), (2, 3, 5)])
def test_switched_off_it_is_the_base(shape: tuple[int, ...]) -> None:
    base, _, a, b = parts()
    layer = LoraLinear(base, lora_A=nn.Parameter(a), lora_B=nn.Parameter(b), scaling=2.0)
    x = torch.randn(shape, dtype=torch.float64)
    on = layer(x)
    layer.enabled = False
    assert torch.equal(layer(x), base.up(x.reshape(-1, 5)).view(on.shape))
    assert not torch.equal(on, layer(x))
