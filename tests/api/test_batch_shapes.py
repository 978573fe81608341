"""Batches and lines of results in both vendors' words."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from pydantic import ValidationError

from modiste.api import batch_shapes
from modiste.api.batch_shapes import BatchJobIn, OpenAIBatchIn
from modiste.api.dialect import Dialect
from modiste.types import Batch, BatchCounts, BatchStatus

BATCH_ID = "20178c3c-d75b-4c3e-9f0a-000000000001"
THEN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
BATCH = Batch(
    id=BATCH_ID,
    status=BatchStatus.RUNNING,
    endpoint="/v1/chat/completions",
    dialect="openai",
    input_files=("f",),
    model=None,
    created_at=THEN,
    created_by="key_1",
    expires_at=THEN + timedelta(hours=24),
    counts=BatchCounts(10, 4, 2),
)


def test_every_status_has_a_word_in_both_dialects() -> None:
    for status in BatchStatus:
        batch = replace(BATCH, status=status, finished_at=THEN)
        assert batch_shapes.batch_job(batch, needs_model=False).status
        assert batch_shapes.openai_batch(batch).status
    assert set(batch_shapes.statuses_behind(["RUNNING"])) == {
        BatchStatus.RUNNING,
        BatchStatus.FINALIZING,
    }


@pytest.mark.parametrize(
    ("status", "moment"),
    [
        (BatchStatus.SUCCESS, "completed_at"),
        (BatchStatus.FAILED, "failed_at"),
        (BatchStatus.EXPIRED, "expired_at"),
        (BatchStatus.CANCELLED, "cancelled_at"),
    ],
)
def test_openai_has_one_moment_for_each_end(status: BatchStatus, moment: str) -> None:
    shown = batch_shapes.openai_batch(replace(BATCH, status=status, finished_at=THEN)).model_dump()
    ends = ("completed_at", "failed_at", "expired_at", "cancelled_at")
    assert {name for name in ends if shown[name] is not None} == {moment}


def test_what_failed_is_completed_to_mistral_and_not_to_openai() -> None:
    mistral = batch_shapes.batch_job(BATCH, needs_model=False)
    counts = (mistral.completed_requests, mistral.succeeded_requests, mistral.failed_requests)
    assert counts == (6, 4, 2)
    openai = batch_shapes.openai_batch(BATCH)
    assert openai.request_counts.model_dump() == {"total": 10, "completed": 4, "failed": 2}


def test_a_result_is_the_vendors_line() -> None:
    """Mistral's as its service writes it: `batch-<job8>-<n>-<uuid>`, status_code and body."""
    told = {"status": 200, "body": {"id": "x"}, "request_id": "req"}
    mistral = json.loads(
        batch_shapes.result_line(Dialect.MISTRAL, BATCH_ID, 7, "a", **told)  # type: ignore[arg-type]
    )
    assert mistral["id"].startswith("batch-20178c3c-7-")
    assert {**mistral, "id": ""} == {
        "id": "",
        "custom_id": "a",
        "response": {"status_code": 200, "body": {"id": "x"}},
        "error": None,
    }
    openai = json.loads(
        batch_shapes.result_line(Dialect.OPENAI, BATCH_ID, 7, "a", **told)  # type: ignore[arg-type]
    )
    assert openai["id"].startswith("batch_req_")
    assert openai["response"] == {"status_code": 200, "request_id": "req", "body": {"id": "x"}}


def test_a_request_that_did_not_run_has_an_error_and_no_response() -> None:
    line = json.loads(
        batch_shapes.not_run_line(Dialect.OPENAI, BATCH_ID, 0, "a", code="batch_expired")
    )
    assert (line["response"], line["error"]["code"]) == (None, "batch_expired")


def test_a_line_asked_again_has_the_id_it_had() -> None:
    lines = {
        batch_shapes.not_run_line(Dialect.OPENAI, BATCH_ID, n, "a", code="batch_cancelled")
        for n in (1, 1, 2)
    }
    assert len(lines) == 2


@pytest.mark.parametrize("window", ["24", "0h", "169h", "1d", "-1h"])
def test_windows_are_whole_hours_up_to_a_week(window: str) -> None:
    body = {"endpoint": "e", "input_file_id": "f", "completion_window": window}
    with pytest.raises(ValidationError, match="completion_window"):
        OpenAIBatchIn.model_validate(body)


def test_inline_lines_keep_only_what_was_said() -> None:
    lines = [{"body": {"a": None}}, {"custom_id": "x", "body": {}}]
    body = BatchJobIn.model_validate({"endpoint": "e", "requests": lines})
    assert batch_shapes.wanted_of_mistral(body).get("requests") == lines
