"""What takes less effort is recommended until something else is proven to be better by enough."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from scripted_runs import RECORD, run, shares

from modiste.errors import InvalidInput
from modiste.evaluate.advice import Advice, Prices, Way, advise, taken, way_of
from modiste.evaluate.record import Run
from modiste.evaluate.suite import Shots, Subject

N = 300
WAYS = {"base": Way.BASE, "prompted": Way.PROMPTED, "tuned": Way.TUNED}


def answered(name: str, right: int, **changes: Any) -> Run:
    return run(name, {"exact": shares(N, right)}, **{"cost_micro": None, **changes})


def advised(base: int, prompted: int, tuned: int, **prices: Any) -> Advice:
    runs = {
        "base": answered("base", base),
        "prompted": answered("prompted", prompted),
        "tuned": answered("tuned", tuned),
    }
    return advise(runs, WAYS, prices=Prices(**prices), delta=0.02)


def test_a_subject_is_told_by_what_it_says_and_what_its_model_is() -> None:
    plain = Subject(model="m")
    assert way_of(plain, tuned=False, hosted=False) is Way.BASE
    assert way_of(plain, tuned=False, hosted=True) is Way.LARGER
    assert way_of(plain, tuned=True, hosted=False) is Way.TUNED
    system = Subject(model="m", system="Be brief.")
    assert way_of(system, tuned=False, hosted=False) is Way.PROMPTED
    shots = Subject(model="m", shots=Shots(path="x.jsonl"))
    assert way_of(shots, tuned=False, hosted=False) is Way.FEW_SHOT


def test_a_prompt_is_enough_where_the_tuned_model_is_no_better() -> None:
    found = advised(base=60, prompted=240, tuned=240)
    assert found.recommended is not None
    assert found.recommended.way is Way.PROMPTED
    assert "is enough" in found.sentence


def test_the_tuned_model_is_recommended_where_it_is_better_than_all_else() -> None:
    found = advised(base=60, prompted=120, tuned=270)
    assert found.recommended is not None
    assert found.recommended.way is Way.TUNED
    assert [option.way for option in found.options] == [Way.BASE, Way.PROMPTED, Way.TUNED]


def test_what_the_items_cannot_decide_is_said() -> None:
    found = advised(base=60, prompted=240, tuned=243)
    assert "Not decided by these items: tuned model (tuned)" in found.sentence


def test_costs_without_a_price_are_not_known_rather_than_free() -> None:
    found = advised(60, 120, 270)
    assert all(option.taken is not None for option in found.options)
    assert {option.taken.cost_micro for option in found.options if option.taken} == {None}
    assert "not known" in found.break_even[0]


def test_a_machine_hour_is_shared_by_the_answers_of_the_run() -> None:
    found = taken(answered("base", 10), Prices(hour_micro=3_600_000))
    assert found is not None
    assert found.machine_s == pytest.approx(300 / N)  # Five minutes, in the scripted record.
    assert found.cost_micro == pytest.approx(1000 * 300 / N)


def test_tuning_pays_for_itself_after_its_cost_over_the_saving_of_a_request() -> None:
    slow = {"record": {"finished_at": RECORD.started_at + timedelta(minutes=10)}}
    runs = {"prompted": answered("prompted", 120, **slow), "tuned": answered("tuned", 270)}
    prices = Prices(hour_micro=3_600_000, tuning_micro=2_000_000)
    found = advise(runs, WAYS, prices=prices, delta=0.02)
    # 2,000 against 1,000 micro-units a request, 300 answers in 600 s and in 300 s.
    assert found.break_even == (
        "Against system prompt (prompted), tuning has paid for itself after 2,000 requests.",
    )


def test_one_way_alone_is_refused() -> None:
    with pytest.raises(InvalidInput, match="at least two models"):
        advise({"base": answered("base", 1)}, WAYS, prices=Prices(), delta=0.02)
