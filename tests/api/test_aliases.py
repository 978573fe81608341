"""Aliases over HTTP: set, switched, listed, and answered to in both dialects."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from scripted import ScriptedEngine

ASK = {"model": "team/bot", "messages": [{"role": "user", "content": "hi"}]}
PATH = "/v1/models/aliases/team/bot"


@pytest.fixture
def alias(mistral: httpx.Client) -> Iterator[httpx.Client]:
    """`team/bot`, whose name holds a slash, stands for the shipped base."""
    answer = mistral.put(PATH, json={"model": "modiste-tiny"})
    assert answer.status_code == 200, answer.text
    yield mistral
    mistral.delete(PATH)


def test_an_alias_answers_through_both_dialects_under_its_own_name(
    alias: httpx.Client, openai: httpx.Client, engine: ScriptedEngine
) -> None:
    for client in (alias, openai):
        answer = client.post("/v1/chat/completions", json=ASK).json()
        assert (answer["model"], answer["choices"][0]["message"]["content"]) == (
            "team/bot",
            "Hello there.",
        )
        assert "team/bot" in client.get("/v1/models/team/bot").json()["aliases"]


def test_the_list_and_the_history_say_what_it_stands_for_and_who_set_it(
    alias: httpx.Client,
) -> None:
    now = alias.get("/v1/models/aliases").json()["data"]
    assert [(row["name"], row["model"]) for row in now] == [("team/bot", "modiste-tiny")]
    key = alias.get("/v1/keys").json()["data"][0]["id"]
    assert (now[0]["set_by"], now[0]["set_at"] > 1_700_000_000) == (key, True)
    assert alias.delete(PATH).json()["model"] is None
    assert alias.get("/v1/models/aliases").json()["data"] == []
    assert [row["model"] for row in alias.get(PATH).json()["data"]][:2] == [None, "modiste-tiny"]


def test_a_name_that_was_never_set_has_no_history(mistral: httpx.Client) -> None:
    answer = mistral.get("/v1/models/aliases/nobody")
    assert answer.status_code == 404
    assert "modiste models alias nobody MODEL" in answer.json()["message"]
