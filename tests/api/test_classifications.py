"""Classifications over HTTP: Mistral's shape, pure functions theirs → ours → theirs."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from scripted import ScriptedEngine

from modiste.actions.classifications import Classified
from modiste.api.classifications import ClassificationOut, classification_out
from modiste.types import ClassifierTarget, LossFunction

TARGETS = (
    ClassifierTarget("mood", ("bad", "good"), LossFunction.SINGLE_CLASS),
    ClassifierTarget("of", ("food",), LossFunction.MULTI_CLASS),
)
CHAT = {"messages": [{"role": "user", "content": "Hi"}]}


def test_an_answer_has_one_result_per_input_by_target() -> None:
    made = Classified(TARGETS, [(0.25, 0.75, 0.5), (1.0, 0.0, 0.0)], 12)
    told = classification_out(made, model="m")
    assert ClassificationOut.model_validate(told).results[1]["mood"].scores == {"bad": 1, "good": 0}
    assert told["results"][0] == {
        "mood": {"scores": {"bad": 0.25, "good": 0.75}},
        "of": {"scores": {"food": 0.5}},
    }
    assert told["usage"]["total_tokens"] == 12


def test_the_classifier_that_ships_tells_its_labels(mistral: httpx.Client) -> None:
    told = mistral.get("/v1/models/modiste-moderation").json()
    (target,) = told["classifier_targets"]
    assert "selfharm" in target["labels"]
    listed = mistral.get("/v1/models").json()["data"]
    assert "modiste-moderation" not in [model["id"] for model in listed]


@pytest.mark.parametrize(
    ("path", "given"),
    [
        ("/v1/classifications", "a text"),
        ("/v1/classifications", ["two", "texts"]),
        ("/v1/chat/classifications", CHAT),
        ("/v1/chat/classifications", [CHAT, CHAT]),
    ],
)
def test_a_chat_model_is_refused_with_a_list_that_clients_parse(
    mistral: httpx.Client, engine: ScriptedEngine, path: str, given: Any
) -> None:
    answer = mistral.post(path, json={"model": "modiste-tiny", "input": given})
    assert answer.status_code == 422
    assert "modiste-tiny is no classifier" in answer.json()["message"]
    assert isinstance(answer.json().get("detail", []), list)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/classifications", {"model": "modiste-tiny"}),
        ("/v1/classifications", {"model": "modiste-tiny", "input": []}),
        ("/v1/classifications", {"input": "x"}),
        ("/v1/chat/classifications", {"model": "modiste-tiny", "input": {"messages": []}}),
        ("/v1/chat/classifications", {"model": "modiste-tiny", "input": "x"}),
    ],
)
def test_a_body_without_input_or_model_is_refused(
    mistral: httpx.Client, engine: ScriptedEngine, path: str, body: dict[str, Any]
) -> None:
    assert mistral.post(path, json=body).status_code == 422
