"""Reports and previews over HTTP, as JSON and as a page."""

from __future__ import annotations

import gzip
import json

import httpx
import pytest
from scripted import Front, chat_row, jsonl

from modiste.actions import runs
from modiste.store.database import Database
from modiste.store.queue import WorkerId

WRONG = {"messages": [{"role": "bot", "content": "<b>a?</b>"}]}


def upload(client: httpx.Client, name: str, content: bytes, **data: str) -> dict[str, object]:
    answer = client.post("/v1/files", files={"file": (name, content)}, data=data)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def test_a_file_has_the_report_that_the_command_line_would_print(mistral: httpx.Client) -> None:
    file = upload(mistral, "report.jsonl", jsonl(chat_row("report?", "yes"), WRONG))
    report = mistral.get(f"/v1/files/{file['id']}/report").json()
    assert report["ok"] is False
    (told,) = report["files"]
    assert (told["file"], told["format"], told["rows"]) == ("report.jsonl", "chat", 2)
    keys = {"line", "path", "code", "severity", "value", "message", "hint"}
    assert all(keys <= set(problem) for problem in told["problems"])
    assert {p["line"] for p in told["problems"] if p["severity"] == "error"} == {2}


def test_the_report_is_a_page_too_with_nothing_unescaped(mistral: httpx.Client) -> None:
    file = upload(mistral, "<i>page.jsonl", jsonl(chat_row("page?", "yes"), WRONG))
    page = mistral.get(f"/v1/files/{file['id']}/report", params={"format": "html"})
    assert page.headers["content-type"].startswith("text/html")
    assert "&lt;i&gt;page.jsonl" in page.text
    assert "<i>" not in page.text


def test_a_file_of_any_container_has_one(mistral: httpx.Client) -> None:
    content = gzip.compress(jsonl(chat_row("gzip?", "yes")))
    file = upload(mistral, "train.jsonl.gz", content)
    assert file["num_lines"] == 1
    assert mistral.get(f"/v1/files/{file['id']}/report").json()["ok"] is True
    listed = json.dumps([chat_row("list?", "yes"), chat_row("list?", "no")]).encode()
    assert upload(mistral, "train.json", listed)["num_lines"] == 2


def test_a_file_that_is_not_for_training_has_none_and_says_why(mistral: httpx.Client) -> None:
    file = upload(mistral, "batch.jsonl", jsonl({"custom_id": "1"}), purpose="batch")
    answer = mistral.get(f"/v1/files/{file['id']}/report")
    assert answer.status_code == 404
    assert "only training files are checked" in answer.json()["detail"]


@pytest.mark.parametrize("what", ["report", "preview"])
def test_a_job_that_was_not_validated_has_none_yet(mistral: httpx.Client, what: str) -> None:
    file = upload(mistral, f"job-{what}.jsonl", jsonl(chat_row(what, "yes")))
    body = {"model": "modiste-tiny", "training_files": [file["id"]], "hyperparameters": {}}
    job = mistral.post("/v1/fine_tuning/jobs", json=body).json()
    answer = mistral.get(f"/v1/fine_tuning/jobs/{job['id']}/{what}")
    assert answer.status_code == 404
    assert "not yet" in answer.json()["detail"]
    mistral.post(f"/v1/fine_tuning/jobs/{job['id']}/cancel")


def test_a_validated_job_tells_both(front: Front, mistral: httpx.Client) -> None:
    file = upload(mistral, "validated.jsonl", jsonl(chat_row("validated?", "yes")))
    body = {"model": "modiste-tiny", "training_files": [file["id"]], "hyperparameters": {}}
    job = mistral.post("/v1/fine_tuning/jobs", json=body).json()
    validate(front, job["id"])
    report = mistral.get(f"/v1/fine_tuning/jobs/{job['id']}/report").json()
    assert [f["use"] for f in report["files"]] == ["train"]
    preview = mistral.get(f"/v1/fine_tuning/jobs/{job['id']}/preview").json()
    (sample,) = preview["files"][0]["samples"]
    assert 0 < sample["counts"]["trained"] < sample["counts"]["tokens"]
    page = mistral.get(f"/v1/fine_tuning/jobs/{job['id']}/report", params={"format": "html"})
    assert "validated?" in page.text, "the preview is part of the page"


def validate(front: Front, job_id: str) -> None:
    """What a worker does first."""
    import threading

    from modiste.work import validation
    from modiste.work.bench import Bench
    from modiste.work.pulse import Pulse
    from modiste.work.supervisor import environment

    database = Database(front.settings)
    worker = WorkerId.of_this_process("tester")
    with database.transaction() as tx:
        job = runs.take(tx, worker)
    assert job is not None
    assert job.job.id == job_id
    with Pulse(database, worker) as pulse, pulse.holding(job.claim):
        parts = environment(front.settings)
        validation.run(Bench(job, database, pulse, threading.Event(), parts))
    database.close()
