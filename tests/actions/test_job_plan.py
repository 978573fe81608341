"""The plan of a job on the machine that will train it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from modiste import settings as settings_module
from modiste.actions import job_checks, job_plan
from modiste.actions.job_checks import DataFile, Found
from modiste.actions.job_plan import Trainer, planned, trainer_of
from modiste.tune.plan import Plan
from modiste.tune.room import Room
from modiste.tune.spec import TuneSpec, parse
from modiste.tune.speeds import Speeds

TINY = Path(settings_module.__file__).parent / "bases" / "tiny"
ROW = {"messages": [{"role": "user", "content": "a?"}, {"role": "assistant", "content": "b."}]}
HERE = Room("cpu", "a CPU, 2 cores", 10**10, 10**10, 10**10, 10**12)
FAST = Speeds(5_000.0, 15_000.0, rests_on="measured just now", measured=True)


class Stopwatch:
    """Stands for the calibration, which other tests run for real."""

    def __init__(self) -> None:
        self.asked = 0

    def __call__(
        self, made: Plan, base_path: Path, *, mean_tokens: int, threads: int
    ) -> Speeds | None:
        self.asked += 1
        assert base_path == TINY
        assert mean_tokens > 5
        return FAST


@pytest.fixture
def found(tmp_path: Path) -> Found:
    path = tmp_path / "train.jsonl"
    path.write_text(json.dumps(ROW) + "\n")
    file = DataFile("train", path, "train.jsonl")
    return job_checks.read(spec(), TINY, train=[file], validation=[])


def spec(**changes: object) -> TuneSpec:
    return parse({"model": "m", "data": {"train": [{"file_id": "t"}]}, **changes}).spec


def tried(found: Found, trainer: Trainer, **changes: object) -> Plan:
    return planned(
        spec(**changes),
        found,
        TINY,
        trainer=trainer,
        tokens_per_s=None,
        price_micro_per_million_tokens=0,
    )


def test_a_job_of_minutes_is_worth_a_measurement_and_it_is_made_once(
    found: Found, tmp_path: Path
) -> None:
    watch = Stopwatch()
    trainer = Trainer(HERE, 2, tmp_path / "speeds", watch)
    first = tried(found, trainer, max_steps=100_000)
    assert watch.asked == 1
    assert first.speeds.tokens_per_s == FAST.tokens_per_s
    again = tried(found, trainer, max_steps=100_000)
    assert watch.asked == 1
    assert again.duration == first.duration
    assert "measured on this machine" in again.details
    assert first.figures()["speed"]["key"] == first.speed_key != ""


def test_a_job_of_seconds_is_not_worth_one(found: Found, tmp_path: Path) -> None:
    watch = Stopwatch()
    made = tried(found, Trainer(HERE, 2, tmp_path, watch), max_steps=2)
    assert watch.asked == 0
    assert "assumed" in made.details


def test_what_will_not_fit_is_not_measured(found: Found, tmp_path: Path) -> None:
    watch = Stopwatch()
    small = replace(HERE, memory_bytes=10**8, host_bytes=10**8)
    made = tried(found, Trainer(small, 2, tmp_path, watch), max_steps=100_000)
    assert watch.asked == 0
    assert [p.code for p in made.problems] == ["memory_too_small"]


def test_where_training_is_elsewhere_nothing_is_too_large(found: Found, tmp_path: Path) -> None:
    made = tried(found, Trainer(None, 2, tmp_path, Stopwatch()), max_steps=100_000)
    assert not made.problems
    assert made.room is None


def test_the_trainer_is_what_the_settings_say(tmp_path: Path) -> None:
    def of(**flags: object) -> Trainer:
        settings = settings_module.load({"home": tmp_path, **flags}, environment={})
        return trainer_of(settings, measure=Stopwatch())

    assert of(train_threads=3).threads == 3
    assert of().room is not None
    assert of(executor="ray", ray_address="far:6379").room is None
    for executor in ("torchrun", "ray"):
        several = of(executor=executor, train_processes=2, shard_base="never")
        assert several.measure is None
        assert several.room is not None
        assert (several.room.processes, several.room.shard_base) == (2, "never")
    assert of().threads == job_plan.DEFAULT_THREADS
