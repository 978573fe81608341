"""Parts of one vector that autograd fills in place."""

from __future__ import annotations

import pytest
import torch

from modiste.nn.flat import Flat, slices


def test_values_and_gradients_of_parts_lie_in_the_whole() -> None:
    flat = Flat(10)
    first, second = flat.take(2, 3), flat.take(4)
    with torch.no_grad():
        flat.parameter.copy_(torch.arange(10.0))
    assert first.tolist() == [[0, 1, 2], [3, 4, 5]]
    (first.sum() + 2 * second.sum()).backward()
    (first.sum()).backward()
    assert flat.parameter.grad.tolist() == [2.0] * 6 + [2.0] * 4


def test_slices_are_leaves_inside_their_part() -> None:
    flat = Flat(6)
    part = flat.take(3, 2)
    each = slices(part)
    (each[1] * 5).sum().backward()
    assert part.grad.tolist() == [[0, 0], [5, 5], [0, 0]]
    assert flat.parameter.grad.tolist() == [0, 0, 5, 5, 0, 0]


def test_more_than_there_is_cannot_be_taken() -> None:
    flat = Flat(3)
    flat.take(2)
    with pytest.raises(ValueError, match="4 values are taken of 3"):
        flat.take(2)
