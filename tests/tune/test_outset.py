"""tune/outset.py: what a run starts from is complete, and named after all that its numbers need."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from modiste.errors import TuningFailed
from modiste.tune.mixture import Samples, Source
from modiste.tune.outset import Outset, begin
from modiste.tune.spec import TuneSpec
from tests.tune.conftest import ONE_THREAD, samples_of, spec_of


def outset(
    base: Path, spec: TuneSpec, *, samples: Samples | None = None, n_validation: int = 6
) -> Outset:
    return begin(
        spec,
        base,
        sources=[Source("train.jsonl", 1.0, samples or samples_of(30))],
        validation=samples_of(n_validation, seed=1),
        machine=ONE_THREAD,
        sharded=False,
    )


def test_nothing_is_left_open(base: Path) -> None:
    open_ = spec_of(max_steps=None, batch_size=None, max_length=None, checkpoint_steps=None)
    begun = outset(base, open_)
    spec = begun.spec
    assert None not in (spec.max_steps, spec.batch_size, spec.max_length, spec.checkpoint_steps)
    assert spec.eval_steps is not None
    assert begun.mixture.batch_size == spec.batch_size


@pytest.mark.parametrize("changes", [{"seed": 1}, {"learning_rate": 2e-2}, {"max_steps": 13}])
def test_another_number_is_another_run(base: Path, changes: dict[str, Any]) -> None:
    assert outset(base, spec_of(**changes)).belongs_to != outset(base, spec_of()).belongs_to


def test_other_rows_are_another_run_and_another_place_for_its_files_is_none(base: Path) -> None:
    plain = outset(base, spec_of()).belongs_to
    assert outset(base, spec_of(), samples=samples_of(30, seed=5)).belongs_to != plain
    assert outset(base, spec_of(), n_validation=5).belongs_to != plain
    assert outset(base, spec_of(output_dir="elsewhere")).belongs_to == plain


def test_the_best_of_no_evaluation_is_refused(base: Path) -> None:
    with pytest.raises(TuningFailed, match="early_stopping_patience is 2") as told:
        outset(base, spec_of(keep="best", early_stopping_patience=2), n_validation=0)
    assert told.value.error_code == "no_validation"
