"""A gate's result: the worst condition counts, and nothing is lost in storage."""

from __future__ import annotations

from modiste.evaluate.gate_result import RESULT, Condition, GateResult, Outcome


def result(*outcomes: Outcome) -> GateResult:
    conditions = tuple(
        Condition(f"c{at}", outcome, "said", {"n": at}) for at, outcome in enumerate(outcomes)
    )
    return GateResult({"name": "g"}, "0" * 64, conditions, (), (), ("anna",))


def test_one_failure_fails_and_one_doubt_leaves_it_open() -> None:
    assert result(Outcome.PASS, Outcome.PASS).outcome is Outcome.PASS
    assert result(Outcome.PASS, Outcome.INSUFFICIENT).outcome is Outcome.INSUFFICIENT
    found = result(Outcome.INSUFFICIENT, Outcome.FAIL, Outcome.PASS)
    assert found.outcome is Outcome.FAIL
    assert [c.name for c in found.in_the_way] == ["c0", "c1"]


def test_ci_can_tell_the_three_outcomes_apart() -> None:
    assert [outcome.exit_code for outcome in Outcome] == [0, 1, 2]


def test_what_is_stored_is_what_was_found() -> None:
    found = result(Outcome.PASS, Outcome.FAIL)
    stored = found.to_json()
    assert stored.pop("outcome") == "fail"
    assert RESULT.validate_python(stored) == found
