"""Packed linears: right to rounding, and a row's bits do not depend on its neighbours."""

import pytest
import torch
import torch.nn.functional as F

from modiste.nn.linear import Linear, independent


@pytest.mark.parametrize(("inputs", "outputs"), [(48, 96), (256, 1152), (72, 199)])
@pytest.mark.parametrize("bias", [True, False])
def test_it_computes_what_a_plain_linear_computes(inputs, outputs, bias):
    torch.manual_seed(0)
    weight, x = torch.randn(outputs, inputs), torch.randn(5, inputs)
    offset = torch.randn(outputs) if bias else None
    expected = F.linear(x.double(), weight.double(), None if offset is None else offset.double())
    # Sums of 256 float32 products of size 1: the rounding error stays under 1e-4.
    torch.testing.assert_close(Linear(weight, offset)(x), expected.float(), atol=1e-4, rtol=0)


@pytest.mark.parametrize(("inputs", "outputs"), [(48, 96), (256, 1152), (72, 199), (1280, 7168)])
def test_a_rows_bits_do_not_depend_on_the_other_rows(inputs, outputs):
    torch.set_num_threads(1)
    assert independent(Linear(torch.randn(outputs, inputs)))


def test_weights_in_bfloat16_are_computed_in_float32():
    weight = torch.randn(8, 8).bfloat16()
    x = torch.randn(3, 8)
    torch.testing.assert_close(Linear(weight)(x), F.linear(x, weight.float()))
