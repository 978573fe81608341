"""Figures for people: speed, memory, signs of life."""

from __future__ import annotations

import mmap

import pytest

from modiste.tune import gauges
from modiste.tune.events import Busy, Event


def test_speed_is_that_of_the_last_steps() -> None:
    pace = gauges.Pace()
    pace.add(1000.0, 1, 1)
    for _ in range(gauges.WINDOW_STEPS):
        pace.add(0.5, 100, 25)
    assert pace.speed == (200.0, 50.0, 0.5)


def test_memory_grows_with_what_is_allocated_and_its_peak_stays() -> None:
    before = gauges.memory("cpu")
    # Pages of its own: an allocator may hand out memory that it never gave back.
    block = mmap.mmap(-1, 64 << 20)
    block.write(b"x" * len(block))
    during = gauges.memory("cpu")
    assert during.resident_bytes - before.resident_bytes > 50 << 20
    assert during.peak_resident_bytes >= during.resident_bytes - (1 << 20)
    assert during.gpu_bytes is None
    block.close()


def test_long_work_says_so_every_few_seconds_only(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(gauges.time, "monotonic", lambda: now)
    said: list[Event] = []
    alive = gauges.Heartbeat(said.append)
    for i in range(20):
        now += 1.0
        alive("evaluation", i, 20)
    assert said == [Busy("evaluation", i, 20) for i in (5, 11, 17)]
