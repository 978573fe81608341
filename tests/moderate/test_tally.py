"""A policy against labelled rows: right, missed, too much, and what nobody could say."""

from __future__ import annotations

from typing import Any

from modiste.moderate.tally import ANY, Counts, Row, tally


def result(failed: str = "", **categories: bool) -> dict[str, Any]:
    decisions = [{"category": code, "failure": None} for code in categories]
    if failed:
        decisions.append({"category": failed, "failure": "broke"})
    return {"categories": categories, "decisions": decisions}


def test_each_row_counts_once_for_each_category() -> None:
    rows = [
        Row(["a"], result(a=True, b=False)),
        Row(["a"], result(a=False, b=True)),
        Row([], result(a=True, b=False)),
        Row([], result(a=False, b=False)),
    ]
    told = tally(["a", "b"], rows)
    assert told["a"] == Counts(found=1, missed=1, over=1, passed=1)
    assert told["b"] == Counts(over=1, passed=3)
    assert told[ANY] == Counts(found=2, over=1, passed=1)
    assert (told["a"].precision, told["a"].recall, told["a"].over_refusal) == (
        (1, 2), (1, 2), (1, 2)
    )  # fmt: skip


def test_a_missing_label_is_unknown_and_a_failure_unscored() -> None:
    rows = [
        Row({"a": True}, result(a=True, b=True)),
        Row({"a": False}, result(a=False, b=False)),
        Row(["a"], result(a=True, b=False, failed="a")),
        Row([], result(b=False, failed="a")),
    ]
    told = tally(["a", "b"], rows)
    assert told["a"] == Counts(found=1, passed=1, unscored=2)
    assert told["b"] == Counts(passed=2)
    assert told[ANY] == Counts(found=1, unscored=2)
