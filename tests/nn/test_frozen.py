"""Both products of a frozen matrix, packed and plain."""

from __future__ import annotations

import pytest
import torch

from modiste.nn.frozen import FrozenMatrix


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("rows", [1, 2, 37, 300])
def test_up_and_down_are_the_two_products(dtype: torch.dtype, rows: int) -> None:
    generator = torch.Generator().manual_seed(0)
    weight, bias, x, dy = (
        torch.randn(shape, generator=generator).to(dtype)
        for shape in ((11, 7), (11,), (rows, 7), (rows, 11))
    )
    matrix = FrozenMatrix(weight, bias)
    bound = 0.05 if dtype is torch.bfloat16 else 1e-5  # 8 or 24 bits, sums of 11 terms
    exact = [t.double() for t in (weight, bias, x, dy)]
    torch.testing.assert_close(
        matrix.up(x).double(), exact[2] @ exact[0].t() + exact[1], rtol=bound, atol=bound
    )
    torch.testing.assert_close(
        matrix.down(dy).double(), exact[3] @ exact[0], rtol=bound, atol=2 * bound
    )


def test_the_same_product_has_the_same_bits_every_time() -> None:
    matrix = FrozenMatrix(torch.randn(64, 48))
    x = torch.randn(100, 48)
    first = matrix.up(x)
    assert all(torch.equal(matrix.up(x.clone()), first) for _ in range(5))
