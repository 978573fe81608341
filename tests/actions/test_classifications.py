"""Who may ask for labels, how many texts at once, and which models tell any."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from modiste.actions import classifications, inference
from modiste.actions.classifications import AT_ONCE, Classified, ClassifyAsk
from modiste.actions.inference import Renderers, Served, Serving
from modiste.actions.weights import Weights
from modiste.errors import Busy, Forbidden, InvalidInput
from modiste.prepare.classified import text_ids
from modiste.serve.sequence import Embed, Pooling
from modiste.store.database import Database
from modiste.store.tables import ModelRow
from modiste.types import Actor, ClassifierTarget, LossFunction, Message, Role, Scope

TARGETS = (
    ClassifierTarget("mood", ("bad", "good"), LossFunction.SINGLE_CLASS),
    ClassifierTarget("of", ("food",), LossFunction.MULTI_CLASS),
)


@dataclass
class Engine:
    running: int = 0
    most: int = 0
    fails_at: int = -1
    asked: list[Embed] = field(default_factory=list)

    async def embed(self, request: Embed) -> tuple[float, ...]:
        self.asked.append(request)
        if len(self.asked) == self.fails_at:
            raise Busy("full")
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await asyncio.sleep(0)
        finally:
            self.running -= 1
        return (0.25, 0.75, len(request.ids) / 1000)


@pytest.fixture
def engine() -> Engine:
    return Engine()


@pytest.fixture
def serving(
    database: Database, admin: Actor, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> Serving:
    """The shipped base, made a classifier by its row; its adapter's folder is not read here."""
    with database.transaction() as tx:
        row = tx.session.get(ModelRow, "modiste-tiny")
        assert row is not None
        row.classifier_targets = TARGETS

    async def weights_of(serving: Serving, served: Served) -> Weights:
        return Weights(Path(served.model.path), Path("adapter"), "v")

    monkeypatch.setattr(inference, "weights_of", weights_of)
    return Serving(database, engine, Renderers())  # type: ignore[arg-type]


def told(serving: Serving, actor: Actor, *inputs: classifications.Input) -> Classified:
    return asyncio.run(classifications.create(serving, actor, ClassifyAsk("modiste-tiny", inputs)))


def test_many_texts_are_asked_a_few_at_a_time_and_answered_in_their_order(
    serving: Serving, engine: Engine, admin: Actor
) -> None:
    texts = [f"text{' and more' * (at % 7)}" for at in range(300)]
    found = told(serving, admin, *texts)
    renderer = asyncio.run(serving.renderers.get(Path(engine.asked[0].base)))
    lengths = [len(text_ids(text, renderer)) for text in texts]
    assert [row[2] for row in found.probabilities] == [n / 1000 for n in lengths]
    assert found.n_tokens == sum(lengths)
    assert 1 < engine.most <= AT_ONCE
    assert {request.pooling for request in engine.asked} == {Pooling.HEADS}
    assert found.by_name()[0] == {
        "mood": {"bad": 0.25, "good": 0.75},
        "of": {"food": lengths[0] / 1000},
    }


def test_chats_are_read_as_their_prompt(serving: Serving, engine: Engine, admin: Actor) -> None:
    chat = (Message(Role.USER, "Hi"),)
    told(serving, admin, chat)
    renderer = asyncio.run(serving.renderers.get(Path(engine.asked[0].base)))
    assert list(engine.asked[0].ids) == renderer.prompt(chat)


def test_everything_wrong_with_the_inputs_is_said_at_once(serving: Serving, admin: Actor) -> None:
    with pytest.raises(InvalidInput, match=r"input\[0\] has \d+ tokens.*input\[1\]: messages"):
        told(serving, admin, "word " * 3000, ())
    with pytest.raises(InvalidInput, match="0 entries, expected 1"):
        told(serving, admin)


def test_one_failure_ends_the_request(serving: Serving, engine: Engine, admin: Actor) -> None:
    engine.fails_at = 70
    with pytest.raises(Busy, match="full"):
        told(serving, admin, *["x"] * 300)
    assert engine.running == 0


def test_a_key_without_the_scope_may_not_ask(serving: Serving, admin: Actor) -> None:
    with pytest.raises(Forbidden, match="infer"):
        told(serving, replace(admin, scopes=frozenset({Scope.DATA})), "x")


def test_a_classifier_does_not_chat(serving: Serving, admin: Actor) -> None:
    with pytest.raises(InvalidInput, match="ask it at /v1/classifications") as refused:
        asyncio.run(inference.find(serving, admin, "modiste-tiny"))
    assert refused.value.error_code == "model_is_classifier"


def test_a_model_that_writes_does_not_classify(
    database: Database, engine: Engine, admin: Actor
) -> None:
    plain = Serving(database, engine, Renderers())  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="is no classifier") as refused:
        told(plain, admin, "x")
    assert refused.value.error_code == "model_not_classifier"
