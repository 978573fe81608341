"""The HTTP wire, through a real front."""

from __future__ import annotations

import base64
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "api"))
from scripted import TINY, Front, ScriptedEngine, run_front, settings_for

from modiste.prepare import render


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    said = tuple(render.load(TINY).encode("Hello there."))
    yield from run_front(settings_for(tmp_path_factory.mktemp("front")), ScriptedEngine(ids=said))


def ask(client: httpx.Client, text: str, **context: str) -> dict[str, object]:
    answer = client.post("/api/sql/query", json={"query": text, "context": context})
    assert answer.status_code == 200, answer.text
    told: dict[str, object] = answer.json()
    return told


def test_statements_tables_and_errors_have_the_shapes_that_clients_know(front: Front) -> None:
    with front.client() as client:
        assert ask(client, "CREATE PROJECT lab") == {
            "type": "ok", "affected_rows": 0, "context": {"db": "mindsdb"},
        }  # fmt: skip
        assert ask(client, "USE lab")["context"] == {"db": "lab"}
        made = ask(client, "CREATE MODEL m PREDICT a USING prompt='p', model_name='modiste-tiny'",
                   db="lab")  # fmt: skip
        assert made["type"] == "table"
        assert ask(client, "SELECT a FROM m WHERE question = 'x'", db="lab") == {
            "type": "table", "column_names": ["a"], "data": [["Hello there."]],
            "context": {"db": "lab"},
        }  # fmt: skip
        told = ask(client, "SELECT * FROM nope.t")
        assert (told["type"], told["error_code"]) == ("error", 1049)
        assert [each["name"] for each in client.get("/api/projects").json()] == ["mindsdb", "lab"]
        assert client.get("/api/projects/nope").status_code == 404


def test_a_model_answers_rows(front: Front) -> None:
    with front.client() as client:
        ask(client, "CREATE MODEL p PREDICT a USING prompt='p', model_name='modiste-tiny'")
        data = {"data": [{"Question": "x"}, {"Question": None}], "params": {"max_tokens": 1}}
        for name in ("p", "p.1"):
            answer = client.post(f"/api/projects/mindsdb/models/{name}/predict", json=data)
            assert answer.json() == [{"Question": "x", "a": "H"}, {"Question": None, "a": None}]
        gone = client.post("/api/projects/mindsdb/models/gone/predict", json=data)
        assert (gone.status_code, gone.json()["error_code"]) == (404, 1146)


def test_a_key_is_needed_and_may_come_as_a_password(front: Front) -> None:
    with httpx.Client(base_url=front.url) as client:
        assert "mindsdb_version" in client.get("/api/status").json()
        body = {"query": "SELECT 1"}
        assert client.post("/api/sql/query", json=body).status_code == 401
        for key, status in ((front.key, 200), ("wrong", 401)):
            said = base64.b64encode(f"mindsdb:{key}".encode()).decode()
            headers = {"authorization": f"Basic {said}"}
            assert client.post("/api/sql/query", json=body, headers=headers).status_code == status
            headers = {"x-api-key": key}
            assert client.post("/api/sql/query", json=body, headers=headers).status_code == status


def test_rights_are_those_of_the_key(front: Front) -> None:
    with front.client() as client:
        body = {"name": "asks", "scopes": ["infer"]}
        secret = client.post("/v1/keys", json=body).json()["secret"]
    with front.client(secret) as client:
        for text in (
            "CREATE DATABASE d ENGINE='csv' PARAMETERS={'path': 'x.csv'}",
            "CREATE MODEL q PREDICT a USING prompt='p'",
            "CREATE PROJECT q",
        ):
            assert ask(client, text)["error_code"] == 1045


EVIL = (
    "mindsdb`; DROP MODEL safe; --", 'mindsdb"; DROP MODEL safe; --', "mindsdb' OR '1'='1", "../x",
    "information_schema.models", "m.1; DROP MODEL safe", "*", "{{content}}", "x\u0000y", "MINDSDB",
)  # fmt: skip


@pytest.mark.parametrize("evil", EVIL)
def test_what_stands_beside_a_statement_is_a_name_and_nothing_else(front: Front, evil: str) -> None:
    with front.client() as client:
        ask(client, "CREATE MODEL IF NOT EXISTS safe PREDICT a USING prompt='p', "
                    "model_name='modiste-tiny'")  # fmt: skip
        told = ask(client, "SELECT 1", db=evil)
        assert (told["error_code"], told["context"]) == (1049, {"db": "mindsdb"})
        named, rows = quote(evil, safe=""), {"data": [{"question": "x"}]}
        for path in (f"projects/{named}", f"tree/{named}"):
            assert client.get(f"/api/{path}").status_code == 404, path
        for path in (f"projects/{named}/models/safe", f"projects/mindsdb/models/{named}"):
            answer = client.post(f"/api/{path}/predict", json=rows)
            assert answer.status_code in (400, 404), path
        assert ask(client, "SELECT name FROM models WHERE name = 'safe'")["data"] == [["safe"]]


def test_settings_of_a_prediction_are_those_that_a_query_may_say(front: Front) -> None:
    with front.client() as client:
        ask(client, "CREATE MODEL IF NOT EXISTS safe PREDICT a USING prompt='p', "
                    "model_name='modiste-tiny'")  # fmt: skip
        for params in ({"model_name": "x"}, {"max_rows": "1; DROP MODEL safe"},
                       {"max_tokens": "1, prompt = 'x'"}, {"m.max_tokens": 1}):  # fmt: skip
            answer = client.post(
                "/api/projects/mindsdb/models/safe/predict",
                json={"data": [{"question": "x"}], "params": params},
            )
            assert (answer.status_code, answer.json()["type"]) == (400, "error"), params
        evil = {"question": "x'; DROP MODEL safe; --", "a": "{{question}}"}
        answer = client.post("/api/projects/mindsdb/models/safe/predict", json={"data": [evil]})
        assert answer.json() == [{**evil, "a": "Hello there."}]
        assert ask(client, "SELECT name FROM models WHERE name = 'safe'")["data"] == [["safe"]]
