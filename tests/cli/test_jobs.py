"""Jobs through the command line, against the real front in this process (no worker: they wait)."""

from pathlib import Path

import pytest

from modiste.cli import jobs


@pytest.fixture
def job(modiste, training_file: Path) -> dict:
    return modiste(
        "jobs", "create", "--model", "modiste-tiny", "--file", training_file, "--steps", "3",
        "--suffix", "cli", "--seed", "5", "--json",
    ).json  # fmt: skip


def test_a_job_is_made_from_a_local_file_listed_and_shown(modiste, job: dict) -> None:
    assert job["hyperparameters"]["training_steps"] == 3
    assert job["hyperparameters"]["seed"] == 5
    assert job["auto_start"] is True
    assert [j["id"] for j in modiste("jobs", "list", "--json").json["data"]] == [job["id"]]
    assert modiste("jobs", "list", "--status", "SUCCESS", "--json").json["data"] == []
    assert "training_steps 3" in modiste("jobs", "show", job["id"]).out
    assert "QUEUED" in modiste("jobs", "events", job["id"]).out
    assert "QUEUED" in modiste("jobs", "logs", job["id"]).out


def test_a_job_is_cancelled_and_wait_then_fails(modiste, job: dict) -> None:
    assert modiste("jobs", "cancel", job["id"]).code == 0
    waited = modiste("jobs", "wait", job["id"])
    assert waited.code == 1
    assert "CANCELLED" in waited.err


def test_a_waiting_job_is_paused_and_resumed(modiste, job: dict) -> None:
    assert "paused" in modiste("jobs", "pause", job["id"]).err
    assert "paused" in modiste("jobs", "list").out
    assert "QUEUED" in modiste("jobs", "resume", job["id"]).err


def test_a_dry_run_makes_no_job(modiste, training_file: Path) -> None:
    result = modiste(
        "jobs", "create", "--model", "modiste-tiny", "--file", training_file, "--dry-run", "--json"
    )
    assert result.code == 0, result.err
    assert result.json["train_tokens"] > 0
    assert modiste("jobs", "list", "--json").json["data"] == []


def test_everything_wrong_with_a_job_is_said_at_once(modiste) -> None:
    result = modiste(
        "jobs", "create", "--model", "nope", "--file", "no-such-file", "--suffix", "a:b"
    )
    assert result.code == 2
    assert all(word in result.err for word in ("nope", "no-such-file", "a:b"))


def test_an_unknown_job_fails(modiste) -> None:
    assert modiste("jobs", "show", "nope").code == 1


def test_a_training_file_may_carry_a_weight(tmp_path: Path) -> None:
    class NoClient:
        def upload(self, path: Path) -> dict:
            return {"id": f"up-{path.name}"}

    path = tmp_path / "a.jsonl"
    path.write_text("")
    client = NoClient()
    assert jobs._training_file(client, "some-id") == {"file_id": "some-id", "weight": 1.0}
    assert jobs._training_file(client, "some-id:2.5") == {"file_id": "some-id", "weight": 2.5}
    assert jobs._training_file(client, f"{path}:3") == {"file_id": "up-a.jsonl", "weight": 3.0}
    assert jobs._training_file(client, "odd:name") == {"file_id": "odd:name", "weight": 1.0}
