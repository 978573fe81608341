from __future__ import annotations

from typing import Any

import pytest

from modiste.prepare.curate.thin import divergence, one_sided, thin_spots


def _report(**changes: Any) -> dict[str, Any]:
    report: dict[str, Any] = {
        "looked_at": 1_000,
        "tables": {"tone": {"polite": 990, "urgent": 9, "formal": 0, "not told": 1}},
        "topics": {
            "clusters": [
                {"name": "cats", "rows": 600, "share": 0.6},
                {"name": "dogs", "rows": 396, "share": 0.396},
                {"name": "newts", "rows": 4, "share": 0.004},
            ],
            "largest_share": 0.6,
        },
        "openings": [{"words": "tell me about", "rows": 300, "share": 0.3}],
        "likeness": {"compared": 1_000, "nearest_cosine": 0.4, "vendi": 400.0, "vendi_share": 0.4},
        "policy": None,
    }
    return report | changes


def test_values_and_topics_that_few_rows_have_are_thin_the_rarest_first() -> None:
    spots = [(spot["value"], spot["rows"]) for spot in thin_spots(_report(), 0.01)]
    assert spots == [("formal", 0), ("newts", 4), ("urgent", 9)]


def test_cells_of_a_policy_come_last_with_what_they_want() -> None:
    gap = {"category": "S1", "kind": "edge", "task": "any", "rows": 2, "gap": 18}
    report = _report(policy={"gaps": [gap], "warnings": ["S1: too few near-misses"]})
    assert thin_spots(report, 0.01)[-1] == {
        "dimension": "policy",
        "value": "S1 · edge",
        "rows": 2,
        "wanted": 18,
    }
    assert one_sided(report)[-1] == "S1: too few near-misses"


def test_what_too_many_rows_share_is_said() -> None:
    alike = {"compared": 1_000, "nearest_cosine": 0.95, "vendi": 12.0, "vendi_share": 0.012}
    said = " ".join(one_sided(_report(likeness=alike)))
    assert "60% of the rows are about one topic (cats)" in said
    assert "30% of the prompts begin with “tell me about”" in said
    assert "half of the prompts have another that is nearly the same" in said
    assert "1,000 prompts are as various as 12 altogether different ones" in said


def test_divergence_is_zero_for_equal_shares_and_one_for_disjoint_ones() -> None:
    assert divergence({"a": 1, "b": 1}, {"a": 10, "b": 10}) == 0
    assert divergence({"a": 1}, {"b": 1}) == pytest.approx(1)
    assert divergence({}, {"a": 1}) == 1
