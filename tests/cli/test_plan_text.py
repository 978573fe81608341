"""A plan as people read it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from modiste import settings
from modiste.cli.plan_text import fields, print_plan
from modiste.nn.base import describe_base
from modiste.tune.plan import plan
from modiste.tune.room import Room
from modiste.tune.spec import parse

TINY = Path(settings.__file__).parent / "bases" / "tiny"
GB = 10**9
HERE = Room("cpu", "a CPU, 2 cores", 24 * GB, 20 * GB, 24 * GB, 75 * GB)


def told(room: Room | None = HERE) -> dict[str, object]:
    spec = parse({"model": "tiny", "data": {"train": ["a.jsonl"]}, "epochs": 3}).spec
    base = describe_base(TINY)
    made = plan(spec, n_tokens=60_000, n_examples=500, longest=190, base=base, room=room)
    return {
        "training_steps": made.training_steps,
        "train_tokens": made.train_tokens,
        "train_tokens_per_step": made.train_tokens_per_step,
        "data_tokens": made.data_tokens,
        "epochs": made.epochs,
        "expected_duration_seconds": made.expected_duration_s,
        "cost": 0.5,
        "cost_currency": "EUR",
        "details": made.details,
        "figures": made.figures(),
    }


def test_every_figure_says_what_it_is_made_of() -> None:
    shown = dict(fields(told()))
    assert "sequences of at most 256" in str(shown["steps"])
    assert "epochs of 60,000" in str(shown["tokens"])
    assert "training" in str(shown["takes about"])
    assert "assumed" in str(shown["speed"])
    assert "of the 24.0 GB that this machine has: " in str(shown["memory"])
    assert "of the 75.0 GB that are free" in str(shown["disk"])
    assert "TFLOP at" in str(shown["arithmetic"])
    assert shown["costs"] == "0.50 EUR"


def test_a_gpu_is_told_its_share_of_the_peak() -> None:
    h100 = replace(HERE, device="cuda", name="NVIDIA H100 80GB HBM3", owner="the GPU")
    assert "35% of the device's peak" in str(dict(fields(told(h100)))["arithmetic"])


def test_a_server_without_figures_gets_the_short_form(capsys: pytest.CaptureFixture[str]) -> None:
    print_plan({name: value for name, value in told().items() if name != "figures"})
    shown = capsys.readouterr().out
    assert "takes about" in shown
    assert "memory" not in dict(fields({"training_steps": 1}))


def test_a_machine_elsewhere_has_no_room_to_tell() -> None:
    assert "that" not in str(dict(fields(told(None)))["memory"])
