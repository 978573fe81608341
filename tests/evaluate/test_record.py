"""What a run rests on is kept as JSON and read back whole; its figures are found by name."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from modiste.evaluate.metric import Metric
from modiste.evaluate.record import RECORD, Record, Run

NOW = datetime(2026, 11, 30, 7, 0, tzinfo=UTC)
RUN_RECORD = Record(
    run_id="r", suite="s", subject="base", model="m@production", model_id="m", model_version="v",
    dataset_sha256="d", n_items=3, prompt_sha256="p", attempts=2, sampling={"temperature": 0.5},
    scorers={"exact": "id"}, primary="exact.mean", code_version="1", started_at=NOW,
)  # fmt: skip


def test_a_record_is_kept_whole() -> None:
    for record in (RUN_RECORD, replace(RUN_RECORD, finished_at=NOW, parity_passed=False)):
        assert RECORD.validate_json(RECORD.dump_json(record)) == record


def test_a_figure_is_found_by_its_name_or_the_first_of_its_scorer() -> None:
    figures = [Metric("labels", name, None) for name in ("accuracy", "macro_f1")]
    run = Run(RUN_RECORD, (), figures)
    assert run.metric("labels.macro_f1") is figures[1]
    assert run.metric("labels") is figures[0]
    with pytest.raises(KeyError, match=r"labels\.recall"):
        run.metric("labels.recall")
