"""A training job in one pair of hands: started, watched, published, and ended in every way."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from modiste.actions import forgetting, jobs, lineage, models
from modiste.actions.runs import Assignment
from modiste.errors import LeaseLost, ParityFailed
from modiste.serve.vllm import VllmEngine
from modiste.store import queue
from modiste.store.database import Database
from modiste.store.queue import Claim, WorkerId
from modiste.store.tables import JobRow, ModelRow
from modiste.types import Actor, Job, JobStatus, Parity, Upstream, UpstreamKind
from modiste.work import finetune, out_of_memory, parity
from modiste.work.bench import Bench
from modiste.work.pulse import Pulse
from modiste.work.supervisor import environment

TESTS = Path(__file__).parent
PARITY = Parity(True, 8, 100, 1e-5, 1e-6, 1e-3, 0.5, "Served as trained.")
S = JobStatus
Work = Callable[..., None]


class Hands:
    """Takes the job that waits and works on it, in a thread of its own where that is needed."""

    def __init__(self, database: Database, pulse: Pulse, take: Callable[[], Assignment]) -> None:
        self._database, self._pulse, self._take = database, pulse, take
        self.stopping = threading.Event()
        self.claims: list[Claim] = []

    def work(self, **how: Any) -> None:
        (self._database.settings.home / "standin.json").write_text(json.dumps(how))
        assignment = self._take()
        self.claims.append(assignment.claim)
        parts = {**environment(self._database.settings), "PYTHONPATH": str(TESTS)}
        with self._pulse.holding(assignment.claim):
            finetune.run(Bench(assignment, self._database, self._pulse, self.stopping, parts))

    def begin(self, stack: ExitStack, **how: Any) -> threading.Thread:
        thread = threading.Thread(target=self._quietly, kwargs=how)
        thread.start()
        stack.callback(thread.join, 30)
        return thread

    def _quietly(self, **how: Any) -> None:
        try:
            self.work(**how)
        except LeaseLost:
            self.claims.append(self.claims[-1])


@pytest.fixture
def hands(
    database: Database, take: Callable[[], Assignment], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Hands]:
    monkeypatch.setitem(finetune.TRAINERS, "local", "standin_trainer")
    monkeypatch.setattr(parity, "check", lambda *_, **__: PARITY)
    with Pulse(database, WorkerId.of_this_process("tester")) as pulse:
        yield Hands(database, pulse, take)


def run_dir(database: Database, job: Job) -> Path:
    return database.settings.runs_dir / job.id


def wait_for(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def at_step(look: Callable[[Job], Job], job: Job, step: int) -> None:
    def reached() -> bool:
        progress = look(job).progress
        return progress is not None and progress.step >= step

    wait_for(reached)


def test_a_row_forgotten_while_the_job_waited_ends_it_before_it_trains(
    database: Database,
    admin: Actor,
    hands: Hands,
    validated: Callable[..., Job],
    look: Callable[[Job], Job],
) -> None:
    job = validated()
    with database.transaction() as tx:
        (id,) = lineage.row_ids(tx, admin, job.training_files[0].file_id, [1])
        told = forgetting.forget(tx, admin, [id], reason="asked to")
    assert told.unfinished_jobs == (job.id,)
    hands.work(steps=12)
    done = look(job)
    assert done.status is S.FAILED
    assert done.error is not None
    assert done.error.code == "row_forgotten"
    assert "train.jsonl line 1" in done.error.message
    assert not (run_dir(database, job) / "job.json").exists(), "no trainer was started"


def test_a_job_becomes_a_model(
    database: Database,
    admin: Actor,
    hands: Hands,
    validated: Callable[..., Job],
    look: Callable[[Job], Job],
) -> None:
    job = validated(suffix="mine")
    hands.work(steps=12)
    done = look(job)
    assert [event.status for event in done.events][-3:] == [S.STARTED, S.RUNNING, S.SUCCESS]
    assert [checkpoint.step for checkpoint in done.checkpoints] == [10, 5]
    assert done.trained_tokens == 120
    assert done.progress is not None
    assert done.progress.step == 12
    with database.transaction(write=False) as tx:
        model = models.resolve(tx, admin, str(done.fine_tuned_model))
        assert len(jobs.metrics(tx, admin, job.id)) == 12
    assert model.parity == PARITY
    assert model.adapter is not None
    folder = database.blobs.materialise(model.adapter, database.settings.cache_dir)
    assert (folder / "adapter_model.safetensors").read_bytes() == b"weights"
    assert not (run_dir(database, job) / "checkpoints").exists(), "nobody needs them any more"


def test_the_trainer_is_told_everything_in_its_folder(
    database: Database, hands: Hands, validated: Callable[..., Job]
) -> None:
    job = validated()
    hands.work(steps=1)
    told = json.loads((run_dir(database, job) / "job.json").read_text())
    (train,) = told["train"]
    assert Path(train["path"]).is_file()
    assert (train["filename"], train["weight"]) == ("train.jsonl", 1.0)
    assert told["skip_lines"] == {train["path"]: []}
    assert (told["job_id"], told["validation"], told["spec"]) == (job.id, [], {})
    assert Path(told["base_path"], "config.json").is_file()


@pytest.mark.slow
def test_a_killed_trainer_is_started_again_and_its_steps_are_recorded_once(
    database: Database,
    admin: Actor,
    hands: Hands,
    validated: Callable[..., Job],
    look: Callable[[Job], Job],
) -> None:
    job = validated()
    with ExitStack() as stack:
        thread = hands.begin(stack, steps=40, step_s=0.2)
        at_step(look, job, 7)
        pid = int((run_dir(database, job) / "trainers").read_text().split()[-1])
        os.kill(pid, 9)
        thread.join(30)
    done = look(job)
    assert done.status is S.SUCCESS
    with database.transaction(write=False) as tx:
        assert [m.step for m in jobs.metrics(tx, admin, job.id)] == list(range(1, 41))
    assert len((run_dir(database, job) / "trainers").read_text().split()) == 2
    assert '"resumed"' in (run_dir(database, job) / "events.jsonl").read_text()


def test_a_trainer_that_the_system_kills_for_memory_goes_on_with_less_or_names_the_field(
    database: Database,
    hands: Hands,
    validated: Callable[..., Job],
    look: Callable[[Job], Job],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The system's count of such kills rises each time it is read."""
    kills = iter(range(1_000_000))
    monkeypatch.setattr(finetune.room, "out_of_memory_kills", lambda: next(kills))
    job = validated()
    spec = {"model": "m", "data": {"train": ["a.jsonl"]}, "max_length": 256, "batch_size": 4}
    with database.transaction() as tx:
        tx.session.query(JobRow).one().spec = spec
    hands.work(die_at=8, step_s=0.001)
    failed = look(job)
    assert (failed.status, failed.error and failed.error.code) == (S.FAILED, "out_of_memory")
    assert failed.error is not None
    assert "killed by the system, several times" in failed.error.message
    assert "It needs about" in failed.error.message
    assert (run_dir(database, job) / out_of_memory.NOTE).exists()


def test_a_trainer_that_dies_again_and_again_fails_the_job(
    hands: Hands, validated: Callable[..., Job], look: Callable[[Job], Job]
) -> None:
    job = validated()
    hands.work(die_at=8, step_s=0.001)
    failed = look(job)
    assert (failed.status, failed.error and failed.error.code) == (S.FAILED, "trainer_died")
    assert "signal 9" in failed.events[-1].message
    assert "memory" in failed.events[-1].message


def test_a_failed_training_says_what_the_trainer_said(
    hands: Hands, validated: Callable[..., Job], look: Callable[[Job], Job]
) -> None:
    job = validated()
    hands.work(fail_at=3)
    failed = look(job)
    assert failed.error is not None
    assert (failed.error.code, failed.error.message) == ("nan_loss", "the loss is NaN at step 3")


def test_a_trainer_without_room_tells_what_to_delete(
    hands: Hands, validated: Callable[..., Job], look: Callable[[Job], Job]
) -> None:
    job = validated()
    hands.work(fail_at=3, fail_code="storage_full")
    error = look(job).error
    assert error is not None
    assert "modiste files delete" in error.message


def test_a_stalled_trainer_is_stopped_and_the_job_says_so(
    database: Database,
    hands: Hands,
    validated: Callable[..., Job],
    look: Callable[[Job], Job],
) -> None:
    database.settings = database.settings.model_copy(update={"stall_timeout_s": 1.0})
    job = validated()
    hands.work(stall_at=3)
    failed = look(job)
    assert failed.error is not None
    assert failed.error.code == "stalled"
    assert "MODISTE_STALL_TIMEOUT_S" in failed.error.message


def test_a_cancelled_job_stops_before_its_next_checkpoint(
    database: Database,
    admin: Actor,
    hands: Hands,
    validated: Callable[..., Job],
    look: Callable[[Job], Job],
) -> None:
    job = validated()
    with ExitStack() as stack:
        thread = hands.begin(stack, steps=100_000, step_s=0.1)
        at_step(look, job, 6)
        with database.transaction() as tx:
            jobs.cancel(tx, admin, job.id)
        thread.join(30)
    cancelled = look(job)
    assert cancelled.status is S.CANCELLED
    # Steps take 0.1 s and a wish is heard within 0.5 s: far from a hundred steps.
    assert cancelled.progress is not None
    assert cancelled.progress.step < 100
    assert not (run_dir(database, job) / "checkpoints").exists()


def test_a_paused_job_goes_on_where_it_stopped(
    database: Database,
    admin: Actor,
    hands: Hands,
    validated: Callable[..., Job],
    look: Callable[[Job], Job],
) -> None:
    job = validated()
    with ExitStack() as stack:
        thread = hands.begin(stack, steps=30, step_s=0.2)  # Time to be told within.
        at_step(look, job, 6)
        with database.transaction() as tx:
            jobs.pause(tx, admin, job.id)
        thread.join(30)
    paused = look(job)
    assert (paused.status, paused.paused) == (S.QUEUED, True)
    assert "Paused at step" in paused.events[-1].message
    with database.transaction() as tx:
        jobs.resume(tx, admin, job.id)
    hands.work(steps=30)
    assert look(job).status is S.SUCCESS
    with database.transaction(write=False) as tx:
        assert [m.step for m in jobs.metrics(tx, admin, job.id)] == list(range(1, 31))


def test_a_draining_worker_hands_the_job_on_behind_a_checkpoint(
    hands: Hands, validated: Callable[..., Job], look: Callable[[Job], Job]
) -> None:
    job = validated()
    with ExitStack() as stack:
        thread = hands.begin(stack, steps=40, step_s=0.2)
        at_step(look, job, 6)
        hands.stopping.set()
        thread.join(30)
    waiting = look(job)
    assert (waiting.status, waiting.paused) == (S.RUNNING, False)
    hands.stopping.clear()
    hands.work(steps=40)
    assert look(job).status is S.SUCCESS
    assert [claim.fence for claim in hands.claims][-1] == hands.claims[0].fence + 1


def test_a_worker_that_lost_its_lease_stops_its_trainer_and_records_nothing(
    database: Database,
    hands: Hands,
    validated: Callable[..., Job],
    look: Callable[[Job], Job],
    steal: Callable[[Claim], None],
) -> None:
    job = validated()
    with ExitStack() as stack:
        thread = hands.begin(stack, steps=100_000)
        at_step(look, job, 3)
        steal(hands.claims[0])
        thread.join(30)
        assert not thread.is_alive()
    assert len(hands.claims) == 2, "it ended with LeaseLost"
    pid = int((run_dir(database, job) / "trainers").read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert look(job).status is S.RUNNING, "it is the thief's now"


def test_an_end_reached_while_the_worker_died_is_found_without_training_again(
    database: Database, hands: Hands, validated: Callable[..., Job], look: Callable[[Job], Job]
) -> None:
    job = validated()
    folder = run_dir(database, job)
    (folder / "adapter").mkdir(parents=True)
    (folder / "adapter" / "adapter_model.safetensors").write_bytes(b"weights")
    said = [
        {"event": "paused", "step": 1},
        {"event": "step", "step": 2, "total_steps": 2, "loss": 1.0},
        {"event": "finished", "adapter_dir": "adapter", "trained_tokens": 7},
    ]
    (folder / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in said))
    hands.work()
    done = look(job)
    assert (done.status, done.trained_tokens) == (S.SUCCESS, 7)
    assert not (folder / "trainers").exists()


def test_failed_parity_fails_the_job_and_keeps_the_adapter(
    database: Database,
    hands: Hands,
    validated: Callable[..., Job],
    look: Callable[[Job], Job],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def part(*_: Any, **__: Any) -> Parity:
        raise ParityFailed("row 3 parts at token 7")

    monkeypatch.setattr(parity, "check", part)
    job = validated()
    hands.work(steps=3)
    failed = look(job)
    assert failed.error is not None
    assert failed.error.code == "parity_failed"
    assert "row 3 parts at token 7" in failed.error.message
    assert str(run_dir(database, job) / "adapter") in failed.error.message
    assert (run_dir(database, job) / "adapter" / "adapter_model.safetensors").is_file()
    assert failed.fine_tuned_model is None


def test_a_job_on_a_base_that_vllm_serves_is_certified_there(
    database: Database,
    hands: Hands,
    validated: Callable[..., Job],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    there = Upstream(UpstreamKind.VLLM, "http://127.0.0.1:8000")
    with database.transaction() as tx:
        base = tx.session.get(ModelRow, "modiste-tiny")
        assert base is not None
        base.upstream = there
    asked: list[VllmEngine | None] = []

    def check(*_: Any, elsewhere: Callable[[], VllmEngine] | None, **__: Any) -> Parity:
        asked.append(elsewhere and elsewhere())
        return PARITY

    monkeypatch.setattr(parity, "check", check)
    job = validated()
    hands.work(steps=3)
    with database.transaction(write=False) as tx:
        model = tx.session.query(ModelRow).filter_by(job_id=job.id).one().noun()
    assert model.upstream == there
    assert isinstance(asked[0], VllmEngine)


def test_a_job_cancelled_during_the_parity_check_makes_no_model(
    database: Database,
    admin: Actor,
    hands: Hands,
    validated: Callable[..., Job],
    look: Callable[[Job], Job],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    job = validated()

    def wait(*_: Any, still_wanted: Callable[[], None], **__: Any) -> Parity:
        with database.transaction() as tx:
            jobs.cancel(tx, admin, job.id)
        while True:
            still_wanted()
            time.sleep(0.05)

    monkeypatch.setattr(parity, "check", wait)
    hands.work(steps=3)
    assert look(job).status is S.CANCELLED
    with database.transaction(write=False) as tx:
        assert [model.id for model in models.list_(tx, admin)] == ["modiste-tiny"]


def test_a_worker_that_goes_during_the_parity_check_hands_the_adapter_on(
    hands: Hands,
    validated: Callable[..., Job],
    look: Callable[[Job], Job],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    job = validated()

    def wait(*_: Any, still_wanted: Callable[[], None], **__: Any) -> Parity:
        hands.stopping.set()
        still_wanted()
        return PARITY

    monkeypatch.setattr(parity, "check", wait)
    hands.work(steps=3)
    assert look(job).status is S.RUNNING
    monkeypatch.setattr(parity, "check", lambda *_, **__: PARITY)
    hands.stopping.clear()
    hands.work(fail_at=1)
    assert look(job).status is S.SUCCESS, "training was not repeated"


def test_checkpoints_of_ended_jobs_are_tidied_and_others_stay(
    database: Database, admin: Actor, create: Callable[..., Job]
) -> None:
    ended, waiting = create(), create(suffix="waiting")
    for job in (ended, waiting):
        (run_dir(database, job) / "checkpoints").mkdir(parents=True)
    with database.transaction() as tx:
        jobs.cancel(tx, admin, ended.id)
        assert queue.living_workers(tx) == ()
    finetune.tidy(database)
    assert not (run_dir(database, ended) / "checkpoints").exists()
    assert (run_dir(database, waiting) / "checkpoints").exists()
