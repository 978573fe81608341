"""A trainer that hangs says where, in its own log."""

from __future__ import annotations

import time
from pathlib import Path

from modiste.tune.events import Event, Resumed
from modiste.work.stall import Alarm


def hang(seconds: float) -> None:
    time.sleep(seconds)


def test_silence_writes_the_stacks_and_words_put_it_off(tmp_path: Path) -> None:
    said: list[Event] = []
    with (tmp_path / "log").open("w+") as log:
        with Alarm(said.append, stall_timeout_s=1.0, stream=log) as on_event:
            for _ in range(4):
                hang(0.3)
                on_event(Resumed(1))
            log.seek(0)
            assert log.read() == ""
            hang(1.5)
        log.seek(0)
        assert "in hang" in log.read()
    assert len(said) == 4
