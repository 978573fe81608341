"""The speed of this machine, measured in a process that may fail."""

from __future__ import annotations

from pathlib import Path

import pytest

from modiste import settings as settings_module
from modiste.nn.base import describe_base
from modiste.tune.plan import plan
from modiste.tune.spec import parse
from modiste.work.calibration import measured

TINY = Path(settings_module.__file__).parent / "bases" / "tiny"


def made(**changes: object):  # type: ignore[no-untyped-def]
    spec = parse({"model": "m", "data": {"train": ["a.jsonl"]}, **changes}).spec
    base = describe_base(TINY)
    return plan(spec, n_tokens=600, n_examples=20, longest=40, base=base)


def test_the_base_that_ships_is_measured_in_a_child() -> None:
    found = measured(made(batch_size=1, max_steps=2), TINY, mean_tokens=30, threads=1)
    assert found is not None
    assert found.tokens_per_s > 10
    assert found.measured


def test_what_cannot_be_measured_is_no_error(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert measured(made(), tmp_path, mean_tokens=30, threads=1) is None
    assert "no such" in caplog.text or "not a model folder" in caplog.text


def test_it_ends_when_it_takes_too_long() -> None:
    assert measured(made(), TINY, mean_tokens=30, threads=1, timeout_s=0.2) is None
