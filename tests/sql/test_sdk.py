"""What `mindsdb_sdk` asks beside statements; the SDK itself walks in `tests/journeys`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "api"))
from scripted import Front, ScriptedEngine, run_front, settings_for
from speaking import write_files


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    settings = settings_for(tmp_path_factory.mktemp("front"))
    write_files(settings.sql_files)
    yield from run_front(settings, ScriptedEngine())


def ask(client: httpx.Client, text: str) -> None:
    told = client.post("/api/sql/query", json={"query": text}).json()
    assert told["type"] != "error", told


def test_a_login_gives_back_the_key_and_nothing_for_a_wrong_one(front: Front) -> None:
    with httpx.Client(base_url=front.url) as client:
        told = client.post("/api/login", json={"username": "x", "password": front.key})
        assert told.json() == {"token": front.key}
        assert client.post("/api/login", json={"password": "wrong"}).status_code == 401
        assert client.get("/api/tree/").status_code == 401


def test_the_tree_shows_databases_and_what_is_in_them(front: Front) -> None:
    with front.client() as client:
        ask(client, "CREATE DATABASE shop ENGINE = 'sqlite' PARAMETERS = {'path': 'shop.db'}")
        ask(client, "CREATE VIEW short AS (SELECT id FROM shop.asked)")
        ask(client, "CREATE MODEL m PREDICT a USING prompt='p', model_name='modiste-tiny'")
        kinds = {node["name"]: node["type"] for node in client.get("/api/tree/").json()}
        assert kinds["information_schema"] == "system"
        assert (kinds["mindsdb"], kinds["shop"]) == ("project", "data")
        inside = {node["name"]: node["type"] for node in client.get("/api/tree/mindsdb").json()}
        assert (inside["m"], inside["short"], inside["models"]) == ("model", "view", "system view")
        tables = client.get("/api/tree/shop").json()
        assert [node["name"] for node in tables] == ["asked", "chats"]
        (schema,) = client.get("/api/tree/shop", params={"all_schemas": "true"}).json()
        assert (schema["class"], schema["children"]) == ("schema", tables)
        assert client.get("/api/tree/nope").status_code == 404


@pytest.mark.parametrize(
    "path", ["projects/mindsdb/agents", "projects/x/knowledge_bases/y", "config", "files/"]
)
def test_what_is_not_here_is_refused_by_name(front: Front, path: str) -> None:
    with front.client() as client:
        for answer in (client.get(f"/api/{path}"), client.put(f"/api/{path}", json={})):
            assert answer.status_code == 422
            assert "not supported" in answer.text
