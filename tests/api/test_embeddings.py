"""Embeddings over HTTP, in front of an engine that follows a script."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from scripted import TINY, Front, ScriptedEngine

from modiste.prepare import render
from modiste.serve.sequence import Failed, FailureCode, Pooling

EMBED = "/v1/embeddings"
ASK: dict[str, Any] = {"model": "modiste-tiny", "input": "Once upon"}
RENDERER = render.load(TINY)


@pytest.fixture(scope="module", autouse=True)
def sentences(front: Front, sentence_base: Path) -> None:
    """A model that makes embeddings and nothing else."""
    body = {"name": "sentences", "path": str(sentence_base)}
    with front.client() as client:
        client.post("/v1/models/bases", json=body).raise_for_status()


def test_an_answer_has_the_shape_that_every_client_parses(
    mistral: httpx.Client, engine: ScriptedEngine
) -> None:
    body = mistral.post(EMBED, json={**ASK, "input": ["Once upon", "a"]}).json()
    assert len(body.pop("id")) == 32
    n = len(RENDERER.encode("Once upon")) + len(RENDERER.encode("a"))
    assert body.pop("usage") == {"prompt_tokens": n, "completion_tokens": 0, "total_tokens": n}
    vectors = [entry.pop("embedding") for entry in body["data"]]
    assert body == {
        "object": "list",
        "model": "modiste-tiny",
        "data": [{"object": "embedding", "index": 0}, {"object": "embedding", "index": 1}],
    }
    for vector in vectors:
        assert len(vector) == 256
        assert np.linalg.norm(vector) == pytest.approx(1.0)


def test_texts_have_their_own_tokens_and_ids_are_taken_as_they_are(
    openai: httpx.Client, engine: ScriptedEngine
) -> None:
    own = RENDERER.encode("Once upon")
    for given in ("Once upon", ["Once upon"], own, [own]):
        openai.post(EMBED, json={**ASK, "input": given}).raise_for_status()
    assert [list(request.ids) for request in engine.embedded] == [own] * 4
    assert {request.pooling for request in engine.embedded} == {Pooling.MEAN}
    openai.post(EMBED, json={**ASK, "pooling": "last"}).raise_for_status()
    assert engine.embedded[-1].pooling is Pooling.LAST


def test_base64_is_the_same_numbers(openai: httpx.Client, engine: ScriptedEngine) -> None:
    plain = openai.post(EMBED, json=ASK).json()["data"][0]["embedding"]
    packed = openai.post(EMBED, json={**ASK, "encoding_format": "base64"}).json()
    read = np.frombuffer(base64.b64decode(packed["data"][0]["embedding"]), dtype="<f4")
    assert read.tolist() == plain


@pytest.mark.parametrize("name", ["dimensions", "output_dimension"])
def test_fewer_dimensions_are_the_first_ones_of_length_one(
    mistral: httpx.Client, engine: ScriptedEngine, name: str
) -> None:
    whole = mistral.post(EMBED, json=ASK).json()["data"][0]["embedding"]
    short = mistral.post(EMBED, json={**ASK, name: 2}).json()["data"][0]["embedding"]
    expected = np.array(whole[:2]) / np.linalg.norm(whole[:2])
    assert short == pytest.approx(expected.tolist())
    refused = mistral.post(EMBED, json={**ASK, name: 257})
    assert refused.status_code == 422
    assert "the vectors of modiste-tiny have 256" in refused.json()["message"]


def test_an_encoder_frames_its_texts_and_counts_that(
    mistral: httpx.Client, engine: ScriptedEngine
) -> None:
    body = {"model": "sentences", "input": ["the house", [5, 6]]}
    refused = mistral.post(EMBED, json=body)
    assert refused.status_code == 422
    answer = mistral.post(EMBED, json={**body, "input": ["the house"]})
    assert answer.json()["usage"]["prompt_tokens"] == 4
    assert [request.ids[0] for request in engine.embedded] == [2]
    chat = {"model": "sentences", "messages": [{"role": "user", "content": "x"}]}
    told = mistral.post("/v1/chat/completions", json=chat)
    assert told.status_code == 400
    assert "ask it at /v1/embeddings" in told.json()["message"]
    card = mistral.get("/v1/models/sentences").json()
    assert not card["capabilities"]["completion_chat"]
    assert not card["capabilities"]["fine_tuning"]
    assert card["max_context_length"] == 24


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"input": []}, "input"),
        ({"input": ["a", ""]}, "input[1] is empty"),
        ({"input": ["a", "word " * 3000]}, "input[1] has"),
        ({"input": ["word " * 3000, "", "a"]}, "; input[1] is empty"),
        ({"model": "sentences", "input": "the " * 30}, "input[0] has 32 tokens"),
        ({"input": [[5], [4096]]}, "input[1] holds a token"),
        ({"input": ["a"] * 10_001}, "input has 10001 texts"),
        ({"output_dtype": "int8"}, "output_dtype is 'int8'"),
        ({"dimensions": 2, "output_dimension": 3}, "they mean the same"),
        ({"model": None}, "model is missing"),
        ({"model": "mistral-embed"}, "mistral-embed"),
        ({"prompt": "x"}, "prompt"),
    ],
)
def test_what_cannot_be_done_is_named(
    mistral: httpx.Client, engine: ScriptedEngine, change: dict[str, Any], said: str
) -> None:
    answer = mistral.post(EMBED, json={**ASK, **change})
    assert answer.status_code in (400, 422)
    assert said in answer.json()["message"]
    assert engine.embedded == []


def test_a_failure_of_the_engine_is_the_answer(
    openai: httpx.Client, engine: ScriptedEngine
) -> None:
    engine.failure = Failed("", FailureCode.BUSY, "full", 2.0)
    answer = openai.post(EMBED, json={**ASK, "input": ["a", "b"]})
    assert answer.status_code == 429
    assert answer.headers["retry-after"] == "2"


def test_thousands_of_texts_come_back_in_order(
    openai: httpx.Client, engine: ScriptedEngine
) -> None:
    lengths = [1 + at % 7 for at in range(2000)]
    body = {**ASK, "input": [[5] * n for n in lengths]}
    data = openai.post(EMBED, json=body).json()["data"]
    assert [entry["index"] for entry in data] == list(range(2000))
    assert [sum(x > 0 for x in entry["embedding"]) for entry in data] == lengths
