"""Threads that learn on one model at the same time, each with a gradient of its own.

Layers read what learns in them through `here`: outside of a lane that is the leaf itself, inside
its twin, another leaf with the same values whose gradient lies in the lane's. Everything else that
a forward and its backward touch is either frozen or belongs to one thread.

Legend: P values that learn.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import torch
from torch import Tensor, nn

from modiste.nn.flat import leaf

_thread = threading.local()


class Lane:
    """What one thread at a time computes in."""

    def __init__(self, flat: nn.Parameter) -> None:
        self.gradient = torch.zeros_like(flat)
        """(P,), laid out as `flat.grad`."""
        self._first = cast(Tensor, flat.grad).storage_offset()
        self._twins: dict[int, nn.Parameter] = {}

    @contextmanager
    def entered(self) -> Iterator[None]:
        """The calling thread's gradients go into the lane, inside the block."""
        _thread.lane = self
        try:
            yield
        finally:
            _thread.lane = None

    def twin(self, part: nn.Parameter) -> nn.Parameter:
        known = self._twins.get(id(part))
        if known is None:
            at = cast(Tensor, part.grad).storage_offset() - self._first
            gradient = self.gradient[at : at + part.numel()].view(part.shape)
            known = self._twins[id(part)] = leaf(part.detach(), gradient)
        return known


def here(part: nn.Parameter) -> nn.Parameter:
    """The leaf that the calling thread learns on."""
    lane: Lane | None = getattr(_thread, "lane", None)
    return part if lane is None else lane.twin(part)
