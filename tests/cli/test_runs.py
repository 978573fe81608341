"""Runs as people read them: the figures that count first, those of single parts on demand."""

from __future__ import annotations

from typing import Any

import pytest

from modiste.cli import runs


def metric(name: str, value: float | None, *notes: str, unit: str = "share") -> dict[str, Any]:
    ci = None if value is None else {"lo": value - 0.1, "hi": value + 0.1}
    estimate = None if value is None else {"value": value, "ci": ci, "n": 40, "notes": []}
    return {
        "scorer": "intent", "name": name, "estimate": estimate, "n_unscored": 0, "unit": unit,
        "notes": list(notes),
    }  # fmt: skip


def run(subject: str, *metrics: dict[str, Any]) -> dict[str, Any]:
    return {"id": f"{subject}-0123456789", "subject": subject, "metrics": list(metrics)}


@pytest.fixture
def both() -> list[dict[str, Any]]:
    return [
        run("base", metric("accuracy", 0.5), metric("f1.billing", 0.4, "few of them")),
        run(
            "tuned", metric("accuracy", 0.9, "guessing is right in 20 %"), metric("f1.billing", 0.8)
        ),
    ]


def test_models_stand_below_each_other_metric_by_metric(
    both: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    runs.print_metrics(both, parts=True)
    told = capsys.readouterr()
    rows = [line.split() for line in told.out.splitlines() if line.strip().startswith("intent.")]
    assert [row[:3] for row in rows] == [
        ["intent.accuracy", "base", "50.0"],
        ["intent.accuracy", "tuned", "90.0"],
        ["intent.f1.billing", "base", "40.0"],
        ["intent.f1.billing", "tuned", "80.0"],
    ]
    assert "base intent.f1.billing: few of them" in told.err


def test_figures_of_single_parts_are_counted_and_shown_on_demand(
    both: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    runs.print_metrics(both)
    told = capsys.readouterr()
    assert "f1.billing" not in told.out
    assert "few of them" not in told.err
    assert "tuned intent.accuracy: guessing is right in 20 %" in told.err
    assert "1 figures of single parts: modiste eval show tuned-01 --parts" in told.err


def test_a_metric_without_an_estimate_is_a_dash_and_no_zero(
    capsys: pytest.CaptureFixture[str],
) -> None:
    runs.print_metrics([run("base", metric("mcc", None))])
    assert "–" in capsys.readouterr().out
