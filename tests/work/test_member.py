"""What one of several trainers leaves for the others, without starting any."""

from __future__ import annotations

import json
import os
import threading
import time
from pathlib import Path

import pytest

from modiste.errors import ProcessLost, TuningFailed
from modiste.nn.base import describe_base
from modiste.tune.group import Alone
from modiste.work import member
from tests.tune import together

from . import several

TINY = Path(__file__).parents[2] / "src/modiste/bases/tiny"


@pytest.fixture
def second_of_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")


def test_a_process_that_was_started_alone_is_the_first() -> None:
    assert not member.several()
    assert member.rank() == 0
    assert isinstance(member.join(), Alone)


@pytest.mark.usefixtures("second_of_two")
@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (TuningFailed("lower max_length", code="out_of_memory"), "out_of_memory", "lower max_"),
        (ZeroDivisionError("by hand"), "internal", "ZeroDivisionError: by hand"),
    ],
)
def test_the_failure_of_another_process_reaches_the_first_once(
    tmp_path: Path, error: Exception, code: str, message: str
) -> None:
    def fail() -> None:
        raise error

    heard: list[member.Words | None] = []
    first = threading.Thread(target=lambda: heard.append(member.words_of_others(tmp_path)))
    first.start()
    assert member.follow(tmp_path, fail) == 0
    first.join()
    (words,) = heard
    assert words is not None
    assert words.code == code
    assert message in words.message
    assert words.message.endswith("(process 1 of 2)")
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("second_of_two")
def test_losing_the_others_is_not_this_process_s_to_tell(tmp_path: Path) -> None:
    (tmp_path / "gave-up-1.json").write_text(json.dumps({"code": "old", "message": "old"}))

    def lose() -> None:
        raise ProcessLost("gone")

    assert member.follow(tmp_path, lose) == 0
    assert not list(tmp_path.iterdir()), "words of an earlier attempt are gone too"


@pytest.mark.usefixtures("second_of_two")
def test_words_that_nobody_hears_are_kept_until_the_next_attempt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(member, "HEARD_WITHIN_S", 0.1)
    assert not member.unheard(tmp_path)

    def fail() -> None:
        raise TuningFailed("lower max_length", code="out_of_memory")

    assert member.follow(tmp_path, fail) == 0
    assert member.unheard(tmp_path)
    words = member.words_of_others(tmp_path, size=8)
    assert words == ("out_of_memory", "lower max_length (process 1 of 8)")
    member.follow(tmp_path, fail)
    member.forget_words(tmp_path)
    assert not list(tmp_path.iterdir())


FAILS_IN_THE_SECOND = """
import os, runpy
from modiste.errors import TuningFailed
from modiste.tune import sft
whole = sft.finetune

def finetune(*arguments, on_event, **named):
    def hear(event):
        on_event(event)
        if os.environ["RANK"] == "1" and event.name == "step" and event.step == 2:
            raise TuningFailed("failed by hand", code="by_hand")
    return whole(*arguments, on_event=hear, **named)

sft.finetune = finetune
runpy.run_module("modiste.work.training", run_name="__main__", alter_sys=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("shard_base", ["never", "always"])
def test_a_failure_in_one_of_two_trainers_is_the_run_s_own(tmp_path: Path, shard_base: str) -> None:
    job = several.make(tmp_path, shard_base=shard_base)
    ended = together.run(FAILS_IN_THE_SECOND, 2, tmp_path)
    assert [one.code for one in ended] == [1, 0], ended
    failed = job.events()[-1]
    assert (failed["event"], failed["code"]) == ("failed", "by_hand")
    assert failed["message"] == "failed by hand (process 1 of 2)"
    assert not list(tmp_path.glob("gave-up*"))


def test_a_process_killed_without_a_word_left_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(member, "HEARD_WITHIN_S", 0.2)
    began = time.monotonic()
    assert member.words_of_others(tmp_path) is None
    assert time.monotonic() - began < 2


def test_processes_on_one_machine_share_its_cores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    info = describe_base(TINY)
    for beside, asked, threads in [("1", None, 2), ("2", None, 2), ("8", None, 1), ("8", 3, 3)]:
        folder = tmp_path / f"{beside}-{asked}"
        folder.mkdir()
        monkeypatch.setenv("LOCAL_WORLD_SIZE", beside)
        machine = member.machine_of(Alone(), folder, info, threads=asked)
        assert machine.threads == threads
