"""A child that sends requests is watched to its end: asked to stop, killed, never left behind."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modiste.actions.runs import Wish
from modiste.errors import LeaseLost
from modiste.work import watched
from modiste.work.local import Child
from modiste.work.watched import News, Watched, watch

SLEEPER = """
import sys, time
from pathlib import Path
folder = Path(sys.argv[1])
for _ in range(600):
    for word in sys.argv[2:]:
        if (folder / word).exists():
            (folder / "ended").touch()
            sys.exit()
    time.sleep(0.05)
"""


class Bench:
    """What is wanted of the work in hand."""

    def __init__(self) -> None:
        self.stopping, self.wish, self.lost = threading.Event(), Wish.GO_ON, False

    def check(self) -> Wish:
        if self.lost:
            raise LeaseLost("somebody else has it")
        return self.wish


@pytest.fixture
def start(tmp_path: Path) -> Callable[..., Child]:
    """A child that runs a script and ends at one of the words it heeds."""

    def child(script: str = SLEEPER, *heeds: str) -> Child:
        import subprocess
        import sys

        command = [sys.executable, "-c", script, str(tmp_path), *heeds]
        return Child(tmp_path, subprocess.Popen(command), tmp_path / "log")

    return child


def follow(bench: Bench, child: Child, looked: list[float] | None = None) -> Watched:
    seen = [] if looked is None else looked
    return watch(
        bench,  # type: ignore[arg-type]
        child,
        look=lambda: seen.append(time.monotonic()),
        ended=lambda: (child.run_dir / "ended").exists(),
        cancel_grace_s=0.5,
    )


def later(happen: Callable[[], Any], *, after_s: float = 0.3) -> None:
    threading.Timer(after_s, happen).start()


def test_a_child_that_says_it_ended_has_and_one_that_does_not_died(start: Any) -> None:
    looked: list[float] = []
    touch = "import sys, pathlib; (pathlib.Path(sys.argv[1]) / 'ended').touch()"
    assert follow(Bench(), start(touch), looked) is Watched.ENDED
    assert looked, "it was never looked at after its end"


def test_a_child_that_ends_without_a_word_died(start: Any) -> None:
    assert follow(Bench(), start("raise SystemExit(3)")) is Watched.DIED


@pytest.mark.parametrize("heeds", [["cancel"], []])
def test_a_cancelled_child_is_asked_and_then_killed(start: Any, heeds: list[str]) -> None:
    bench, child = Bench(), start(SLEEPER, *heeds)
    bench.wish = Wish.CANCEL
    begun = time.monotonic()
    assert follow(bench, child) is (Watched.ENDED if heeds else Watched.DIED)
    assert time.monotonic() - begun < 10
    assert child.exit_code == (0 if heeds else -9)


def test_a_draining_worker_hands_on_whether_its_child_heeds_or_not(
    start: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watched, "PAUSE_GRACE_S", 0.5)
    bench, child = Bench(), start(SLEEPER)
    later(bench.stopping.set)
    assert follow(bench, child) is Watched.HANDED_ON
    assert (child.run_dir / "pause").exists()
    assert child.exit_code == -9


def test_a_cancellation_is_heard_while_the_worker_drains(start: Any) -> None:
    bench, child = Bench(), start(SLEEPER, "cancel")
    bench.stopping.set()
    later(lambda: setattr(bench, "wish", Wish.CANCEL))
    assert follow(bench, child) is Watched.ENDED


def test_a_child_is_dead_when_its_work_is_lost(start: Any) -> None:
    bench, child = Bench(), start(SLEEPER)
    later(lambda: setattr(bench, "lost", True))
    with pytest.raises(LeaseLost):
        follow(bench, child)
    assert child.exit_code == -9
    with pytest.raises(ProcessLookupError):
        os.kill(child.process.pid, 0)


def test_what_a_child_says_is_written_down_once_while_it_stays_the_same() -> None:
    said = iter([1, 1, 2, 2, 1])
    written: list[int] = []
    news = News(lambda: next(said), written.append)
    for _ in range(5):
        news.look()
    assert written == [1, 2, 1]


def test_what_could_not_be_written_is_written_at_the_next_look() -> None:
    written: list[int] = []

    def write(state: int) -> None:
        if not tries.pop():
            raise OSError("the disk is full")
        written.append(state)

    tries = [True, False]
    news = News(lambda: 1, write)
    with pytest.raises(OSError, match="full"):
        news.look()
    news.look()
    assert written == [1]
