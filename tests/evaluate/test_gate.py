"""The gate: what opens it, what shuts it, what is not enough to tell."""

from __future__ import annotations

from typing import Any

import pytest
from scripted_runs import item, run, run_of, sample, shares

from modiste.errors import InvalidInput
from modiste.evaluate.gate import check
from modiste.evaluate.gate_result import RESULT, GateResult, Outcome
from modiste.evaluate.gate_spec import Gate
from modiste.evaluate.record import Run

WIN: dict[str, Any] = {"primary": {"metric": "exact"}}


def model(name: str, right: int, *, n: int = 200, suite: str = "support", **changes: Any) -> Run:
    record = {"suite": suite, "parity_passed": True, **changes}
    return run(name, {"exact": shares(n, right)}, record=record)


def passed(asked: dict[str, Any], new: list[Run], old: list[Run], **more: Any) -> GateResult:
    return check(Gate.model_validate(asked), new, old, **more)


def only(result: GateResult, name: str) -> Any:
    (found,) = [c for c in result.conditions if c.name.startswith(name)]
    return found


@pytest.mark.parametrize(
    ("right", "outcome", "code"),
    [(140, Outcome.PASS, 0), (60, Outcome.FAIL, 1), (104, Outcome.INSUFFICIENT, 2)],
)
def test_a_win_passes_a_loss_fails_and_between_is_not_enough(
    right: int, outcome: Outcome, code: int
) -> None:
    found = passed(WIN, [model("b", right)], [model("a", 100)])
    assert (found.outcome, found.outcome.exit_code) == (outcome, code)
    assert "B − A = " in only(found, "better").sentence
    assert only(found, "better").numbers["baseline"] == 0.5


def test_the_effect_that_is_asked_for_has_to_be_shown_whole() -> None:
    asked = {"primary": {"metric": "exact", "min_effect": 0.1}}
    assert passed(asked, [model("b", 150)], [model("a", 100)]).outcome is Outcome.PASS
    near = passed(asked, [model("b", 122)], [model("a", 100)])
    assert near.outcome is Outcome.INSUFFICIENT
    assert "not shown above the effect of 10 pp" in only(near, "better").sentence


def test_models_shown_to_be_alike_have_no_winner() -> None:
    asked = {"primary": {"metric": "exact", "delta": 0.05}}
    found = passed(asked, [model("b", 1000, n=2000)], [model("a", 1000, n=2000)])
    assert found.outcome is Outcome.FAIL
    assert "equivalent" in only(found, "better").sentence


def test_a_guard_on_another_suite_holds_what_was_there_before() -> None:
    asked = {**WIN, "guards": [{"metric": "exact", "delta": 0.05, "suite": "general"}]}

    def told(kept: int) -> Outcome:
        new = [model("b", 140), model("b", kept, n=1000, suite="general")]
        old = [model("a", 100), model("a", 500, n=1000, suite="general")]
        return only(passed(asked, new, old), "not worse").outcome

    assert told(495) is Outcome.PASS
    assert told(380) is Outcome.FAIL
    assert told(455) is Outcome.INSUFFICIENT


def test_a_guard_on_a_metric_where_less_is_better_looks_the_other_way() -> None:
    asked = {"guards": [{"metric": "errors", "delta": 0.1}]}

    def told(times: float) -> Outcome:
        old, new = (
            run(
                name,
                {"errors": [factor * (at % 4) for at in range(400)]},
                higher_is_better=False,
                unit="points",
            )
            for name, factor in (("a", 1.0), ("b", times))
        )
        return passed(asked, [new], [old]).outcome

    assert told(0.8) is Outcome.PASS
    assert told(1.3) is Outcome.FAIL


@pytest.mark.parametrize(
    ("right", "outcome"),
    [(200, Outcome.PASS), (186, Outcome.INSUFFICIENT), (150, Outcome.FAIL)],
)
def test_a_floor_holds_the_lower_end_of_the_interval(right: int, outcome: Outcome) -> None:
    asked = {"floors": [{"metric": "exact", "at_least": 0.95}]}
    found = passed(asked, [model("b", right)], [])
    assert found.outcome is outcome
    assert "95 % CI" in only(found, "exact").sentence


def test_latency_and_cost_have_ceilings_of_their_own_names() -> None:
    asked = {
        "floors": [{"metric": "exact", "at_least": 0.1}],
        "ceilings": [
            {"metric": "latency.p95", "at_most": 1.0},
            {"metric": "cost.mean", "at_most": 30},
            {"metric": "tokens", "at_most": 39},
        ],
    }
    found = passed(asked, [model("b", 100)], [])
    outcomes = {c.numbers.get("metric"): c.outcome for c in found.conditions}
    assert outcomes["latency.p95"] is Outcome.PASS
    assert outcomes["cost.mean"] is Outcome.PASS
    assert outcomes["tokens.mean"] is Outcome.FAIL


def test_a_cost_that_nobody_knows_is_not_under_its_ceiling() -> None:
    asked = {
        "floors": [{"metric": "exact", "at_least": 0.1}],
        "ceilings": [{"metric": "cost", "at_most": 30}],
    }
    free = run("b", {"exact": shares(200, 100)}, cost_micro=None)
    assert only(passed(asked, [free], []), "cost").outcome is Outcome.INSUFFICIENT


@pytest.mark.parametrize(
    ("certificate", "outcome"),
    [(True, Outcome.PASS), (False, Outcome.FAIL), (None, Outcome.PASS)],
)
def test_a_model_that_is_served_otherwise_than_trained_fails(
    certificate: bool | None, outcome: Outcome
) -> None:
    found = passed(WIN, [model("b", 140, parity_passed=certificate)], [model("a", 100)])
    assert only(found, "parity").outcome is outcome


def test_few_items_and_unscored_ones_open_no_gate() -> None:
    few = passed(WIN, [model("b", 30, n=30)], [model("a", 5, n=30)])
    assert few.outcome is Outcome.INSUFFICIENT
    assert "n = 30, and the gate asks for 50 items" in only(few, "better").sentence
    holes = run("b", {"exact": [*shares(190, 180), *[None] * 10]})
    found = passed(WIN, [holes], [model("a", 60)])
    assert found.outcome is Outcome.INSUFFICIENT
    assert "5.0% of the attempts" in only(found, "better").sentence
    floor = {"floors": [{"metric": "exact", "at_least": 0.5}]}
    assert passed(floor, [holes], []).outcome is Outcome.INSUFFICIENT
    assert passed({**floor, "max_unscored": 0.1}, [holes], []).outcome is Outcome.PASS


def test_a_named_person_has_to_agree_once_approval_is_asked_for() -> None:
    asked = {**WIN, "approvers": {"names": ["anna", "ben", "cleo"], "needed": 2}}
    runs = [model("b", 140)], [model("a", 100)]
    assert passed(asked, *runs).outcome is Outcome.PASS
    assert passed(asked, *runs, approved_by=["anna"]).outcome is Outcome.INSUFFICIENT
    stranger = passed(asked, *runs, approved_by=["anna", "dora"])
    assert "dora is not among them" in only(stranger, "approved").sentence
    assert stranger.outcome is Outcome.INSUFFICIENT
    assert passed(asked, *runs, approved_by=["anna", "anna"]).outcome is Outcome.INSUFFICIENT
    assert passed(asked, *runs, approved_by=["anna", "cleo"]).outcome is Outcome.PASS


def test_runs_that_are_missing_are_all_named() -> None:
    asked = {**WIN, "guards": [{"metric": "exact", "delta": 0.05, "suite": "general"}]}
    with pytest.raises(InvalidInput) as refused:
        passed(asked, [model("b", 140)], [])
    assert "candidate on suite 'general'" in refused.value.message
    assert "baseline on suite 'support'" in refused.value.message


def test_runs_of_two_models_are_no_candidate() -> None:
    with pytest.raises(InvalidInput, match="different models"):
        passed(WIN, [model("b", 1), model("c", 1, suite="general")], [model("a", 1)])


def test_every_number_is_kept_and_the_result_survives_storage() -> None:
    asked = {**WIN, "floors": [{"metric": "exact", "at_least": 0.5}]}
    found = passed(asked, [model("b", 140)], [model("a", 100)], approved_by=[])
    stored = found.to_json()
    assert stored["outcome"] == "pass"
    again = RESULT.validate_python({k: v for k, v in stored.items() if k != "outcome"})
    assert again == found
    numbers = only(found, "better").numbers
    for name in ("baseline", "candidate", "value", "lo", "hi", "se", "n", "p", "mde", "wins"):
        assert numbers[name] is not None
    assert stored["candidates"][0]["dataset_sha256"] == "d" * 64


def test_attempts_of_answers_that_failed_count_as_unscored() -> None:
    from modiste.evaluate.items import Failure

    broken = Failure("timeout", "no answer in 60 s")
    samples = [
        sample(item(at), {"exact": None if at < 9 else 1}, failure=broken if at < 9 else None)
        for at in range(200)
    ]
    asked = {
        "floors": [{"metric": "exact", "at_least": 0.1}],
        "ceilings": [{"metric": "latency", "at_most": 9}],
    }
    found = passed(asked, [run_of("b", samples, ["exact"])], [])
    assert only(found, "latency").outcome is Outcome.INSUFFICIENT


def test_what_else_differs_between_the_runs_is_told_and_kept() -> None:
    new = model("b", 140, prompt_sha256="q" * 64, concurrency=1)
    asked = {**WIN, "ceilings": [{"metric": "latency", "at_most": 9}]}
    found = passed(asked, [new], [model("a", 100)])
    assert "the prompts differ" in only(found, "better").sentence
    assert len(only(found, "better").numbers["notes"]) == 2
    assert "1 requests at a time" in only(found, "latency").name


def test_runs_that_were_imported_open_no_gate_that_does_not_allow_them() -> None:
    theirs = model("b", 180, details={"imported": {"tool": "lm-eval"}})
    found = passed(WIN, [theirs], [model("a", 100)])
    assert found.outcome is Outcome.FAIL
    assert "was imported" in only(found, "runs were made here").sentence
    allowed = passed({**WIN, "allow_imported": True}, [theirs], [model("a", 100)])
    assert allowed.outcome is Outcome.PASS
