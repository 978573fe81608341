"""The routes of notifications: for admins, a trial and what became of what was to be told."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from receivers import Hook
from scripted import Front, ScriptedEngine, jsonl, run_front, settings_for

CHAT = {"messages": [{"role": "user", "content": "a?"}, {"role": "assistant", "content": "b."}]}


@pytest.fixture
def telling_front(tmp_path: Path, hook: Hook) -> Iterator[Front]:
    told = {"webhook_url": hook.url, "webhook_secret": "whsec_" + "a" * 44}
    permitted = f"127.0.0.1:{hook.port}"
    settings = settings_for(tmp_path, **told, upstream_hosts=permitted)
    with contextmanager(run_front)(settings, ScriptedEngine()) as front:
        yield front


def test_a_job_that_ends_is_told_tried_and_listed(telling_front: Front, hook: Hook) -> None:
    with telling_front.client() as client:
        (tried,) = client.post("/v1/notifications/test").json()["data"]
        assert tried == {"channel": "webhook", "target": None, "ok": True, "error": None}
        assert client.get("/v1/notifications").json() == {"object": "list", "data": []}
        file = client.post("/v1/files", files={"file": ("a.jsonl", jsonl([CHAT]))}).json()
        body = {"model": "modiste-tiny", "training_files": [file["id"]], "hyperparameters": {}}
        job = client.post("/mistral/v1/fine_tuning/jobs", json=body).json()
        client.post(f"/mistral/v1/fine_tuning/jobs/{job['id']}/cancel")
        (told,) = client.get("/v1/notifications").json()["data"]
        assert (told["job_id"], told["channel"], told["target"]) == (job["id"], "webhook", None)
        made = client.post("/v1/keys", json={"name": "x", "scopes": ["train"]}).json()
        other = {"authorization": f"Bearer {made['secret']}"}
        for method, path in (("POST", "/v1/notifications/test"), ("GET", "/v1/notifications")):
            refused = httpx.request(method, telling_front.url + path, headers=other)
            assert refused.status_code == 403
    assert len(hook.got) >= 1


def test_where_nobody_is_set_the_trial_says_so(front: Front) -> None:
    with front.client() as client:
        refused = client.post("/v1/notifications/test")
    assert refused.status_code == 422
    assert "MODISTE_SMTP_HOST" in refused.text
