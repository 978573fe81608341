"""Evaluations over HTTP: suites asked, runs followed, samples fetched, answers graded anew."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from scripted import Front

from modiste.actions import eval_runs
from modiste.actions.eval_runs import Outcome
from modiste.evaluate.items import SAMPLES, Answer, Item, Sample, scored
from modiste.store import queue
from modiste.store.database import Database
from modiste.store.queue import WorkerId
from modiste.store.tables import Phase
from modiste.types import EvalCounts

RUNS = "/v1/evals/runs"
ROWS = [{"q": f"q{n}", "a": "x"} for n in range(3)]
HERE = WorkerId.of_this_process("tester")


@pytest.fixture
def client(front: Front) -> Any:
    with front.client() as client:
        yield client


def upload(client: httpx.Client, *rows: Any) -> str:
    content = "".join(json.dumps(row) + "\n" for row in rows or ROWS)
    part = {"file": ("rows.jsonl", content)}
    answer = client.post("/v1/files", files=part, data={"purpose": "evals"})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


def suite(client: httpx.Client, **changes: Any) -> dict[str, Any]:
    if "dataset" not in changes:
        changes["dataset"] = {"file_id": upload(client), "reference": "{{a}}"}
    return {
        "name": "s",
        "prompt": "{{q}}",
        "models": {"base": {"model": "modiste-tiny"}},
        "scorers": ["exact"],
        **changes,
    }


def made(client: httpx.Client, **changes: Any) -> dict[str, Any]:
    answer = client.post(RUNS, json={"suite": suite(client, **changes)})
    assert answer.status_code == 200, answer.text
    assert answer.json()["total"] == 1
    return dict(answer.json()["data"][0])


def ended(front: Front, run_id: str) -> bytes:
    """A worker takes the run and ends it with three samples."""
    samples = [
        Sample(Item(f"r{n}", {}), 0, (), Answer("x"), {"exact": scored(1)}) for n in range(3)
    ]
    lines = b"".join(SAMPLES.dump_json(sample) + b"\n" for sample in samples)
    database = Database(front.settings)
    while True:
        with database.transaction() as tx:
            claim = queue.claim(tx, HERE, {Phase.EVALUATE})
            assert claim is not None
            sha256 = database.blobs.put_bytes(lines).sha256
            outcome = Outcome(EvalCounts(3, 3), sha256, {"primary": "exact.mean"})
            eval_runs.record_ended(tx, claim, outcome)
        if claim.job_id == run_id:
            database.close()
            return lines


def test_a_suite_becomes_a_run_for_each_model(client: httpx.Client) -> None:
    models = {"base": {"model": "modiste-tiny"}, "told": {"model": "modiste-tiny", "system": "x"}}
    body = {"suite": suite(client, models=models)}
    runs = client.post(RUNS, json=body).json()["data"]
    assert [run["subject"] for run in runs] == ["base", "told"]
    assert runs[0]["group"] == runs[1]["group"]
    [only] = client.post(RUNS, json={**body, "models": ["told"]}).json()["data"]
    assert (only["subject"], only["status"], only["object"]) == ("told", "QUEUED", "eval.run")
    assert client.get(f"{RUNS}/{only['id']}").json() == only
    assert client.get(f"{RUNS}/{only['id']}/suite").json() == body["suite"]


def test_runs_are_listed_newest_first_and_filtered(client: httpx.Client) -> None:
    first, second = made(client, name="listed"), made(client, name="listed")
    found = client.get(RUNS, params={"suite": "listed", "page_size": 1}).json()
    assert ([run["id"] for run in found["data"]], found["total"]) == ([second["id"]], 2)
    asked = {"group": first["group"], "status": ["QUEUED", "RUNNING"]}
    assert [run["id"] for run in client.get(RUNS, params=asked).json()["data"]] == [first["id"]]
    assert client.get(RUNS, params={"status": "DONE"}).status_code == 422


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"promt": "x"}, "did you mean 'prompt'?"),
        ({"models": {"base": {"model": "gone"}}}, "gone"),
        ({"dataset": {"path": "/etc/passwd"}}, "no paths"),
        ({"dataset": {"file_id": "../../etc/passwd"}}, "no file"),
        ({"scorers": ["exakt"]}, "exakt"),
        ({"prompt": "{{city}}"}, "city"),
    ],
)
def test_what_is_wrong_is_refused_by_name(
    client: httpx.Client, changes: dict[str, Any], said: str
) -> None:
    refused = client.post(RUNS, json={"suite": suite(client, **changes)})
    assert refused.status_code == 422, refused.text
    assert said in refused.text


def test_every_bad_row_is_told_with_its_line(client: httpx.Client) -> None:
    data = {"file_id": upload(client, ROWS[0], [1], {"q": "x"}), "reference": "{{a}}"}
    refused = client.post(RUNS, json={"suite": suite(client, dataset=data)})
    assert refused.status_code == 422
    assert "line 2" in refused.text
    assert "line 3" in refused.text


def test_samples_are_fetched_and_graded_anew(front: Front, client: httpx.Client) -> None:
    run = made(client)
    one = f"{RUNS}/{run['id']}"
    assert client.get(f"{one}/samples").status_code == 404
    assert client.post(f"{one}/rescore", json={}).status_code == 400
    lines = ended(front, run["id"])
    answer = client.get(f"{one}/samples")
    assert answer.content == lines
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert client.get(one).json()["counts"]["done"] == 3
    anew = client.post(f"{one}/rescore", json={"suite": {"scorers": ["includes"]}}).json()
    assert (anew["source"], anew["status"]) == (run["id"], "QUEUED")
    assert client.get(f"{RUNS}/{anew['id']}/suite").json()["scorers"] == ["includes"]


def test_a_run_is_cancelled_resumed_and_forgotten(client: httpx.Client) -> None:
    one = f"{RUNS}/{made(client)['id']}"
    assert client.delete(one).status_code == 409
    assert client.post(f"{one}/resume").status_code == 409
    assert client.post(f"{one}/cancel").json()["status"] == "CANCELLED"
    assert client.post(f"{one}/resume").json()["status"] == "QUEUED"
    client.post(f"{one}/cancel")
    assert client.delete(one).json()["deleted"] is True
    for verb, path in (("GET", one), ("POST", f"{one}/cancel"), ("GET", f"{one}/samples")):
        assert client.request(verb, path).status_code == 404


def test_the_schema_of_suites_is_there_for_editors(client: httpx.Client) -> None:
    schema = client.get("/v1/evals/schema").json()
    assert {"dataset", "models", "scorers"} <= set(schema["required"])


def test_nobody_gets_in_without_a_key_that_may_infer(front: Front, client: httpx.Client) -> None:
    body = {"name": "d", "scopes": ["data"]}
    key = client.post("/v1/keys", json=body).json()["secret"]
    with front.client(key) as data:
        assert data.get(RUNS).status_code == 403
        assert data.post(RUNS, json={"suite": suite(client)}).status_code == 403
    with front.client("nonsense") as nobody:
        assert nobody.get(RUNS).status_code == 401


@pytest.mark.parametrize("run_id", ["%00", "a" * 5000, "..%2F..%2Fetc", "🤖" * 8, "%" * 8])
def test_strange_ids_are_not_there(client: httpx.Client, run_id: str) -> None:
    for path in (f"{RUNS}/{run_id}", f"{RUNS}/{run_id}/samples"):
        assert client.get(path).status_code in (400, 404, 422)


@pytest.mark.parametrize("body", [{}, {"suite": []}, {"suite": {}}, {"suite": {"name": None}}, []])
def test_strange_bodies_are_refused(client: httpx.Client, body: Any) -> None:
    assert client.post(RUNS, json=body).status_code == 422
