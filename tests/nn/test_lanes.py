"""Gradients of several threads over the same values."""

from __future__ import annotations

import torch

from modiste.nn.flat import Flat, slices
from modiste.nn.lanes import Lane, here


def test_a_gradient_made_in_a_lane_lies_in_the_lane_where_it_would_lie_in_the_whole() -> None:
    flat = Flat(10)
    flat.take(3)
    part = flat.take(2, 2)
    lane = Lane(flat.parameter)
    with lane.entered():
        assert here(part) is not part
        assert here(part) is here(part)
        (here(part) * 2).sum().backward()
        (here(slices(part)[1]) * 5).sum().backward()
    assert here(part) is part
    assert lane.gradient.tolist() == [0, 0, 0, 2, 2, 7, 7, 0, 0, 0]
    assert flat.parameter.grad.tolist() == [0] * 10


def test_a_lane_sees_what_was_learned_since() -> None:
    flat = Flat(2)
    part = flat.take(2)
    lane = Lane(flat.parameter)
    with lane.entered():
        here(part)
    with torch.no_grad():
        flat.parameter.add_(3)
    with lane.entered():
        assert here(part).tolist() == [3, 3]
