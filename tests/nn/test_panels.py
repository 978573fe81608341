"""Panel linears compute what torch's twins compute, in every variant of the compiled kernels."""

import pytest
import torch

from modiste.nn import native
from modiste.nn.linear import Kind, in_torch, independent
from modiste.nn.panels import PanelLinear

VARIANTS = [v for v in native.VARIANTS if native.open_variant(v) is not None]
TOLERANCE = {Kind.FP32: 1e-4, Kind.BF16: 1e-4, Kind.INT8: 2e-3}
"""Sums of up to 576 products of size 1, in another order; int8: whole numbers are equal, two
roundings of the scales are not."""

pytestmark = pytest.mark.skipif(not VARIANTS, reason="built without a compiler")


@pytest.fixture(autouse=True)
def _one_thread():
    torch.set_num_threads(1)
    torch.manual_seed(0)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize(("inputs", "outputs"), [(48, 96), (71, 199), (576, 272)])
def test_it_computes_what_torch_computes(variant, kind, inputs, outputs):
    weight, bias = torch.randn(outputs, inputs), torch.randn(outputs)
    ours = PanelLinear(native.open_variant(variant), weight, bias, kind)
    if kind is Kind.BF16:  # Torch's rounds inputs and results too.
        theirs = in_torch(weight.bfloat16().float(), bias, Kind.FP32)
    else:
        theirs = in_torch(weight, bias, kind)
    for rows in (1, 2, 3, 7, 40):
        x = torch.randn(rows, inputs)
        torch.testing.assert_close(ours(x), theirs(x), atol=TOLERANCE[kind], rtol=1e-4)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("kind", Kind)
def test_a_rows_bits_do_not_depend_on_the_other_rows(variant, kind):
    weight = torch.randn(199, 256)
    assert independent(PanelLinear(native.open_variant(variant), weight, None, kind))


def test_bfloat16_weights_give_the_bits_that_float32_weights_give():
    weight, x = torch.randn(96, 71).bfloat16(), torch.randn(20, 71)
    library = native.open_variant(VARIANTS[0])
    rounded = PanelLinear(library, weight, None, Kind.BF16)
    assert torch.equal(rounded(x), PanelLinear(library, weight, None, Kind.FP32)(x))


def test_whole_numbers_are_the_same_in_every_variant():
    weight, x = torch.randn(96, 71), torch.randn(20, 71)
    results = [PanelLinear(native.open_variant(v), weight, None, Kind.INT8)(x) for v in VARIANTS]
    for result in results[1:]:
        # Fused or not, the product of two scales and a sum may round another way.
        torch.testing.assert_close(result, results[0], atol=1e-5, rtol=1e-6)


@pytest.mark.parametrize("kind", Kind)
def test_what_is_no_number_stays_none_and_leaves_its_neighbours_alone(kind):
    linear = PanelLinear(native.open_variant(VARIANTS[0]), torch.randn(32, 64), None, kind)
    x = torch.randn(5, 64)
    clean = linear(x)
    x[2, 17] = torch.nan
    x[3, 5] = torch.inf
    broken = linear(x)
    assert not broken[2].isfinite().any()
    assert not broken[3].isfinite().any()
    assert torch.equal(broken[[0, 1, 4]], clean[[0, 1, 4]])
