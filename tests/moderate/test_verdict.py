"""Readings become decisions; what failed or is unknown is never silently safe."""

from __future__ import annotations

from typing import Any

import pytest

from modiste.moderate.policy import Action, Place, Policy, from_json
from modiste.moderate.rules import Find
from modiste.moderate.verdict import (
    UNKNOWN,
    Failure,
    Reading,
    Wanted,
    detectors_at,
    judge,
    redacted,
    rewritten,
)


def policy(on_error: str = "closed", *, action: str = "block", **category: Any) -> Policy:
    guard = {"name": "g", "kind": "guard", "model": "m", "categories": ["hate", "ads"]}
    return from_json(
        {
            "name": "p",
            "categories": [
                {"code": "hate", "definition": "d", "threshold": 0.6, "action": action, **category},
                {"code": "ads", "definition": "d", "action": "flag", "applies_to": ["output"]},
                {"code": "pii", "title": "personal", "definition": "d", "action": "redact"},
            ],
            "detectors": [
                {**guard, "on_error": on_error},
                {"name": "r", "kind": "personal", "category": "pii"},
            ],
        },
        file="policy",
    )


QUIET = Reading({"pii": 0.0})


def test_a_score_violates_at_its_threshold_and_not_below() -> None:
    for score, violated in ((0.6, True), (0.599, False)):
        told = judge(policy(), Place.INPUT, {"g": Reading({"hate": score}), "r": QUIET})
        assert told.flagged is violated
        assert told.action is (Action.BLOCK if violated else None)
        assert told.scores() == {"hate": score, "pii": 0.0}


def test_only_categories_of_the_place_count() -> None:
    readings = {"g": Reading({"hate": 0.0, "ads": 1.0}), "r": QUIET}
    assert not judge(policy(), Place.INPUT, readings).flagged
    at_output = judge(policy(), Place.OUTPUT, readings)
    assert [each.category for each in at_output.violated] == ["ads"]
    assert at_output.action is Action.FLAG
    assert detectors_at(policy(), Place.RETRIEVED) == ()


@pytest.mark.parametrize(
    ("reading", "why"),
    [
        (Failure("did not answer in 5 s"), "g did not answer in 5 s"),
        (None, "g was not asked"),
        (Reading({}), "g gave no score for hate"),
        (Reading({"hate": float("nan")}), "g gave no score for hate"),
    ],
)
def test_a_failure_is_a_violation_where_closed_and_told_where_open(
    reading: Reading | Failure | None, why: str
) -> None:
    readings = {"r": QUIET} if reading is None else {"g": reading, "r": QUIET}
    closed = judge(policy(), Place.INPUT, readings)
    assert (closed.action, closed.failures[0].failure) == (Action.BLOCK, why)
    assert closed.failures[0].score is None
    opened = judge(policy("open"), Place.INPUT, readings)
    assert (opened.flagged, opened.failures[0].failure) == (False, why)


def test_a_failed_detector_blocks_where_its_category_would_redact() -> None:
    told = judge(policy(), Place.INPUT, {"g": Reading({"hate": 0}), "r": Failure("broke")})
    assert told.action is Action.BLOCK


def test_a_failed_detector_of_a_flagging_category_only_flags() -> None:
    told = judge(policy(action="flag"), Place.INPUT, {"g": Failure("broke"), "r": QUIET})
    assert (told.action, told.flagged) == (Action.FLAG, True)


def test_a_category_nobody_knows_is_no_safe_word() -> None:
    readings = {"g": Reading({"hate": 0.0, "S99": 1.0}), "r": QUIET}
    closed = judge(policy(), Place.INPUT, readings)
    assert (closed.action, closed.violated[0].category) == (Action.BLOCK, UNKNOWN)
    assert "'S99', which p does not know" in str(closed.violated[0].failure)
    assert not judge(policy("open"), Place.INPUT, readings).flagged
    unlikely = {"g": Reading({"hate": 0.0, "S99": 0.1}), "r": QUIET}
    assert not judge(policy(), Place.INPUT, unlikely).flagged


def test_a_request_may_wish_for_other_thresholds_and_fewer_categories() -> None:
    readings = {"g": Reading({"hate": 0.5}), "r": Reading({"pii": 1.0}, [Find("x", (0, 1))])}
    stricter = judge(policy(), Place.INPUT, readings, wanted=Wanted({"hate": 0.4}))
    assert {each.category for each in stricter.violated} == {"hate", "pii"}
    fewer = judge(policy(), Place.INPUT, readings, wanted=Wanted(only=frozenset({"hate"})))
    assert not fewer.flagged


def test_the_strongest_action_decides() -> None:
    readings = {"g": Reading({"hate": 0.9}), "r": Reading({"pii": 1.0}, [Find("x", (0, 1))])}
    told = judge(policy(), Place.INPUT, readings)
    assert told.deciding is not None
    assert (told.deciding.category, told.action) == ("hate", Action.BLOCK)


def test_finds_are_replaced_by_their_category_and_overlaps_once() -> None:
    text = "ab cdef gh"
    finds = [Find("x", (3, 6)), Find("y", (5, 7)), Find("z", (8, 10))]
    told = judge(
        policy(), Place.INPUT, {"g": Reading({"hate": 0}), "r": Reading({"pii": 1}, finds)}
    )
    assert redacted(policy(), told, text) == "ab [personal] [personal]"


def test_a_template_never_reads_what_was_written_as_a_template() -> None:
    made = policy(action="rewrite", template="No {{ category }}: {{text}}")
    told = judge(made, Place.OUTPUT, {"g": Reading({"hate": 1.0, "ads": 0}), "r": QUIET})
    assert told.deciding is not None
    assert rewritten(made, told.deciding, "a {{category}} \\1") == "No hate: a {{category}} \\1"
