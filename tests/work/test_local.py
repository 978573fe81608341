"""A trainer's words and its ends: read in any piece, followed to the last, never left running."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from modiste.actions.runs import Wish
from modiste.errors import LeaseLost
from modiste.work import local
from modiste.work.local import (
    Cancelled,
    Child,
    Died,
    Failed,
    Finished,
    Outcome,
    Stalled,
    Stopped,
    Watch,
    read_events,
    tell,
    write_json,
)

TESTS = Path(__file__).parent


@pytest.fixture
def events(tmp_path: Path) -> Path:
    return tmp_path / "events.jsonl"


def line(name: str, **values: Any) -> str:
    return json.dumps({"event": name, **values}) + "\n"


def test_a_line_that_is_being_written_waits_for_its_end(events: Path) -> None:
    whole, torn = line("step", step=1), line("step", step=2)[:-5]
    events.write_text(whole + torn)
    (said,) = read_events(events, 0)
    assert (said.event["step"], said.end) == (1, len(whole))
    events.write_text(whole + line("step", step=2))
    assert [s.event["step"] for s in read_events(events, said.end)] == [2]


def test_a_missing_file_says_nothing_and_a_restarted_one_is_read_from_its_beginning(
    events: Path,
) -> None:
    assert list(read_events(events, 0)) == []
    events.write_text(line("step", step=1))
    assert [s.event["step"] for s in read_events(events, 10_000)] == [1]


def test_a_broken_line_is_passed_over(events: Path) -> None:
    events.write_text("{broken\n[1]\n" + line("step", step=1))
    assert [s.event for s in read_events(events, 0)][:2] == [{}, {}]
    assert tell(events, 0).events[2]["step"] == 1


@pytest.mark.parametrize(
    ("name", "values", "ending"),
    [
        ("finished", {"adapter_dir": "adapter", "trained_tokens": 9}, Finished),
        ("failed", {"code": "nan", "message": "m"}, Failed("nan", "m")),
        ("cancelled", {}, Cancelled()),
        ("paused", {"step": 7}, Stopped(7)),
    ],
)
def test_what_ends_a_run_stays_unread_so_that_it_is_heard_again(
    events: Path, name: str, values: dict[str, Any], ending: Any
) -> None:
    before = line("step", step=1)
    events.write_text(before + line(name, **values) + line("step", step=2))
    told = tell(events, 0)
    if ending is Finished:
        ending = Finished(events.parent / "adapter", 9)
    assert told.ending == ending
    assert [event["step"] for event in told.events] == [1]
    assert told.offset == len(before)
    assert tell(events, told.offset).ending == ending
    assert [event["step"] for event in tell(events, told.end).events] == [2]


def test_a_json_file_is_replaced_whole(tmp_path: Path) -> None:
    write_json(tmp_path / "deep" / "a.json", {"a": "ü"})
    write_json(tmp_path / "deep" / "a.json", {"a": 2})
    assert json.loads((tmp_path / "deep" / "a.json").read_text()) == {"a": 2}
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["a.json"]


class Run:
    """One stand-in trainer and everything the watch heard and may be told."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.dir = home / "runs" / "job"
        self.dir.mkdir(parents=True)
        self.recorded: list[dict[str, Any]] = []
        self.wish: Wish = Wish.GO_ON
        self.lost = False
        self.draining = False
        self.on_record: Callable[[], None] = lambda: None

    def follow(
        self,
        *,
        offset: int = 0,
        stall_timeout_s: float = 20,
        drain_timeout_s: float = 20,
        **how: Any,
    ) -> Outcome:
        (self.home / "standin.json").write_text(json.dumps(how))
        environment = {**os.environ, "MODISTE_HOME": str(self.home), "PYTHONPATH": str(TESTS)}
        self.child = Child.start(
            "standin_trainer", self.dir, environment=environment, log_name="trainer.log"
        )
        return Watch(
            self.child,
            offset=offset,
            stall_timeout_s=stall_timeout_s,
            drain_timeout_s=drain_timeout_s,
            record=self._record,
            check=self._check,
            draining=lambda: self.draining,
        ).until_end()

    def at_step(self, step: int, act: Callable[[], None]) -> None:
        def look() -> None:
            if self.recorded and self.recorded[-1].get("step", 0) >= step:
                act()

        self.on_record = look

    @property
    def steps(self) -> list[int]:
        return [event["step"] for event in self.recorded if event["event"] == "step"]

    def _record(self, said: list[dict[str, Any]], offset: int) -> None:
        self.recorded += said
        self.on_record()

    def _check(self) -> Wish:
        if self.lost:
            raise LeaseLost("lost")
        return self.wish


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    run = Run(tmp_path)
    yield run
    assert run.child.exit_code is not None, "a trainer was left running"


def test_a_run_is_followed_to_its_finish_without_losing_a_step(run: Run) -> None:
    outcome = run.follow(steps=30, step_s=0.005)
    assert outcome.ending == Finished(run.dir / "adapter", 300)
    assert run.steps == list(range(1, 31))
    assert outcome.offset == (run.dir / "events.jsonl").stat().st_size


def test_one_that_said_its_last_word_has_time_to_exit(
    run: Run, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    assert local.EXIT_GRACE_S == 30
    assert isinstance(run.follow(steps=2, linger_s=1.0).ending, Finished)
    assert run.child.exit_code == 0
    assert not caplog.records
    monkeypatch.setattr(local, "EXIT_GRACE_S", 0.2)
    (run.dir / "events.jsonl").unlink()
    assert isinstance(run.follow(steps=2, linger_s=60.0).ending, Finished)
    assert run.child.exit_code == -signal.SIGKILL
    assert "does not exit by itself" in caplog.text


def test_a_failure_comes_with_its_reason(run: Run) -> None:
    assert run.follow(fail_at=3).ending == Failed("nan_loss", "the loss is NaN at step 3")
    assert run.steps == [1, 2]


def test_a_cancellation_ends_the_trainer_at_once(run: Run) -> None:
    run.at_step(3, lambda: setattr(run, "wish", Wish.CANCEL))
    began = time.monotonic()
    assert run.follow(steps=10_000).ending == Cancelled()
    assert time.monotonic() - began < 15


def test_a_pause_stops_it_behind_a_checkpoint_and_the_next_start_goes_on(run: Run) -> None:
    run.at_step(3, lambda: setattr(run, "wish", Wish.PAUSE))
    paused = run.follow(steps=30)
    assert isinstance(paused.ending, Stopped)
    assert paused.ending.step == run.steps[-1] >= 3
    run.wish, run.on_record = Wish.GO_ON, lambda: None
    assert isinstance(run.follow(steps=30, offset=paused.offset).ending, Finished)
    assert run.steps == list(range(1, 31)), "no step is missing or trained twice"


def test_draining_stops_it_as_a_pause_does(run: Run) -> None:
    run.at_step(3, lambda: setattr(run, "draining", True))
    assert isinstance(run.follow(steps=10_000).ending, Stopped)


def test_one_that_does_not_pause_in_time_is_killed_and_goes_on_later(run: Run) -> None:
    run.at_step(2, lambda: setattr(run, "draining", True))
    outcome = run.follow(steps=30, stall_at=3, drain_timeout_s=0.5)
    assert outcome.ending == Stopped(None)


def test_a_killed_trainer_has_died_with_its_signal(run: Run) -> None:
    ending = run.follow(die_at=3).ending
    assert isinstance(ending, Died)
    assert "signal 9" in ending.how
    assert "memory" in ending.how


def test_one_that_says_nothing_for_too_long_is_stalled(run: Run) -> None:
    ending = run.follow(stall_at=3, stall_timeout_s=1.5).ending
    assert isinstance(ending, Stalled)
    assert ending.quiet_s >= 1.5


def test_a_lost_lease_kills_the_trainer(run: Run) -> None:
    run.at_step(3, lambda: setattr(run, "lost", True))
    with pytest.raises(LeaseLost):
        run.follow(steps=10_000)


def test_a_record_that_raises_kills_the_trainer(run: Run) -> None:
    def refuse() -> None:
        raise LeaseLost("fenced off")

    run.on_record = refuse
    with pytest.raises(LeaseLost):
        run.follow(steps=10_000)


def test_a_trainer_that_cannot_start_leaves_its_last_words(run: Run) -> None:
    (run.dir / "lock").mkdir()
    ending = run.follow().ending
    assert isinstance(ending, Died)
    assert "IsADirectoryError" in ending.last_words
    assert ending.how == "ended with exit code 1"


def test_a_held_run_is_said_to_be_held() -> None:
    assert "held by another trainer" in Died(75, "").how


def test_a_start_forgets_what_an_earlier_trainer_was_asked(run: Run) -> None:
    for flag in ("cancel", "pause"):
        (run.dir / flag).touch()
    assert isinstance(run.follow(steps=3).ending, Finished)


def test_a_trainer_dies_with_the_process_that_started_it(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from modiste.work.local import Child;"
        "import os; c = Child.start('standin_trainer', Path(sys.argv[1]), environment=dict("
        "os.environ), log_name='log'); print(c.process.pid, flush=True); time.sleep(600)"
    )
    environment = {**os.environ, "MODISTE_HOME": str(tmp_path), "PYTHONPATH": str(TESTS)}
    (tmp_path / "standin.json").write_text('{"steps": 100000}')
    worker = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], env=environment, stdout=subprocess.PIPE
    )
    assert worker.stdout is not None
    trainer = psutil.Process(int(worker.stdout.readline()))
    worker.kill()
    worker.wait()
    # The kernel signals at once; a second for a loaded machine to reap the process.
    _, alive = psutil.wait_procs([trainer], timeout=60)
    assert alive == [] or alive[0].status() == psutil.STATUS_ZOMBIE


def test_asking_from_another_thread_is_heard(run: Run) -> None:
    threading.Timer(0.5, lambda: setattr(run, "wish", Wish.CANCEL)).start()
    assert run.follow(steps=10_000).ending == Cancelled()
