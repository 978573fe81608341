"""Batches: made with all that is wrong told at once, listed, cancelled, forgotten."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from modiste.actions import batch_runs, batches, files, keys
from modiste.actions.batch_runs import BatchTask, Results
from modiste.errors import BadRequest, Conflict, Forbidden, InvalidInput, NotFound
from modiste.store import queue
from modiste.store.database import Database
from modiste.store.queue import WorkerId
from modiste.store.tables import Phase
from modiste.types import Actor, Batch, BatchCounts, BatchStatus, File, Purpose, Scope

CHAT = "/v1/chat/completions"
LINE = {"custom_id": "a", "body": {"messages": [{"role": "user", "content": "hi"}]}}
HERE = WorkerId.of_this_process()
Make = Callable[..., Batch]


@pytest.fixture
def requests_file(database: Database, admin: Actor) -> Callable[..., File]:
    def send(*lines: Any, actor: Actor = admin, **options: Any) -> File:
        chunks = [json.dumps(line).encode() + b"\n" for line in lines or [LINE]]
        options = {"filename": "in.jsonl", "purpose": Purpose.BATCH, **options}
        return files.add(database, actor, chunks=chunks, **options)

    return send


@pytest.fixture
def make(database: Database, admin: Actor, requests_file: Callable[..., File]) -> Make:
    def create(actor: Actor = admin, **changes: Any) -> Batch:
        if "requests" not in changes:
            changes.setdefault("input_files", [requests_file(actor=actor).id])
        wanted = {"endpoint": CHAT, "dialect": "mistral", "model": "modiste-tiny", **changes}
        return batches.create(database, actor, **wanted)

    return create


def look(database: Database, actor: Actor, batch: Batch) -> Batch:
    with database.transaction(write=False) as tx:
        return batches.get(tx, actor, batch.id)


def take(database: Database) -> BatchTask:
    with database.transaction() as tx:
        claim = queue.claim(tx, HERE, {Phase.BATCH})
        assert claim is not None
        return batch_runs.taken(tx, claim)


def test_a_batch_waits_in_the_queue_with_its_requests(
    database: Database, admin: Actor, make: Make
) -> None:
    batch = make(metadata={"k": "v"}, timeout_h=3)
    assert (batch.status, batch.counts, batch.model) == (
        BatchStatus.QUEUED,
        BatchCounts(total=1),
        "modiste-tiny",
    )
    assert batch.expires_at - batch.created_at == timedelta(hours=3)
    task = take(database)
    assert task.batch.id == batch.id
    assert task.actor == Actor(admin.key_id, admin.org, admin.scopes)
    [(name, sha256)] = task.blobs
    assert name == "in.jsonl"
    assert json.loads(b"".join(database.blobs.open(sha256))) == LINE


def test_inline_requests_are_kept_as_lines(database: Database, make: Make) -> None:
    batch = make(requests=[LINE, {"body": {"messages": []}}])
    assert (batch.input_files, batch.counts.total) == ((), 2)
    [(name, sha256)] = take(database).blobs
    assert name == "requests"
    assert len(b"".join(database.blobs.open(sha256)).splitlines()) == 2


def test_everything_wrong_with_a_request_is_told_at_once(
    make: Make, requests_file: Callable[..., File], upload: Callable[..., File]
) -> None:
    training = upload()
    with pytest.raises(InvalidInput) as refused:
        make(
            endpoint="/v1/ocr",
            input_files=["nope", training.id],
            model="gone",
            timeout_h=500,
            metadata={"k": 7},
        )
    said = refused.value.message
    for part in ("'/v1/ocr'", "'nope'", "'fine-tune'", "gone", "500 hours", "metadata['k']"):
        assert part in said
    assert refused.value.param == "endpoint"


@pytest.mark.parametrize("both", [True, False])
def test_files_or_requests_and_not_both(
    make: Make, requests_file: Callable[..., File], both: bool
) -> None:
    given: dict[str, Any] = {"input_files": [requests_file().id] if both else []}
    with pytest.raises(InvalidInput, match="one of input_files and requests"):
        make(requests=[LINE] if both else [], **given)


def test_inline_requests_are_refused_with_every_bad_line(make: Make) -> None:
    bad = [LINE, LINE, {"custom_id": "c", "body": {"stream": True}}]
    with pytest.raises(InvalidInput) as refused:
        make(requests=bad)
    assert [(p.line, p.code) for p in refused.value.problems] == [
        (2, "duplicate_custom_id"),
        (3, "stream_not_allowed"),
    ]


def test_a_key_needs_to_infer_and_for_files_to_see_data(
    database: Database, admin: Actor, make: Make, requests_file: Callable[..., File]
) -> None:
    file = requests_file()
    with database.transaction() as tx:
        data = keys.authenticate(tx, keys.create(tx, admin, name="d", scopes=["data"]).secret)
        infer = keys.authenticate(tx, keys.create(tx, admin, name="i", scopes=["infer"]).secret)
    with pytest.raises(Forbidden):
        make(data, input_files=[file.id])
    with pytest.raises(Forbidden):
        make(infer, input_files=[file.id])
    assert make(infer, requests=[LINE]).created_by == infer.key_id


def test_lists_are_filtered_and_paged_in_both_manners(
    database: Database, admin: Actor, other: Actor, make: Make
) -> None:
    first = make(metadata={"team": "a", "run": "1"})
    second = make(other, requests=[LINE], metadata={"team": "b"})
    third = make(metadata={"team": "a", "run": "2"})

    def ids(**asked: Any) -> list[str]:
        with database.transaction(write=False) as tx:
            return [batch.id for batch in batches.list_(tx, admin, **asked).items]

    assert ids() == [third.id, second.id, first.id]
    assert ids(order="asc") == [first.id, second.id, third.id]
    assert ids(metadata={"team": "a"}) == [third.id, first.id]
    assert ids(metadata={"team": "a", "run": "1"}) == [first.id]
    assert ids(created_by_me=True) == [third.id, first.id]
    assert ids(status=[BatchStatus.QUEUED], model="modiste-tiny", limit=1) == [third.id]
    assert ids(status=[BatchStatus.SUCCESS]) == ids(status=[]) == []
    assert ids(after=third.id, limit=1) == [second.id]
    assert ids(page=2, page_size=1) == [first.id]
    assert ids(created_after=third.created_at + timedelta(seconds=1)) == []


def test_a_batch_of_another_organisation_is_not_there(
    database: Database, admin: Actor, make: Make
) -> None:
    batch = make()
    stranger = Actor("key_x", "ffffffff", frozenset({Scope.ADMIN}))
    with pytest.raises(NotFound, match="modiste batch list"), database.transaction() as tx:
        batches.cancel(tx, stranger, batch.id)


def test_a_batch_nobody_began_is_cancelled_at_once(
    database: Database, admin: Actor, make: Make
) -> None:
    batch = make()
    for _ in range(2):
        with database.transaction() as tx:
            batch = batches.cancel(tx, admin, batch.id)
    assert batch.status is BatchStatus.CANCELLED
    with database.transaction() as tx:
        assert queue.claim(tx, HERE, {Phase.BATCH}) is None


def test_a_begun_batch_is_asked_to_stop_and_an_ended_one_cannot_be(
    database: Database, admin: Actor, make: Make
) -> None:
    batch = make()
    task = take(database)
    with database.transaction() as tx:
        stopping = batches.cancel(tx, admin, batch.id)
    assert stopping.status is BatchStatus.CANCELLATION_REQUESTED
    with database.transaction() as tx, pytest.raises(Conflict):
        batches.delete(tx, admin, batch.id)
    with database.transaction() as tx:
        counts = BatchCounts(total=1)
        ended = batch_runs.record_ended(tx, task.claim, counts, Results(None, None))
    assert ended.status is BatchStatus.CANCELLED
    other = make(requests=[LINE])
    task = take(database)
    with database.transaction() as tx:
        whole = BatchCounts(total=1, succeeded=1)
        batch_runs.record_ended(tx, task.claim, whole, Results(None, None))
    with database.transaction() as tx, pytest.raises(BadRequest, match="SUCCESS"):
        batches.cancel(tx, admin, other.id)


def test_a_deleted_batch_is_gone_with_its_labels(
    database: Database, admin: Actor, make: Make
) -> None:
    batch = make(metadata={"k": "v"})
    with database.transaction() as tx:
        batches.cancel(tx, admin, batch.id)
        batches.delete(tx, admin, batch.id)
    with database.transaction() as tx, pytest.raises(NotFound):
        batches.get(tx, admin, batch.id)


def test_results_are_read_inline_and_large_ones_are_not(
    database: Database, admin: Actor, make: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    batch = make()
    task = take(database)
    path = tmp_path / "out.jsonl"
    path.write_text('{"id": "r"}\n')
    output = batch_runs.store(database, task, path, errors=False)
    assert output is not None
    assert (output.sample_type, output.source, output.n_lines) == ("batch_result", "mistral", 1)
    with database.transaction() as tx:
        counts = BatchCounts(total=1, succeeded=1)
        batch_runs.record_ended(tx, task.claim, counts, Results(output, None))
    with database.transaction(write=False) as tx:
        assert batches.results(tx, admin, batch.id) == [{"id": "r"}]
    monkeypatch.setattr(batches, "MAX_INLINE", 0)
    with database.transaction(write=False) as tx, pytest.raises(BadRequest, match="output_file"):
        batches.results(tx, admin, batch.id)
