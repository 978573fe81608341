"""A batch, from the worker's side: a child process sends its requests, we follow and record.

The child is `modiste.api.batch_run`, which asks the routes of the app itself; it reads
RUN_DIR/batch-request.json, appends results to the journal, and says in RUN_DIR/batch-state.json how
far it is. What makes results into files, and files into the batch's, is here: so they are kept
whatever becomes of the child. Asked with the file `cancel` it gives every request that did not run
a line of its own; with `pause`, or killed, it leaves the journal for the next one.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import TypeAdapter

from modiste.actions import batch_runs
from modiste.actions.batch_lines import Checked, Input
from modiste.actions.batch_runs import Results
from modiste.actions.runs import Wish
from modiste.store.database import Database
from modiste.types import Actor, BatchCounts, JobError
from modiste.work import journal, watched
from modiste.work.bench import BatchBench
from modiste.work.local import Died, write_json
from modiste.work.watched import News, Watched, watch

RUNNER = "modiste.api.batch_run"
REQUEST, STATE = "batch-request.json", "batch-state.json"
LOG = "batch.log"
CANCEL_GRACE_S = 30.0
"""To write a line for each of many requests that did not run."""


@dataclass(frozen=True)
class Request:
    """What the child is to do."""

    batch_id: str
    endpoint: str
    dialect: str
    model: str | None
    inputs: tuple[Input, ...]
    actor: Actor
    deadline: float
    """Seconds since 1970."""


@dataclass(frozen=True)
class State:
    """How far the child is; what it counts is on the disk."""

    counts: BatchCounts = field(default_factory=BatchCounts)
    running: bool = False
    """Its lines are read and nothing is wrong with them."""
    ended: bool = False
    refused: Checked | None = None


REQUESTS: TypeAdapter[Request] = TypeAdapter(Request)
STATES: TypeAdapter[State] = TypeAdapter(State)


def run(bench: BatchBench) -> None:
    """Until the batch ended, or this worker drains."""
    task = bench.task
    if task.given_up:
        return _end(bench, task.batch.counts, error=_died(bench, "several times", ""))
    if not task.actor.scopes or task.batch.finalizing_at is not None:
        return _end(bench, task.batch.counts)
    _write_request(bench)
    while True:
        runner = bench.start_child(RUNNER, log_name=LOG)
        ended_by = watch(
            bench,
            runner,
            look=News(lambda: read_state(bench.run_dir), lambda said: _record(bench, said)).look,
            ended=lambda: read_state(bench.run_dir).ended,
            cancel_grace_s=CANCEL_GRACE_S,
        )
        state = read_state(bench.run_dir)
        if ended_by is Watched.HANDED_ON:
            return bench.hand_on()
        if ended_by is Watched.ENDED or bench.check() is Wish.CANCEL:
            break
        if not bench.record(lambda tx: batch_runs.count_attempt(tx, bench.claim)):
            died = Died(runner.exit_code or 0, runner.last_words())
            return _end(bench, state.counts, error=_died(bench, died.how, died.last_words))
    refused = state.refused
    if refused is not None:
        bench.record(lambda tx: batch_runs.record_refused(tx, bench.claim, refused))
        shutil.rmtree(bench.run_dir, ignore_errors=True)
    else:
        _end(bench, state.counts)


def read_state(run_dir: Path) -> State:
    path = run_dir / STATE
    return STATES.validate_json(path.read_bytes()) if path.exists() else State()


def write_state(run_dir: Path, state: State) -> None:
    write_json(run_dir / STATE, STATES.dump_python(state, mode="json"))


def tidy(database: Database) -> None:
    """Remove what batches left that ended while their worker died."""
    watched.tidy(database, REQUEST, batch_runs.unfinished)


def _write_request(bench: BatchBench) -> None:
    task, cache = bench.task, bench.settings.cache_dir / "blobs"
    bench.run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    (bench.run_dir / STATE).unlink(missing_ok=True)
    request = Request(
        batch_id=task.batch.id,
        endpoint=task.batch.endpoint,
        dialect=task.batch.dialect,
        model=task.batch.model,
        inputs=tuple(Input(name, bench.blobs.local(sha256, cache)) for name, sha256 in task.blobs),
        actor=task.actor,
        deadline=task.deadline.timestamp(),
    )
    write_json(bench.run_dir / REQUEST, REQUESTS.dump_python(request, mode="json"))


def _record(bench: BatchBench, state: State) -> None:
    if state.running:
        claim, counts = bench.claim, state.counts
        bench.record(lambda tx: batch_runs.record_progress(tx, claim, counts))


def _end(bench: BatchBench, counts: BatchCounts, *, error: JobError | None = None) -> None:
    """Files of the results so far, and the last word."""
    bench.record(lambda tx: batch_runs.record_finalizing(tx, bench.claim))
    made = journal.assemble(bench.run_dir / journal.NAME, bench.run_dir, n_requests=counts.total)
    results = Results(
        batch_runs.store(bench.database, bench.task, made.output, errors=False),
        batch_runs.store(bench.database, bench.task, made.errors, errors=True),
    )
    bench.record(lambda tx: batch_runs.record_ended(tx, bench.claim, counts, results, error=error))
    shutil.rmtree(bench.run_dir, ignore_errors=True)


def _died(bench: BatchBench, how: str, last_words: str) -> JobError:
    said = f" It said last: {last_words}" if last_words else ""
    return JobError(
        "batch_died",
        f"The process that sends the requests {how}, several times without a result in between; "
        f"results so far are kept.{said} Its log was {bench.run_dir / LOG}.",
    )
