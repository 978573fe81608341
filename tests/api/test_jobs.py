"""Jobs over HTTP, in both dialects on one store. No worker runs: jobs stay where they are put."""

from __future__ import annotations

import itertools
from typing import Any

import httpx
import pytest
import sqlalchemy as sa
from scripted import Front, chat_row, jsonl

from modiste.store.database import Database
from modiste.store.tables import JobRow
from modiste.types import JobStatus

JOBS = "/v1/fine_tuning/jobs"
_seed = itertools.count(1)


@pytest.fixture
def file_id(mistral: httpx.Client) -> str:
    rows = [chat_row(f"question {i}", f"answer {i}") for i in range(20)]
    part = {"file": ("train.jsonl", jsonl(*rows))}
    return str(mistral.post("/v1/files", files=part).json()["id"])


def asked(file_id: str, **changes: Any) -> dict[str, Any]:
    """A job unlike every other."""
    hyperparameters = {"training_steps": 2, "seed": next(_seed)}
    return {
        "model": "open-mistral-7b",
        "training_files": [file_id],
        "hyperparameters": hyperparameters,
        **changes,
    }


def test_a_job_is_one_job_in_two_dialects(
    mistral: httpx.Client, openai: httpx.Client, file_id: str
) -> None:
    answer = mistral.post(JOBS, json=asked(file_id))
    assert answer.status_code == 200
    job = answer.json()
    assert (job["object"], job["status"], job["auto_start"]) == ("job", "QUEUED", False)
    assert "events" not in job
    theirs = openai.get(f"{JOBS}/{job['id']}").json()
    assert (theirs["object"], theirs["status"]) == ("fine_tuning.job", "queued")
    assert theirs["training_file"] == file_id
    detailed = mistral.get(f"{JOBS}/{job['id']}").json()
    assert [event["data"]["status"] for event in detailed["events"]] == ["QUEUED"]
    assert detailed["checkpoints"] == []


@pytest.mark.parametrize(
    ("path", "headers", "expected"),
    [
        ("/v1", {}, "job"),
        ("/v1", {"user-agent": "OpenAI/Python 1.109.1"}, "fine_tuning.job"),
        ("/v1", {"user-agent": "AsyncOpenAI/Python 1.109.1"}, "fine_tuning.job"),
        ("/v1", {"x-stainless-lang": "js"}, "fine_tuning.job"),
        ("/mistral/v1", {"user-agent": "OpenAI/Python 1.109.1"}, "job"),
        ("/openai/v1", {"user-agent": "mistral-client-python/2.5.0"}, "fine_tuning.job"),
    ],
)
def test_the_dialect_is_chosen_by_mount_then_by_headers(
    mistral: httpx.Client,
    file_id: str,
    path: str,
    headers: dict[str, str],
    expected: str,
) -> None:
    job = mistral.post(JOBS, json=asked(file_id)).json()
    headers = {"user-agent": "curl/8"} | headers
    answer = mistral.get(f"{path}/fine_tuning/jobs/{job['id']}", headers=headers)
    assert answer.json()["object"] == expected


def test_a_body_with_training_file_speaks_openai_even_in_its_errors(
    mistral: httpx.Client, file_id: str
) -> None:
    body = {"model": "open-mistral-7b", "training_file": file_id, "seed": next(_seed)}
    made = mistral.post(JOBS, json=body)
    assert made.status_code == 200
    assert made.json()["object"] == "fine_tuning.job"
    wrong = mistral.post(JOBS, json={**body, "suffix": "x" * 65})
    assert wrong.status_code == 400
    assert "suffix" in wrong.json()["error"]["message"]


def test_an_openai_job_starts_by_itself(
    mistral: httpx.Client, openai: httpx.Client, file_id: str
) -> None:
    body = {
        "model": "open-mistral-7b",
        "training_file": file_id,
        "suffix": "my-suffix",
        "seed": next(_seed),
        "metadata": {"team": "blue"},
        "method": {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 1}}},
    }
    job = openai.post(JOBS, json=body).json()
    assert (job["status"], job["seed"], job["suffix"]) == ("queued", body["seed"], "my-suffix")
    assert job["hyperparameters"]["n_epochs"] == 1
    assert mistral.get(f"{JOBS}/{job['id']}").json()["auto_start"] is True
    found = openai.get(JOBS, params={"metadata[team]": "blue"}).json()
    assert [each["id"] for each in found["data"]] == [job["id"]]
    assert openai.get(JOBS, params={"metadata[team]": "red"}).json()["data"] == []


def test_the_0_x_client_gets_a_job_that_starts_and_that_it_can_parse(
    mistral_0: httpx.Client, file_id: str
) -> None:
    hyperparameters = {"training_steps": 1800, "learning_rate": 0.0001}
    body = asked(
        file_id,
        validation_files=None,
        suffix=None,
        integrations=None,
        hyperparameters=hyperparameters,
    )
    answer = mistral_0.post(JOBS, params={"dry_run": "false"}, json=body)
    assert answer.status_code == 200
    job = answer.json()
    assert job["auto_start"] is True
    assert job["hyperparameters"]["training_steps"] == 1800
    assert job["integrations"] == []
    cancelled = mistral_0.post(f"{JOBS}/{job['id']}/cancel", json={})
    assert cancelled.json()["status"] == "CANCELLED"


def test_a_dry_run_creates_nothing(
    mistral: httpx.Client, mistral_0: httpx.Client, file_id: str
) -> None:
    before = mistral.get(JOBS).json()["total"]
    for client in (mistral, mistral_0):
        answer = client.post(JOBS, params={"dry_run": "true"}, json=asked(file_id))
        assert answer.status_code == 200
        told = answer.json()
        assert told["object"] == "job.metadata"
        for name in ("training_steps", "train_tokens_per_step", "data_tokens", "train_tokens"):
            assert isinstance(told[name], int), name
        assert isinstance(told["epochs"], float)
        assert isinstance(told["details"], str)
        assert "expected_duration_seconds" in told
        assert told["deprecated"] is True
    assert mistral.get(JOBS).json()["total"] == before


def test_a_repeated_dry_run_of_the_0_x_client_starts_no_job(
    mistral: httpx.Client, mistral_0: httpx.Client, file_id: str
) -> None:
    before = mistral.get(JOBS).json()["total"]
    answer = mistral_0.post(JOBS, json=asked(file_id))
    assert answer.status_code == 400
    assert "dry_run" in answer.json()["detail"]
    assert mistral.get(JOBS).json()["total"] == before


def test_a_similar_job_is_a_conflict_that_openai_does_not_try_again(
    mistral: httpx.Client, openai: httpx.Client, file_id: str
) -> None:
    body = asked(file_id)
    first = mistral.post(JOBS, json=body).json()
    answer = mistral.post(JOBS, json=body)
    assert answer.status_code == 409
    assert first["id"] in answer.json()["detail"]
    assert answer.headers["x-should-retry"] == "false"
    body = {"model": "modiste-tiny", "training_file": file_id, "seed": next(_seed)}
    openai.post(JOBS, json=body).raise_for_status()
    again = openai.post(JOBS, json=body)
    assert again.status_code == 409
    assert again.json()["error"]["code"] == "similar_job"
    assert again.headers["x-should-retry"] == "false"


def test_a_model_that_cannot_be_tuned_is_refused_in_the_words_of_each_vendor(
    mistral: httpx.Client, openai: httpx.Client, file_id: str
) -> None:
    theirs = mistral.post(JOBS, json=asked(file_id, model="mistral-large-latest"))
    assert theirs.status_code == 422
    assert theirs.json()["detail"].startswith(
        "Model not available for this type of fine-tuning (completion)."
    )
    body = {"model": "mistral-large-latest", "training_file": file_id}
    ours = openai.post(JOBS, json=body)
    assert ours.status_code == 400
    assert ours.json()["error"]["code"] == "model_not_available"
    assert ours.json()["error"]["param"] == "model"


def test_wrong_fields_are_told_all_at_once(mistral: httpx.Client) -> None:
    body = {
        "model": "modiste-tiny",
        "training_files": [{"file_id": 7, "weight": -1}],
        "hyperparameters": {"learning_rate": 5, "epoch": 2},
        "suffix": "x" * 19,
        "auto_start": "yes",
    }
    answer = mistral.post(JOBS, json=body)
    assert answer.status_code == 422
    detail = answer.json()["detail"]
    named = {tuple(entry["loc"][:3]) for entry in detail}
    assert ("body", "suffix") in named
    assert ("body", "auto_start") in named
    assert ("body", "hyperparameters", "learning_rate") in named
    assert ("body", "hyperparameters", "epoch") in named
    assert ("body", "training_files", 0) in named


def test_a_secret_is_never_said_back(mistral: httpx.Client, file_id: str) -> None:
    for key in ("short-secret", "k" * 40):
        wandb = {"type": "wandb", "api_key": key, "projekt": "p"}
        answer = mistral.post(JOBS, json=asked(file_id, integrations=[wandb]))
        assert answer.status_code == 422
        assert key not in answer.text


def test_what_only_the_store_knows_is_told_all_at_once_too(mistral: httpx.Client) -> None:
    body = {
        "model": "nope",
        "training_files": ["gone"],
        "hyperparameters": {},
        "suffix": "a:b",
    }
    answer = mistral.post(JOBS, json=body)
    assert answer.status_code == 422
    for part in ("nope", "gone", "a:b"):
        assert part in answer.json()["detail"]
    empty = mistral.post(JOBS, json={"model": "modiste-tiny", "hyperparameters": {}})
    assert "At least one training file or repository is required." in empty.json()["detail"]


def test_repositories_are_refused_by_name(mistral: httpx.Client, file_id: str) -> None:
    repository = {"type": "github", "name": "r", "owner": "o", "token": "t"}
    answer = mistral.post(JOBS, json=asked(file_id, repositories=[repository]))
    assert answer.status_code == 422
    assert "repositories" in answer.json()["detail"]


def test_a_classifier_job_has_its_type_and_targets_everywhere(
    mistral: httpx.Client, file_id: str
) -> None:
    targets = [{"name": "mood", "labels": ["bad", "good"], "weight": 0.5}]
    body = asked(file_id, job_type="classifier", classifier_targets=targets, suffix="moods")
    del body["hyperparameters"]
    body["hyperparameters"] = {"training_steps": 2}
    made = mistral.post(JOBS, json=body).json()
    told = [{**targets[0], "loss_function": "single_class"}]
    assert (made["job_type"], made["classifier_targets"]) == ("classifier", told)
    assert made["hyperparameters"]["learning_rate"] == 1e-3
    assert "repositories" not in made
    one = mistral.get(f"{JOBS}/{made['id']}").json()
    assert (one["job_type"], one["classifier_targets"]) == ("classifier", told)
    listed = mistral.get(JOBS, params={"suffix": "moods"}).json()["data"]
    assert [job["job_type"] for job in listed] == ["classifier"]


def test_targets_without_a_classifier_are_refused(mistral: httpx.Client, file_id: str) -> None:
    targets = [{"name": "mood", "labels": ["bad", "good"]}]
    answer = mistral.post(JOBS, json=asked(file_id, classifier_targets=targets))
    assert answer.status_code == 422
    assert "job_type classifier" in answer.json()["detail"]


@pytest.mark.parametrize("verb", ["cancel", "start", "pause", "resume", "events", "checkpoints"])
def test_an_unknown_job_is_a_404_in_both_dialects(
    mistral: httpx.Client, openai: httpx.Client, verb: str
) -> None:
    method = "GET" if verb in ("events", "checkpoints") else "POST"
    path = f"{JOBS}/00000000-0000-0000-0000-000000000000/{verb}"
    theirs = mistral.request(method, path)
    assert theirs.status_code == 404
    assert theirs.json()["detail"] == "No fine tuning job matches the given query."
    assert openai.request(method, path).status_code == 404


def test_start_pause_and_resume_answer_the_whole_job(
    mistral: httpx.Client, openai: httpx.Client, file_id: str
) -> None:
    job = mistral.post(JOBS, json=asked(file_id)).json()
    path = f"{JOBS}/{job['id']}"
    assert mistral.post(f"{path}/start").json()["status"] == "QUEUED"
    assert openai.post(f"{path}/pause").json()["status"] == "paused"
    assert mistral.get(path).json()["paused"] is True
    assert openai.post(f"{path}/resume").json()["status"] == "queued"
    assert openai.post(f"{path}/cancel").json()["status"] == "cancelled"
    again = mistral.post(f"{path}/cancel")
    assert (again.status_code, again.json()["status"]) == (200, "CANCELLED")
    assert mistral.post(f"{path}/start").status_code == 400


def test_a_list_pages_in_both_manners(
    mistral: httpx.Client, openai: httpx.Client, file_id: str
) -> None:
    made = [mistral.post(JOBS, json=asked(file_id, suffix="paged")).json()["id"] for _ in range(3)]
    query: dict[str, Any] = {"suffix": "paged", "page_size": 2, "page": 0, "created_by_me": "false"}
    page = mistral.get(JOBS, params=query).json()
    assert (page["object"], page["total"], page["has_more"]) == ("list", 3, True)
    assert [job["id"] for job in page["data"]] == [made[2], made[1]]
    rest = mistral.get(JOBS, params=query | {"page": 1}).json()
    assert [job["id"] for job in rest["data"]] == [made[0]]
    cursor = openai.get(JOBS, params={"limit": 1, "after": made[2]}).json()
    assert [job["id"] for job in cursor["data"]] == [made[1]]
    assert cursor["has_more"] is True


def test_a_list_is_filtered_by_everything_the_clients_send(
    mistral: httpx.Client, mistral_0: httpx.Client, file_id: str
) -> None:
    wandb = {"type": "wandb", "project": "p", "name": "n", "api_key": "k" * 40}
    job = mistral.post(JOBS, json=asked(file_id, suffix="found", integrations=[wandb])).json()
    assert job["integrations"] == [
        {"type": "wandb", "project": "p", "name": "n", "run_name": None, "url": None}
    ]
    everything = {
        "model": "open-mistral-7b",
        "created_after": "2024-01-02T03:04:05Z",
        "created_before": "2130-01-01T00:00:00",
        "created_by_me": "true",
        "status": "QUEUED",
        "wandb_project": "p",
        "wandb_name": "n",
        "suffix": "found",
    }
    found = mistral.get(JOBS, params=everything).json()
    assert [each["id"] for each in found["data"]] == [job["id"]]
    old = everything | {"created_after": "2024-01-02 03:04:05"}
    seen = mistral_0.request("GET", JOBS, params=old, json={}).json()
    assert [each["id"] for each in seen["data"]] == [job["id"]]
    for name, other in {
        "model": "open-mistral-nemo",
        "created_after": "2130-01-01T00:00:00Z",
        "created_before": "2024-01-01T00:00:00Z",
        "status": "RUNNING",
        "wandb_project": "q",
        "wandb_name": "m",
        "suffix": "lost",
    }.items():
        assert mistral.get(JOBS, params=everything | {name: other}).json()["data"] == [], name


def test_a_status_filter_finds_what_was_shown_with_that_status(
    front: Front, mistral: httpx.Client, file_id: str
) -> None:
    by_itself = mistral.post(JOBS, json=asked(file_id, suffix="seen", auto_start=True)).json()
    by_hand = mistral.post(JOBS, json=asked(file_id, suffix="seen")).json()
    database = Database(front.settings)
    with database.transaction() as tx:
        rows = tx.session.scalars(sa.select(JobRow).where(JobRow.suffix == "seen"))
        for row in rows:
            row.status = JobStatus.VALIDATING
    database.close()

    def found(status: str) -> list[str]:
        page = mistral.get(JOBS, params={"status": status, "suffix": "seen"}).json()
        assert {job["status"] for job in page["data"]} <= {status}
        return [job["id"] for job in page["data"]]

    assert found("QUEUED") == [by_itself["id"]]
    assert found("VALIDATING") == [by_hand["id"]]
    assert found("STARTED") == []


def test_an_unknown_status_or_time_in_a_filter_is_refused(mistral: httpx.Client) -> None:
    answer = mistral.get(JOBS, params={"status": "succeeded"})
    assert answer.status_code == 422
    assert "expected one of QUEUED" in answer.json()["detail"]
    answer = mistral.get(JOBS, params={"created_after": "yesterday"})
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["query", "created_after"]


def test_events_are_paged_by_cursor_newest_first(openai: httpx.Client, file_id: str) -> None:
    body = {"model": "modiste-tiny", "training_file": file_id, "seed": next(_seed)}
    job = openai.post(JOBS, json=body).json()
    openai.post(f"{JOBS}/{job['id']}/cancel").raise_for_status()
    first = openai.get(f"{JOBS}/{job['id']}/events", params={"limit": 1}).json()
    assert first["has_more"] is True
    assert first["data"][0]["object"] == "fine_tuning.job.event"
    assert first["data"][0]["data"]["status"] == "cancelled"
    after = {"limit": 1, "after": first["data"][0]["id"]}
    second = openai.get(f"{JOBS}/{job['id']}/events", params=after).json()
    assert second["data"][0]["data"]["status"] == "queued"
    assert second["has_more"] is False
