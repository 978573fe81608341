"""How fast a run is and what it occupies: figures for people, never part of what is computed."""

from __future__ import annotations

import resource
import sys
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple

import psutil
import torch

from modiste.nn.base import BaseInfo
from modiste.tune import flops
from modiste.tune.events import Busy, Event
from modiste.tune.spec import TuneSpec

WINDOW_STEPS = 20
HEARTBEAT_S = 5.0
"""Between words about work that takes long; who says nothing for long is taken for stuck."""


class Speed(NamedTuple):
    tokens_per_s: float
    trained_tokens_per_s: float
    step_s: float


class Pace:
    """Speed over the last steps, evaluations and checkpoints left out."""

    def __init__(self) -> None:
        self._steps: deque[tuple[float, int, int]] = deque(maxlen=WINDOW_STEPS)

    def add(self, seconds: float, n_tokens: int, n_trained: int) -> None:
        self._steps.append((seconds, n_tokens, n_trained))

    @property
    def speed(self) -> Speed:
        seconds = max(1e-9, sum(s for s, _, _ in self._steps))
        return Speed(
            sum(n for _, n, _ in self._steps) / seconds,
            sum(n for _, _, n in self._steps) / seconds,
            seconds / max(1, len(self._steps)),
        )


class Memory(NamedTuple):
    resident_bytes: int
    peak_resident_bytes: int
    """Since the process began, loading included."""
    gpu_bytes: int | None
    peak_gpu_bytes: int | None


def memory(device: str) -> Memory:
    scale = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale
    on_gpu = device.startswith("cuda")
    return Memory(
        psutil.Process().memory_info().rss,
        peak,
        torch.cuda.memory_allocated() if on_gpu else None,
        torch.cuda.max_memory_allocated() if on_gpu else None,
    )


def mfu(spec: TuneSpec, base: BaseInfo, device: str, tokens_per_s: float) -> float | None:
    """Share of the GPU's peak that is useful work; None on a CPU and on unknown GPUs."""
    if not device.startswith("cuda"):
        return None
    name = torch.cuda.get_device_name()
    return flops.mfu(spec, base, tokens_per_s=tokens_per_s, device_name=name)


class Heartbeat:
    """Says Busy while something takes long, at most every few seconds."""

    def __init__(self, on_event: Callable[[Event], None]) -> None:
        self._on_event = on_event
        self._said_at = time.monotonic()

    def __call__(self, doing: str, n_done: int, n_all: int) -> None:
        now = time.monotonic()
        if now - self._said_at > HEARTBEAT_S:
            self._said_at = now
            self._on_event(Busy(doing, n_done, n_all))

    def rest(self) -> None:
        """Something else was said."""
        self._said_at = time.monotonic()
