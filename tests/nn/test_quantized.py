"""Four bits: the bytes and values of bitsandbytes, and training as over the values read back."""

from __future__ import annotations

import pytest
import torch

from modiste.nn.quantized import QuantizedMatrix, dequantize, quantize

SHAPES = [(64, 64), (48, 72), (7, 10), (3, 5), (1, 64), (130, 640)]
"""The fourth has an odd number of values; most end in an unfinished block."""


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_bytes_and_values_are_those_of_bitsandbytes(
    shape: tuple[int, int], dtype: torch.dtype
) -> None:
    bnb = pytest.importorskip("bitsandbytes", reason="pip install bitsandbytes")
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(dtype) * 0.02
    packed, state = bnb.functional.quantize_4bit(
        weight, blocksize=64, compress_statistics=True, quant_type="nf4"
    )
    ours = quantize(weight)
    assert torch.equal(ours.packed, packed.flatten())
    assert torch.equal(ours.offset, state.offset)
    assert torch.equal(ours.scales, state.state2.absmax)
    # A single block has no spread, and then any place means zero. Elsewhere bitsandbytes' search on
    # a CPU takes the other neighbour for values in the middle between two: two in a thousand.
    spread = (ours.scales > 0).repeat_interleave(256)[: len(ours.magnitudes)]
    apart = (ours.magnitudes.int() - state.absmax.int())[spread].abs()
    assert int((apart > 1).sum()) == 0
    assert int((apart == 1).sum()) <= max(1, len(apart) // 100)
    read = dequantize(ours._replace(magnitudes=state.absmax), dtype)
    assert torch.equal(read, bnb.functional.dequantize_4bit(packed, state))


def test_a_value_takes_little_more_than_half_a_byte() -> None:
    matrix = QuantizedMatrix(torch.randn(512, 1024), dtype=torch.float32)
    assert matrix.n_bytes / (512 * 1024) < 0.52


def test_values_read_back_are_near() -> None:
    weight = torch.randn(256, 256, generator=torch.Generator().manual_seed(1))
    back = dequantize(quantize(weight), torch.float32)
    # Steps of NF4 are 0.08 to 0.3 of a block's largest value, which is about 2.4 deviations; half
    # a step, root mean square, is 0.09.
    assert 0.05 < float((back - weight).norm() / weight.norm()) < 0.11
    assert torch.equal(dequantize(quantize(torch.zeros(8, 64)), torch.float32), torch.zeros(8, 64))


def test_both_products_are_those_of_the_matrix_read_back() -> None:
    weight, bias = torch.randn(48, 72), torch.randn(48)
    matrix = QuantizedMatrix(weight, bias, dtype=torch.float32)
    read = matrix.dequantize()
    x, dy = torch.randn(5, 72), torch.randn(5, 48)
    torch.testing.assert_close(matrix.up(x), x @ read.t() + bias)
    torch.testing.assert_close(matrix.down(dy), dy @ read)
