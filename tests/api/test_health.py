"""/healthz: 200 with the state of each part, 503 with the name of what is missing."""

from __future__ import annotations

from pathlib import Path

import httpx
from scripted import Front, ScriptedEngine, run_front, settings_for


def test_a_complete_server_is_healthy_and_needs_no_key(front: Front) -> None:
    answer = httpx.get(f"{front.url}/healthz")
    assert answer.status_code == 200
    body = answer.json()
    assert body["status"] == "ok"
    assert set(body["parts"]) == {"front", "database", "workers", "engine", "upstreams"}
    assert {part["state"] for part in body["parts"].values()} == {"ok"}
    assert body["missing"] == []


def test_a_missing_engine_is_named(front: Front, engine: ScriptedEngine) -> None:
    engine.down = True
    answer = httpx.get(f"{front.url}/healthz")
    assert answer.status_code == 503
    assert answer.json()["missing"] == ["engine"]
    assert "no engine listens" in answer.json()["parts"]["engine"]["message"]


def test_missing_workers_are_named_where_workers_are_expected(tmp_path: Path) -> None:
    fronts = run_front(settings_for(tmp_path, workers=1), ScriptedEngine())
    front = next(fronts)
    answer = httpx.get(f"{front.url}/healthz")
    fronts.close()
    assert answer.status_code == 503
    assert answer.json()["missing"] == ["workers"]
    assert answer.json()["parts"]["workers"]["details"] == {"alive": 0, "expected": 1}
