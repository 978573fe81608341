"""Detectors at work: endpoints failing in every way, classifiers, guards: a reading or a reason."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import httpx
import pytest

from modiste.actions import classifications
from modiste.actions.answers import Choice, Completion, Usage
from modiste.actions.classifications import Classified, ClassifyAsk
from modiste.actions.detecting import all_readings
from modiste.actions.inference import Renderers, Serving
from modiste.errors import NotFound
from modiste.moderate.guard import Item
from modiste.moderate.policy import from_json
from modiste.moderate.verdict import Failure, Reading
from modiste.serve.sequence import FinishReason
from modiste.serve.upstream import Upstreams
from modiste.settings import Settings
from modiste.types import Actor, ClassifierTarget, LossFunction, Message, Scope

ACTOR = Actor("key_1", "0" * 8, frozenset({Scope.INFER}))
ITEMS = [Item("a"), Item("b")]
FIRST, LAST = (
    {"name": f"word-{word}", "kind": "words", "category": "c", "words": [word]} for word in "ab"
)
ENDPOINT = {
    "name": "d", "kind": "endpoint", "url": "https://a.example/v1", "model": "m",
    "categories": {"bad": "c"}, "timeout_s": 0.5,
}  # fmt: skip


def told(
    detector: dict[str, Any], *, reply: Any = None, ask: Any = None
) -> list[Reading | Failure]:
    """What it says, between two rules that say their own."""
    detectors = [FIRST, detector, LAST]
    policy = from_json(
        {"name": "p", "categories": [{"code": "c", "definition": "d"}], "detectors": detectors},
        file="p",
    )

    async def run() -> list[list[Reading | Failure]]:
        upstreams = Upstreams(Settings(), transport=lambda: httpx.MockTransport(reply))
        serving = Serving(cast(Any, None), cast(Any, None), Renderers(), upstreams)
        try:
            return await all_readings(
                serving, ACTOR, policy.detectors, policy, ITEMS, place=None, ask=ask
            )
        finally:
            await upstreams.close()

    first, found, last = asyncio.run(run())
    assert [cast(Reading, each).scores["c"] for each in (*first, *last)] == [1.0, 0.0, 0.0, 1.0]
    return found


def answering(*results: Any) -> Any:
    return lambda request: httpx.Response(200, json={"id": "x", "results": list(results)})


def test_an_endpoint_scores_texts_in_either_vendors_shape() -> None:
    found = told(
        ENDPOINT,
        reply=answering(
            {"categories": {"bad": True}, "category_scores": {"bad": 0.9}},
            {"flagged": True, "categories": {"bad": False, "odd": True},
             "category_scores": {"bad": 0.1}},
        ),
    )  # fmt: skip
    assert found == [Reading({"bad": 0.9}), Reading({"bad": 0.1, "odd": 1.0})]


async def slow(request: httpx.Request) -> httpx.Response:
    await asyncio.sleep(5)
    return httpx.Response(200)


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        (answering({"category_scores": {"bad": 1}}), "answered 1 results for 2 texts"),
        (answering({"flagged": False}, {"category_scores": {}}), "without category_scores"),
        (lambda request: httpx.Response(401, json={}), "refuses the key"),
        (lambda request: httpx.Response(200, json={"choices": []}), "something else than"),
        (lambda request: httpx.Response(200, text="<html>"), "something else than"),
        (slow, "did not answer in 0.5 s"),
    ],
)
def test_an_endpoint_that_fails_says_why(reply: Any, why: str) -> None:
    found = told(ENDPOINT, reply=reply)
    assert len(found) == 2
    for each in found:
        assert isinstance(each, Failure)
        assert why in each.why or ("0.5 s" in why and "0.5 s" in each.why), each.why


def test_an_endpoint_without_its_key_is_a_failure() -> None:
    found = told({**ENDPOINT, "key_env": "NOBODY_SET_THIS"}, reply=answering())
    assert "NOBODY_SET_THIS" in str(found[0])


KIND, MOOD = (
    ClassifierTarget(name, ("bad", "good"), LossFunction.SINGLE_CLASS) for name in ("kind", "mood")
)
CLASSIFIER = {"name": "d", "kind": "classifier", "model": "ft:x", "categories": {"bad": "c"}}


def served(monkeypatch: pytest.MonkeyPatch, found: Classified) -> None:
    async def create(serving: Serving, actor: Actor, ask: ClassifyAsk) -> Classified:
        if (actor, ask) != (ACTOR, ClassifyAsk("ft:x", ("a", "b"))):
            raise NotFound(f"no model {ask.model}")
        return found

    monkeypatch.setattr(classifications, "create", create)


def test_a_classifier_is_read_by_its_target(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [(0.75, 0.25, 0.125, 0.875), (0.5, 0.5, 0.25, 0.75)]
    served(monkeypatch, Classified((KIND, MOOD), rows, 4))
    named = told({**CLASSIFIER, "target": "mood"})
    assert named == [Reading({"bad": 0.125, "good": 0.875}), Reading({"bad": 0.25, "good": 0.75})]
    for each in (*told(CLASSIFIER), *told({**CLASSIFIER, "target": "tone"})):
        assert isinstance(each, Failure)
        assert "kind, mood" in each.why


def test_the_only_target_needs_no_name(monkeypatch: pytest.MonkeyPatch) -> None:
    served(monkeypatch, Classified((KIND,), [(0.75, 0.25), (0.5, 0.5)], 4))
    assert told(CLASSIFIER)[0] == Reading({"bad": 0.75, "good": 0.25})


def test_a_classifier_that_is_not_there_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    served(monkeypatch, Classified((KIND,), [], 0))
    assert told({**CLASSIFIER, "model": "ft:y"}) == [Failure("failed: no model ft:y")] * 2


def test_a_guard_that_fails_for_one_text_fails_for_that_one_alone() -> None:
    async def ask(model: str, messages: Sequence[Message], max_tokens: int) -> Completion:
        if ">>\nb\n<<" in (messages[-1].content or ""):
            raise NotFound("gone")
        return Completion((Choice(0, "yes", FinishReason.STOP),), Usage(1, 1))

    guard = {"name": "d", "kind": "guard", "model": "m", "categories": ["c"]}
    assert told(guard, ask=ask) == [Reading({"c": 1.0}), Failure("failed: gone")]


def test_a_rule_reads_every_text() -> None:
    rule = {"name": "d", "kind": "words", "category": "c", "words": ["b"]}
    found = told(rule)
    assert [each.scores for each in found if isinstance(each, Reading)] == [{"c": 0.0}, {"c": 1.0}]
