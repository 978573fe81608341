"""Promotions: what switches a name, what does not, and what is kept of it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from modiste.actions import aliases, models, promotions
from modiste.errors import BadRequest, Conflict, Forbidden, InvalidInput, NotFound
from modiste.evaluate.gate_spec import Gate
from modiste.evaluate.record import Run
from modiste.store.database import Database, Tx
from modiste.types import Actor, Model, Promotion, PromotionKind, Scope

sys.path.insert(0, str(Path(__file__).parents[1] / "evaluate"))
from scripted_runs import run, shares

NAME = "support-bot@production"
GATE = Gate.model_validate({"name": "support", "primary": {"metric": "exact"}})


@pytest.fixture
def tuned(tune, upload) -> Model:  # type: ignore[no-untyped-def]
    return tune(upload())  # type: ignore[no-any-return]


@pytest.fixture
def better(tune, upload) -> Model:  # type: ignore[no-untyped-def]
    return tune(upload())  # type: ignore[no-any-return]


def of(model: str | Model, right: int) -> Run:
    """A finished run of a model on 200 items."""
    if isinstance(model, str):
        version, name = model, model
    else:
        assert model.adapter is not None
        version, name = model.adapter.version, model.id
    made = run("x", {"exact": shares(200, right)})
    return replace(
        made,
        record=replace(made.record, model_id=name, model_version=version, run_id=f"run-{right}"),
    )


class House:
    """The actions with runs that the test wrote down."""

    def __init__(self, database: Database, actor: Actor) -> None:
        self.database = database
        self.actor = actor

    def promote(
        self,
        model: str | Model,
        right: int = 150,
        *,
        against: str | Model = "modiste-tiny",
        gate: Gate | None = GATE,
        said_before: tuple[str, ...] = (),
        **more: Any,
    ) -> Promotion:
        new = of(model, right)
        new = replace(new, record=replace(new.record, said_before=said_before))
        runs = {"new": new, "old": of(against, 100)}

        def load(tx: Tx, actor: Actor, run_id: str) -> Run:
            return runs[run_id]

        given: dict[str, Sequence[str]] = {"runs": ["new"], "baselines": ["old"]} if gate else {}
        return promotions.promote(
            self.database,
            self.actor,
            name=NAME,
            model=model if isinstance(model, str) else model.id,
            gate=gate,
            load=load,
            **{**given, **more},
        )

    def rollback(self) -> Promotion:
        with self.database.transaction() as tx:
            return promotions.rollback(tx, self.actor, NAME, reason="it swears")

    def answering(self) -> str:
        with self.database.transaction(write=False) as tx:
            return models.resolve(tx, self.actor, NAME).id

    def history(self) -> list[Promotion]:
        with self.database.transaction(write=False) as tx:
            return list(promotions.history(tx, self.actor, NAME))


@pytest.fixture
def house(database: Database, admin: Actor) -> House:
    return House(database, admin)


def test_a_model_that_passes_its_gate_answers_and_every_number_is_kept(
    house: House, tuned: Model
) -> None:
    made = house.promote(tuned, approved_by=["anna"])
    assert (made.kind, made.model, made.previous) == (PromotionKind.PROMOTED, tuned.id, None)
    assert house.answering() == tuned.id
    (kept,) = house.history()
    assert kept == made
    assert kept.decided_by == house.actor.key_id
    assert kept.approved_by == ("anna",)
    assert kept.gate is not None
    assert kept.gate["outcome"] == "pass"
    assert kept.gate["conditions"][0]["numbers"]["value"] == pytest.approx(0.25)
    assert kept.gate["candidates"][0]["run_id"] == "run-150"


def test_what_does_not_pass_is_refused_kept_and_leaves_the_name_free(
    house: House, tuned: Model
) -> None:
    with pytest.raises(NotFound, match="was never promoted"):
        house.history()
    for right, outcome in ((60, "fail"), (104, "insufficient evidence")):
        made = house.promote(tuned, right)
        assert made.kind is PromotionKind.REFUSED
        assert made.gate is not None
        assert made.gate["outcome"] == outcome
    with pytest.raises(NotFound):
        house.answering()
    with house.database.transaction(write=False) as tx:
        assert promotions.list_(tx, house.actor) == ()
    with house.database.transaction() as tx:
        aliases.set_(tx, house.actor, NAME, "modiste-tiny")
    assert [each.kind for each in house.history()] == [PromotionKind.REFUSED] * 2


def test_an_override_needs_a_reason_and_says_who_and_why(house: House, tuned: Model) -> None:
    with pytest.raises(InvalidInput, match="no gate is given"):
        house.promote(tuned, gate=None)
    with pytest.raises(InvalidInput, match="override is empty"):
        house.promote(tuned, gate=None, override="  ")
    made = house.promote(tuned, 60, override="the old one leaks prices")
    assert (made.kind, made.reason) == (PromotionKind.OVERRIDDEN, "the old one leaks prices")
    assert made.gate is not None
    assert made.gate["outcome"] == "fail"
    assert house.answering() == tuned.id
    with house.database.transaction(write=False) as tx:
        assert promotions.list_(tx, house.actor) == (made,)
    with pytest.raises(Conflict, match="already"):
        house.promote(tuned)


def test_rollback_goes_back_one_promotion_at_a_time(
    house: House, tuned: Model, better: Model
) -> None:
    with house.database.transaction() as tx:
        aliases.set_(tx, house.actor, NAME, "modiste-tiny")
    house.promote(tuned)
    house.promote(better, against=tuned)
    assert house.answering() == better.id
    assert house.promote(tuned, 60, against=better).kind is PromotionKind.REFUSED
    back = house.rollback()
    assert (back.model, back.previous) == (tuned.id, better.id)
    assert (back.kind, back.reason) == (PromotionKind.ROLLED_BACK, "it swears")
    house.rollback()
    assert house.answering() == "modiste-tiny"
    with pytest.raises(BadRequest, match="No model answered to"):
        house.rollback()
    assert [each.kind for each in house.history()] == [
        PromotionKind.ROLLED_BACK,
        PromotionKind.ROLLED_BACK,
        PromotionKind.REFUSED,
        PromotionKind.PROMOTED,
        PromotionKind.PROMOTED,
    ]


def test_a_promoted_name_is_not_switched_or_removed_by_hand(house: House, tuned: Model) -> None:
    house.promote(tuned)
    with house.database.transaction() as tx, pytest.raises(Conflict, match="models rollback"):
        aliases.set_(tx, house.actor, NAME, "modiste-tiny")
    with house.database.transaction() as tx, pytest.raises(Conflict, match="--override"):
        aliases.remove(tx, house.actor, NAME)
    with house.database.transaction() as tx, pytest.raises(Conflict, match="models rollback"):
        models.delete(tx, house.actor, tuned.id)
    assert house.answering() == tuned.id


def test_runs_of_another_model_or_of_other_weights_prove_nothing(
    house: House, tuned: Model, better: Model
) -> None:
    def load(tx: Tx, actor: Actor, run_id: str) -> Run:
        return of(tuned, 150) if run_id == "new" else of("modiste-tiny", 100)

    def promote(model: str) -> Promotion:
        return promotions.promote(
            house.database, house.actor, name=NAME, model=model, gate=GATE,
            runs=["new"], baselines=["old"], load=load,
        )  # fmt: skip

    with pytest.raises(InvalidInput, match=f"run-150 is of {tuned.id}"):
        promote(better.id)
    stale = of(tuned, 150)
    stale = replace(stale, record=replace(stale.record, model_version="sha256:before"))
    with pytest.raises(InvalidInput, match="as it is now"):
        promotions.promote(
            house.database, house.actor, name=NAME, model=tuned.id, gate=GATE, runs=["new"],
            baselines=["old"], load=lambda tx, actor, run_id: stale,
        )  # fmt: skip


def test_a_win_over_another_model_than_the_one_that_answers_is_none(
    house: House, tuned: Model, better: Model
) -> None:
    house.promote(tuned)
    made = house.promote(better, against="modiste-tiny")
    assert made.kind is PromotionKind.REFUSED
    condition = made.gate["conditions"][-1]  # type: ignore[index]
    assert condition["name"] == "baseline is what answers now"
    assert tuned.id in condition["sentence"]


def test_a_model_measured_with_a_prompt_of_its_own_is_not_promoted_without_it(
    house: House, tuned: Model
) -> None:
    refused = house.promote(tuned, said_before=("system prompt", "4 examples"))
    assert refused.kind is PromotionKind.REFUSED
    assert refused.gate is not None
    told = [c["sentence"] for c in refused.gate["conditions"] if c["outcome"] == "fail"]
    assert told == [
        "its runs put 4 examples and system prompt before the question, which a name does not"
    ]


def test_a_key_that_may_not_train_may_not_promote(house: House, tuned: Model) -> None:
    reader = House(
        house.database, Actor(house.actor.key_id, house.actor.org, frozenset({Scope.INFER}))
    )
    with pytest.raises(Forbidden):
        reader.promote(tuned)
    house.promote(tuned)
    with pytest.raises(Forbidden):
        reader.rollback()
