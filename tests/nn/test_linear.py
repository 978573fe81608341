"""Packed linears: right to rounding, and a row's bits do not depend on its neighbours."""

import pytest
import torch
import torch.nn.functional as F

from modiste.nn.linear import Int8Linear, Kind, Linear, independent, quantise


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


@pytest.mark.parametrize("rows", [1, 40])
def test_weights_rounded_to_bfloat16_are_multiplied_on_any_processor(rows):
    torch.manual_seed(0)
    weight, x = torch.randn(96, 64), torch.randn(rows, 64)
    expected = F.linear(x.double(), weight.bfloat16().double()).float()
    # Where inputs and results are rounded too: 64 products, each off by up to 2^-8.
    torch.testing.assert_close(Linear(weight, kind=Kind.BF16)(x), expected, atol=0.2, rtol=0.01)


@pytest.mark.parametrize("inputs", [64, 700])
def test_sums_of_whole_numbers_are_never_cut(inputs):
    """The largest inputs and weights side by side, where a processor without VNNI saturates."""
    weight, x = torch.full((32, inputs), 3.0), torch.full((2, inputs), 5.0)
    weight[:, ::5], x[1, ::3] = -3.0, -5.0
    whole = quantise(weight)
    assert whole.whole_OD.abs().min() == 127
    torch.testing.assert_close(Int8Linear(weight)(x), F.linear(x, weight), rtol=1e-5, atol=1e-3)
