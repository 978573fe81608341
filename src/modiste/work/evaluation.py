"""An evaluation, from the worker's side: a child process asks and grades, we follow and record.

The child is `modiste.work.eval_run`; it reads RUN_DIR/eval-request.json, appends samples to the
journal, and says in RUN_DIR/eval-state.json how far it is. When it has ended, its file of samples
becomes a blob and its figures the run's. Cancelled, failed or given up, a run keeps the samples it
has, and whoever resumes it is not asked for them again.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import orjson
from pydantic import TypeAdapter

from modiste.actions import eval_runs
from modiste.actions.eval_runs import Outcome
from modiste.actions.evaluations import SAMPLES_NAME
from modiste.actions.runs import Wish
from modiste.errors import LeaseLost, ModisteError
from modiste.evaluate.scorers.refusal import BLOCKED
from modiste.store.database import Database
from modiste.types import Actor, EvalCounts, EvalRun, JobError
from modiste.work import journal, watched
from modiste.work.bench import EvalBench
from modiste.work.local import Died, write_json
from modiste.work.watched import News, Watched, watch

RUNNER = "modiste.work.eval_run"
REQUEST, STATE = "eval-request.json", "eval-state.json"
LOG = "eval.log"
CANCEL_GRACE_S = 5.0


@dataclass(frozen=True)
class Request:
    """What the child is to do."""

    run: EvalRun
    files: Mapping[str, Path]
    """The suite's files by their ids."""
    names: Mapping[str, str]
    """What people call them."""
    actor: Actor
    earlier: Path | None = None
    """Samples that are there already: to grade anew, or not to ask again."""


@dataclass(frozen=True)
class State:
    """How far the child is; what it counts is on the disk."""

    counts: EvalCounts = field(default_factory=EvalCounts)
    running: bool = False
    ended: bool = False
    record: Mapping[str, Any] | None = None
    metrics: tuple[Mapping[str, Any], ...] = ()
    error: JobError | None = None


REQUESTS: TypeAdapter[Request] = TypeAdapter(Request)
STATES: TypeAdapter[State] = TypeAdapter(State)


def run(bench: EvalBench) -> None:
    """Until the run ended, or this worker drains."""
    try:
        _run(bench)
    except LeaseLost:
        raise
    except ModisteError as error:
        told = JobError(error.error_code, error.message, error.param, error.problems)
        _end(bench, State(error=told))


def _run(bench: EvalBench) -> None:
    task = bench.task
    if task.given_up:
        return _end(bench, State(error=_died(bench, "several times", "")))
    if not task.actor.scopes:
        return _end(bench, State(error=eval_runs.KEY_GONE))
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
            return _end(bench, state)
        if not bench.record(lambda tx: eval_runs.count_attempt(tx, bench.claim)):
            died = Died(runner.exit_code or 0, runner.last_words())
            error = _died(bench, died.how, died.last_words)
            return _end(bench, State(state.counts, error=error))


def read_state(run_dir: Path) -> State:
    path = run_dir / STATE
    return STATES.validate_json(path.read_bytes()) if path.exists() else State()


def write_state(run_dir: Path, state: State) -> None:
    write_json(run_dir / STATE, STATES.dump_python(state, mode="json"))


def tidy(database: Database) -> None:
    """Remove what runs left that ended while their worker died."""
    watched.tidy(database, REQUEST, eval_runs.unfinished)


def _write_request(bench: EvalBench) -> None:
    task, cache = bench.task, bench.settings.cache_dir / "blobs"
    if _is_of_an_earlier_life(bench):
        shutil.rmtree(bench.run_dir, ignore_errors=True)
    bench.run_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    (bench.run_dir / STATE).unlink(missing_ok=True)
    local = {id_: bench.blobs.local(sha256, cache) for id_, (_, sha256) in task.blobs.items()}
    request = Request(
        run=task.run,
        files=local,
        names={id_: name for id_, (name, _) in task.blobs.items()},
        actor=task.actor,
        earlier=local.get(SAMPLES_NAME),
    )
    write_json(bench.run_dir / REQUEST, REQUESTS.dump_python(request, mode="json"))


def _record(bench: EvalBench, state: State) -> None:
    if state.running:
        claim, counts = bench.claim, state.counts
        bench.record(lambda tx: eval_runs.record_progress(tx, claim, counts))


def _is_of_an_earlier_life(bench: EvalBench) -> bool:
    """Whether the folder was left here before the run ended elsewhere and was resumed."""
    path = bench.run_dir / REQUEST
    if not path.exists():
        return False
    then = REQUESTS.validate_json(path.read_bytes()).run
    return then.samples_sha256 != bench.task.run.samples_sha256


def _end(bench: EvalBench, state: State) -> None:
    """Its samples as one file, and the last word."""
    kept, counts = bench.run_dir / journal.NAME, bench.task.run.counts
    sha256 = bench.task.run.samples_sha256
    if kept.exists():
        counts, n_places = _counted(kept, total=max(counts.total, state.counts.total))
        made = journal.assemble(kept, bench.run_dir, n_requests=n_places)
        if made.output is not None:
            sha256 = bench.blobs.put_file(made.output).sha256
    outcome = Outcome(counts, sha256, state.record, state.metrics, state.error)
    bench.record(lambda tx: eval_runs.record_ended(tx, bench.claim, outcome))
    shutil.rmtree(bench.run_dir, ignore_errors=True)


def _counted(path: Path, *, total: int) -> tuple[EvalCounts, int]:
    """What the journal holds, and how many places it needs; a child that was killed had no time to
    say so."""
    seen: set[int] = set()
    counts = EvalCounts()
    for entry in journal.entries(path):
        if entry.place in seen:
            continue
        seen.add(entry.place)
        answer = orjson.loads(entry.json)["answer"]
        counts = replace(
            counts,
            done=counts.done + 1,
            failed=counts.failed + ((answer["failure"] or {}).get("code") not in (None, BLOCKED)),
            prompt_tokens=counts.prompt_tokens + answer["prompt_tokens"],
            completion_tokens=counts.completion_tokens + answer["completion_tokens"],
            cost_micro=counts.cost_micro + (answer["cost_micro"] or 0),
        )
    counts = replace(counts, total=max(total, counts.done))
    return counts, max(total, max(seen, default=-1) + 1)


def _died(bench: EvalBench, how: str, last_words: str) -> JobError:
    said = f" It said last: {last_words}" if last_words else ""
    return JobError(
        "evaluation_died",
        f"The process that asks and grades {how}, several times without a sample in between; "
        f"samples so far are kept, and `modiste eval resume` goes on with them.{said} Its log was "
        f"{bench.run_dir / LOG}.",
    )
