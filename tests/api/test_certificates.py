"""Certificates over HTTP. A tuned model is registered as a worker would, with what it found."""

from __future__ import annotations

import itertools

import httpx
import pytest
import sqlalchemy as sa
from scripted import Front, chat_row, jsonl

from modiste.actions import models
from modiste.store.blobs import adapter_of
from modiste.store.database import Database
from modiste.store.tables import JobRow
from modiste.types import CheckedForm, FormStatus, Greedy, LossPair, Parity, Parting

_seed = itertools.count(1)
FORMS = (
    CheckedForm(
        "fp32",
        FormStatus.PASSED,
        "near",
        live=True,
        mean_abs_logprob_diff=1e-6,
        max_abs_logprob_diff=1e-5,
        mean_tolerance=1e-4,
        tolerance=1e-3,
        greedy=Greedy(4, 64, (Parting(2, 3, 5, 6, 1e-4, by_rounding=True),)),
        loss=LossPair(0.5, 0.5001, 80, 0.005),
    ),
    CheckedForm("int8", FormStatus.NOT_CHECKED, "not checked: no memory"),
)


@pytest.fixture
def tuned(front: Front, mistral: httpx.Client) -> str:
    part = {"file": ("train.jsonl", jsonl(chat_row("q", "a")))}
    file_id = mistral.post("/v1/files", files=part).json()["id"]
    body = {
        "model": "open-mistral-7b",
        "training_files": [file_id],
        "hyperparameters": {"training_steps": 1, "seed": next(_seed)},
    }
    job = mistral.post("/v1/fine_tuning/jobs", json=body).json()
    database = Database(front.settings)
    with database.transaction() as tx:
        row = tx.session.scalar(sa.select(JobRow).where(JobRow.id == job["id"]))
        assert row is not None
        parity = Parity(True, 8, 100, 1e-5, 1e-6, 1e-3, 0.5, "Served as trained.", forms=FORMS)
        model = models.register(tx, row, adapter=adapter_of({"a": "1"}), parity=parity)
    database.close()
    return model.id


def test_every_figure_of_a_certificate_is_told(mistral: httpx.Client, tuned: str) -> None:
    told = mistral.get(f"/v1/models/{tuned}/parity").json()
    assert (told["object"], told["model"], told["passed"]) == ("parity_certificate", tuned, True)
    live, int8 = told["forms"]
    assert (live["name"], live["status"], live["live"]) == ("fp32", "passed", True)
    assert live["greedy"]["partings"] == [
        {"row": 2, "token": 3, "trained_id": 5, "found_id": 6, "margin": 1e-4, "by_rounding": True}
    ]
    assert live["loss"] == {"trained": 0.5, "found": 0.5001, "n_tokens": 80, "tolerance": 0.005}
    assert (int8["status"], int8["tolerance"], int8["greedy"]) == ("not_checked", None, None)
    assert told["warning"] is None


def test_an_export_adds_what_was_found_in_it(mistral: httpx.Client, tuned: str) -> None:
    proof = {"form": "merged", "status": "passed", "note": "verified with transformers"}
    answer = mistral.post(f"/v1/models/{tuned}/parity/exports", json=proof)
    assert answer.status_code == 200, answer.text
    kept = mistral.get(f"/v1/models/{tuned}/parity").json()["forms"][-1]
    assert (kept["name"], kept["status"]) == ("export: merged", "passed")
    assert isinstance(kept["at"], int)
    wrong = mistral.post(f"/v1/models/{tuned}/parity/exports", json={**proof, "form": "onnx"})
    assert wrong.status_code == 422


def test_a_base_has_none(mistral: httpx.Client) -> None:
    answer = mistral.get("/v1/models/modiste-tiny/parity")
    assert answer.status_code == 404
    assert "only what a job made has one" in answer.text
