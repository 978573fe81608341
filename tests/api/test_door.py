"""What every route shares: keys, bodies, one transaction per action."""

from __future__ import annotations

import threading

import httpx
import pytest
from fastapi.exceptions import RequestValidationError
from scripted import Front

from modiste.api import door
from modiste.errors import BadRequest


class Sample(door.Body):
    count: int
    name: str = ""


def test_a_body_is_checked_as_a_whole_and_nothing_is_guessed() -> None:
    assert door.checked(Sample, {"count": 3}) == Sample(count=3)
    with pytest.raises(RequestValidationError) as caught:
        door.checked(Sample, {"count": "3", "name": 4, "nam": ""})
    named = [error["loc"] for error in caught.value.errors()]
    assert named == [("body", "count"), ("body", "name"), ("body", "nam")]


def test_a_body_of_two_kinds_is_described_as_either() -> None:
    described = door.documents(Sample, door.Body)["requestBody"]["content"]["application/json"]
    assert described["schema"] == {
        "anyOf": [
            {"$ref": "#/components/schemas/Sample"},
            {"$ref": "#/components/schemas/Body"},
        ]
    }


def test_a_json_body_has_a_limit(front: Front, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "MAX_JSON_BYTES", 1000)
    with front.client() as client:
        answer = client.post("/v1/keys", json={"name": "x" * 2000, "scopes": ["infer"]})
    assert answer.status_code == 413


def test_json_is_read_whatever_its_content_type_says(front: Front) -> None:
    with front.client() as client:
        answer = client.post("/v1/keys", content=b"{}", headers={"content-type": "text/plain"})
    assert answer.status_code == 422
    assert {entry["loc"][1] for entry in answer.json()["detail"]} == {"name", "scopes"}


def test_an_action_that_fails_leaves_nothing_behind(
    front: Front, monkeypatch: pytest.MonkeyPatch
) -> None:
    from modiste.actions import keys

    really = keys.create

    def create_then_fail(*args: object, **kwargs: object) -> None:
        really(*args, **kwargs)  # type: ignore[arg-type]
        raise BadRequest("second thoughts")

    with front.client() as client:
        before = len(client.get("/v1/keys").json()["data"])
        monkeypatch.setattr(keys, "create", create_then_fail)
        assert client.post("/v1/keys", json={"name": "x", "scopes": ["infer"]}).status_code == 400
        assert len(client.get("/v1/keys").json()["data"]) == before


def test_many_requests_at_once_are_all_answered(front: Front) -> None:
    statuses: list[int] = []

    def ask() -> None:
        with front.client() as client:
            for _ in range(10):
                statuses.append(client.get("/v1/models").status_code)
                made = client.post("/v1/keys", json={"name": "many", "scopes": ["infer"]})
                statuses.append(made.status_code)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert statuses == [200] * 160


def test_a_revoked_key_opens_nothing_at_once(front: Front) -> None:
    with front.client() as admin:
        made = admin.post("/v1/keys", json={"name": "short", "scopes": ["infer"]}).json()
        with front.client(made["secret"]) as client:
            assert client.get("/v1/models").status_code == 200
            admin.delete(f"/v1/keys/{made['id']}").raise_for_status()
            assert client.get("/v1/models").status_code == 401
    assert httpx.get(f"{front.url}/v1/models").status_code == 401
