"""The worker: claim a job, do what its phase asks, say how it ended, again and again.

    python -m modiste.work.worker

One job at a time, and beside it one batch of requests and one evaluation, which mostly wait for the
engine: each a loop and a lease of its own, in a thread. The job stays ours by the pulse's lease;
LeaseLost anywhere means: drop the job, take the next. What must survive is in the database or in
`runs/<job_id>` before it is relied on, so a worker may be killed at any moment and another goes on.
SIGTERM drains: the trainer stops behind a checkpoint, the job goes back to the queue.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping

import sqlalchemy as sa

from modiste import settings as settings_module
from modiste.actions import batch_runs, builds, eval_runs, runs, sweep
from modiste.actions.batch_runs import BatchTask
from modiste.actions.builds import Build
from modiste.actions.eval_runs import EvalTask
from modiste.actions.runs import Assignment, Wish
from modiste.errors import LeaseLost, ModisteError
from modiste.settings import Settings
from modiste.store import queue
from modiste.store.database import Database, Tx
from modiste.store.queue import Claim, WorkerId
from modiste.store.tables import Phase
from modiste.types import JobError
from modiste.work import batch, build, evaluation, finetune, validation
from modiste.work.bench import BatchBench, Bench, BuildBench, Desk, EvalBench
from modiste.work.pulse import Pulse
from modiste.work.supervisor import environment

log = logging.getLogger("modiste.worker")
IDLE_S = 0.3
RETRY_S = 1.0
SWEEP_EVERY_S = 3600.0
JOBS: Mapping[Phase, Callable[[Bench], None]] = {
    Phase.VALIDATE: validation.run,
    Phase.TRAIN: finetune.run,
}


BATCHES = frozenset({Phase.BATCH})
EVALUATIONS = frozenset({Phase.EVALUATE})
MAIN = frozenset(Phase) - BATCHES - EVALUATIONS
Taken = Assignment | Build | BatchTask | EvalTask


class Worker:
    """Set `stopping` to drain; `run` returns when the job in hand is handed on or done.

    Args:
        phases: what it takes: jobs and datasets, or batches or evaluations alone beside that loop
            of this process, which is the one that is counted and that sweeps.
    """

    def __init__(self, settings: Settings, *, phases: frozenset[Phase] = MAIN) -> None:
        self.database = Database(settings)
        self.id = WorkerId.of_this_process()
        self.stopping = threading.Event()
        self._phases = phases
        self._pulse = Pulse(self.database, self.id, signs=phases == MAIN)
        self._environment = environment(settings)
        self._sweep_at = 0.0

    def run(self) -> None:
        with self._pulse:
            while not self.stopping.is_set():
                taken = self._next()
                if taken is None:
                    self._sweep()
                    self.stopping.wait(IDLE_S)
                    continue
                with self._pulse.holding(taken.claim):
                    match taken:
                        case Build():
                            self._build(taken)
                        case BatchTask():
                            self._batch(taken)
                        case EvalTask():
                            self._evaluate(taken)
                        case _:
                            self._work(taken)

    def _next(self) -> Taken | None:
        try:
            with self.database.transaction(write=False) as tx:
                if not queue.waiting(tx, self.id, self._phases):
                    return None
            with self.database.transaction() as tx:
                return self._take(tx)
        except ModisteError as error:
            log.warning("cannot look for work, trying again: %s", error.message)
            self.stopping.wait(RETRY_S)
            return None

    def _take(self, tx: Tx) -> Taken | None:
        claim = queue.claim(tx, self.id, self._phases)
        if claim is None:
            return None
        if claim.phase is Phase.BATCH:
            return batch_runs.taken(tx, claim)
        if claim.phase is Phase.EVALUATE:
            return eval_runs.taken(tx, claim)
        return builds.taken(tx, claim) if claim.phase is Phase.CURATE else runs.taken(tx, claim)

    def _work(self, job: Assignment) -> None:
        bench = Bench(job, self.database, self._pulse, self.stopping, self._environment)
        self._do(bench, runs.wish, job.given_up, lambda: JOBS[job.claim.phase](bench))

    def _build(self, wanted: Build) -> None:
        bench = BuildBench(wanted, self.database, self._pulse, self.stopping, self._environment)
        self._do(bench, builds.wish, wanted.given_up, lambda: build.run(bench))

    def _batch(self, task: BatchTask) -> None:
        """What stops it, it looks into itself: its results so far are kept whatever that is."""
        bench = BatchBench(task, self.database, self._pulse, self.stopping, self._environment)
        self._do(bench, lambda _tx, _claim: Wish.GO_ON, False, lambda: batch.run(bench))

    def _evaluate(self, task: EvalTask) -> None:
        """As with batches, samples so far are kept whatever stops it."""
        bench = EvalBench(task, self.database, self._pulse, self.stopping, self._environment)
        self._do(bench, lambda _tx, _claim: Wish.GO_ON, False, lambda: evaluation.run(bench))

    def _do(
        self,
        bench: Desk,
        wish: Callable[[Tx, Claim], Wish],
        given_up: bool,
        work: Callable[[], None],
    ) -> None:
        """Everything ends recorded, or handed on: whatever goes wrong, somebody is told."""
        claim = bench.claim
        verb = "takes over" if claim.taken_over else "takes"
        log.info("%s job %s to %s, fence %d", verb, claim.job_id, claim.phase, claim.fence)
        try:
            # From the row itself: the pulse has not listened yet.
            if bench.record(lambda tx: wish(tx, claim)) is Wish.CANCEL:
                bench.cancelled()
            elif given_up:
                bench.fail(JobError("given_up", GIVEN_UP.format(run_dir=bench.run_dir)))
            else:
                work()
        except LeaseLost as error:
            log.warning("%s", error.message)
        except ModisteError as error:
            self._fail(
                bench, JobError(error.error_code, error.message, error.param, error.problems)
            )
        except Exception as error:  # noqa: BLE001 - the edge of the process: recorded as the end
            log.error("job %s: %s", claim.job_id, traceback.format_exc())
            what = f"{type(error).__name__}: {error}"
            self._fail(bench, JobError("internal_error", INTERNAL.format(what=what)))

    def _fail(self, bench: Desk, error: JobError) -> None:
        try:
            bench.fail(error)
        except (ModisteError, sa.exc.SQLAlchemyError) as also:
            # The lease runs out, and whoever takes the job over ends it.
            log.error("job %s: its end could not be recorded: %s", bench.claim.job_id, also)

    def _sweep(self) -> None:
        """Once an hour, when there is nothing to do: bytes that nothing refers to any more."""
        if self._phases != MAIN or time.monotonic() < self._sweep_at:
            return
        self._sweep_at = time.monotonic() + SWEEP_EVERY_S
        finetune.tidy(self.database)
        try:
            build.tidy(self.database)
            batch.tidy(self.database)
            evaluation.tidy(self.database)
            gone = sweep.sweep(self.database)
        except (ModisteError, OSError) as error:
            log.warning("could not sweep the blob store: %s", error)
        else:
            log.log(logging.INFO if gone else logging.DEBUG, "swept %d unused blobs", gone)


GIVEN_UP = (
    "Given up: several attempts ended without any progress, the last one together with its "
    "worker. Look into the logs in {run_dir} and the worker's log; if the machine ran out of "
    "memory, try a smaller seq_len or batch_size."
)
INTERNAL = (
    "A fault of the software ended the job: {what}. Please report it; the worker's log says where "
    "it happened."
)


def main(argv: list[str] | None = None) -> int:
    """Runs until SIGTERM or SIGINT; settings come from the environment."""
    if sys.argv[1:] if argv is None else argv:
        print("usage: python -m modiste.work.worker (settings: MODISTE_HOME, ...)", file=sys.stderr)
        return 2
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("alembic").setLevel(logging.WARNING)
    try:
        settings = settings_module.load()
        worker = Worker(settings)
        beside = [Worker(settings, phases=phases) for phases in (BATCHES, EVALUATIONS)]
        worker.database.migrate()
    except ModisteError as error:
        log.error("%s", error.message)
        return error.exit_code

    def stop(*_: object) -> None:
        for each in (worker, *beside):
            each.stopping.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    threads = [
        threading.Thread(target=_run_or_die, args=(each,), name=name)
        for each, name in zip(beside, ("batches", "evaluations"), strict=True)
    ]
    for thread in threads:
        thread.start()
    try:
        worker.run()
    finally:
        stop()
        for thread in threads:
            thread.join()
        for each in (worker, *beside):
            each.database.close()
    return 0


def _run_or_die(worker: Worker) -> None:
    """A loop that ends by a fault takes the process along: whoever started it starts it again."""
    try:
        worker.run()
    except BaseException:  # noqa: BLE001 - the edge of a thread: said, then the process ends
        log.critical("a loop beside the jobs broke: %s", traceback.format_exc())
        os._exit(1)


if __name__ == "__main__":
    raise SystemExit(main())
