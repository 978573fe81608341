"""What other jobs in the table cost the one that trains: the worker's writes, with 0 and 1,000.

    .venv/bin/python benchmarks/jobs.py [--jobs 1000] [--rounds 200]

A database of its own in a temporary folder (SQLite, as `modiste up` starts with). Half of the other
jobs have succeeded, with checkpoints and a metric for each of 20 steps; half wait, validated. Every
figure is the median of `--rounds` transactions, commit and disk included. A trainer never touches
the database: these are the writes of the worker beside it, a few times a second at most.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from modiste import settings
from modiste.actions import files, jobs, keys, models, runs
from modiste.store import queue
from modiste.store.blobs import adapter_of
from modiste.store.database import Database
from modiste.store.queue import Claim, WorkerId
from modiste.types import Actor, Hyperparameters, JobEstimate, Parity, TrainingFile

HERE = WorkerId.of_this_process()
PARITY = Parity(True, 8, 100, 1e-5, 1e-6, 1e-3, 0.5, "made by a benchmark")
STEPS = 20


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=200)
    arguments = parser.parse_args()
    alone = measured(0, rounds=arguments.rounds)
    crowded = measured(arguments.jobs, rounds=arguments.rounds)
    print(
        f"{'median ms of a transaction':32}{'alone':>9}{f'+{arguments.jobs} jobs':>12}{'ratio':>8}"
    )
    for name in alone:
        ratio = crowded[name] / alone[name]
        print(f"{name:32}{alone[name]:9.2f}{crowded[name]:12.2f}{ratio:8.2f}")
    return 0


def measured(n_others: int, *, rounds: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        database = Database(settings.load(flags={"home": Path(folder)}, environment={}))
        database.migrate()
        try:
            return _measured(database, n_others, rounds)
        finally:
            database.close()


def _measured(database: Database, n_others: int, rounds: int) -> dict[str, float]:
    with database.transaction() as tx:
        secret = keys.bootstrap(tx) or ""
        models.ensure_shipped(tx)
        actor = keys.authenticate(tx, secret)
    for number in range(n_others):
        _other(database, actor, number, succeeded=number % 2 == 0)
    claim = _training(database, actor, n_others)
    steps = iter(range(1, 1_000_000))

    def timed(verb: Callable[..., Any], *values: Any, **options: Any) -> float:
        began = time.perf_counter()
        with database.transaction() as tx:
            verb(tx, *values, **options)
        return (time.perf_counter() - began) * 1000

    def record() -> float:
        step = next(steps)
        return timed(runs.record_events, claim, [_step(step)], offset=step)

    def median(once: Callable[[], float]) -> float:
        return statistics.median(once() for _ in range(rounds))

    return {
        "heartbeat": median(lambda: timed(queue.heartbeat, claim)),
        "is it still wanted": median(lambda: timed(runs.wish, claim)),
        "a step recorded": median(record),
        "the job looked at": median(lambda: timed(jobs.get, actor, claim.job_id)),
        "the newest 100 jobs listed": median(lambda: timed(jobs.list_, actor)),
    }


def _other(database: Database, actor: Actor, number: int, *, succeeded: bool) -> None:
    claim = _training(database, actor, number, auto_start=succeeded)
    if not succeeded:
        return
    with database.transaction() as tx:
        told = [_step(step) for step in range(1, STEPS + 1)]
        runs.record_events(tx, claim, told, offset=STEPS)
        adapter = adapter_of({"adapter_model.safetensors": f"{number:064x}"})
        runs.record_trained(tx, claim, adapter=adapter, trained_tokens=9)
        runs.record_success(tx, claim, parity=PARITY)


def _training(database: Database, actor: Actor, number: int, *, auto_start: bool = True) -> Claim:
    """A new job in the hands of this worker: taken for training, or left behind validated."""
    row = {"messages": [{"role": "user", "content": f"{number}?"},
                        {"role": "assistant", "content": str(number)}]}  # fmt: skip
    chunks = [json.dumps(row).encode() + b"\n"]
    file = files.add(database, actor, filename=f"{number}.jsonl", chunks=chunks)
    with database.transaction() as tx:
        jobs.create(
            tx,
            actor,
            model=models.SHIPPED,
            training_files=[TrainingFile(file.id)],
            auto_start=auto_start,
        )
    claim = _taken(database)
    with database.transaction() as tx:
        runs.record_validated(
            tx,
            claim,
            spec={"max_steps": STEPS},
            estimate=JobEstimate(expected_duration_s=60),
            hyperparameters=Hyperparameters(training_steps=STEPS),
            skip_lines={},
        )
    return _taken(database) if auto_start else claim


def _taken(database: Database) -> Claim:
    with database.transaction() as tx:
        found = runs.take(tx, HERE)
    if found is None:
        raise RuntimeError("the queue gave no job")
    return found.claim


def _step(step: int) -> dict[str, Any]:
    return {"event": "step", "step": step, "total_steps": STEPS, "loss": 2.0, "learning_rate": 1e-4}


if __name__ == "__main__":
    raise SystemExit(main())
