"""What was measured here, kept by what it depends on; time from it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from modiste.tune import speeds
from modiste.tune.memory import Load
from modiste.tune.room import Room
from modiste.tune.speeds import Speeds, Work, assumed, duration, key, of_last_job, recall, remember

from .test_memory import MISTRAL_7B, spec
from .test_plan import BASE

LOAD = Load(190, 4096)
HERE = Room("cpu", "a CPU, 2 cores", 10**10, 10**10, 10**10)
WORK = Work(
    train_tokens=100_000,
    steps=50,
    n_evaluations=6,
    n_validation_tokens=2_000,
    n_checkpoints=5,
    checkpoint_bytes=30_000_000,
    data_tokens=40_000,
)


def test_time_is_start_training_evaluations_checkpoints_and_certificate() -> None:
    spent = duration(WORK, BASE, Speeds(1000.0, 3000.0, update_s=0.1))
    assert spent.training_s == pytest.approx(100 + 5)
    assert spent.evaluations_s == pytest.approx(4)
    assert spent.checkpoints_s == pytest.approx(5 * 0.15)
    assert spent.start_s > speeds.IMPORTS_S
    assert spent.total_s > spent.training_s + spent.evaluations_s + spent.certificate_s


def test_a_gpu_is_assumed_to_be_much_faster_than_a_cpu() -> None:
    h100 = replace(HERE, device="cuda", name="NVIDIA H100 80GB HBM3")
    fast, slow = assumed(spec(), MISTRAL_7B, h100), assumed(spec(), MISTRAL_7B, HERE)
    assert fast.tokens_per_s > 1000 * slow.tokens_per_s
    assert 8_000 < fast.tokens_per_s < 15_000  # published: 5.7k to 14.1k tokens/s
    assert not fast.measured


def test_computing_twice_takes_half_as_long_again() -> None:
    plain, twice = (
        assumed(spec(), BASE, HERE),
        assumed(spec(gradient_checkpointing=True), BASE, HERE),
    )
    assert twice.tokens_per_s == pytest.approx(plain.tokens_per_s / 1.5)


def test_evaluation_is_faster_than_training() -> None:
    last = of_last_job(1000.0, spec(), BASE)
    assert last.forward_tokens_per_s == pytest.approx(2000)
    assert last.measured


def test_a_measurement_is_found_again(tmp_path: Path) -> None:
    measured = Speeds(123.0, 456.0, 0.5, "measured by a test", measured=True)
    folder = tmp_path / "not" / "yet"
    assert recall(folder, "k") is None
    remember(folder, "k", measured)
    assert recall(folder, "k") == measured
    assert [path.name for path in folder.iterdir()] == ["k.json"]


def test_a_damaged_measurement_is_as_good_as_none(tmp_path: Path) -> None:
    (tmp_path / "k.json").write_text('{"tokens_per_s": 1')
    assert recall(tmp_path, "k") is None


def test_a_measurement_holds_for_what_decides_the_speed_and_nothing_else() -> None:
    def of(base=BASE, load=LOAD, room=HERE, threads=2, **changes):  # type: ignore[no-untyped-def]
        return key(spec(**changes), base, load, room, threads=threads)

    mine = of()
    for same in ({"seed": 5}, {"learning_rate": 1e-3}, {"max_steps": 9}, {"lora": {"alpha": 7}}):
        assert of(**same) == mine
    assert of(load=Load(200, 4000)) == mine
    others = [
        of(lora={"rank": 8}),
        of(method="qlora"),
        of(gradient_checkpointing=True),
        of(base=MISTRAL_7B),
        of(load=Load(1000, 4096)),
        of(room=replace(HERE, name="another")),
        of(threads=1),
    ]
    assert len({mine, *others}) == len(others) + 1
