"""The door hangs in the front, with its packages and without."""

from __future__ import annotations

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from modiste.api import edge
from modiste.sql import mount


def test_without_its_packages_the_door_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert mount.missing() == []
    monkeypatch.setattr(mount, "NEEDED", ("json", "no_such_package"))
    app = FastAPI()
    edge.install(app)
    mount.mount(app)
    answer = TestClient(app).post("/api/sql/query", json={"query": "SELECT 1"})
    assert answer.status_code == 422
    assert "no_such_package" in answer.text
    assert "modiste[sql]" in answer.text
