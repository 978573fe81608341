"""A training job in a worker's hands, from STARTED to SUCCESS.

1. the trainer runs to its end, started again from its last checkpoint when it dies,
2. the adapter becomes blobs,
3. the served model is held against the trained one,
4. the model is registered, in the transaction that ends the job.

A worker that takes over begins at the first of these that is not recorded as done.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from modiste.actions import continued, runs, weights
from modiste.actions.runs import Wish
from modiste.errors import Corrupt, InvalidInput, ModisteError, ParityFailed
from modiste.nn.base import describe_base
from modiste.serve.upstream import Upstreams
from modiste.serve.vllm import VllmEngine
from modiste.settings import Executor
from modiste.store.blobs import adapter_of
from modiste.store.database import Database
from modiste.tune import room, speeds
from modiste.tune.spec import TuneSpec
from modiste.types import Adapter, JobError, JobType, Parity
from modiste.work import class_parity, out_of_memory, parity
from modiste.work.bench import Bench
from modiste.work.local import (
    LOCKED_ELSEWHERE,
    Cancelled,
    Died,
    Failed,
    Finished,
    Outcome,
    Stalled,
    Stopped,
    Watch,
    tell,
    write_json,
)

log = logging.getLogger(__name__)
TRAINERS = {
    Executor.LOCAL: "modiste.work.training",
    Executor.TORCHRUN: "modiste.work.torchrun",
    Executor.RAY: "modiste.work.ray",
}
"""All take the run's folder and leave the same events in it."""
EVENTS = "events.jsonl"
CHECKPOINTS = "checkpoints"
WORST = "worst.json"
LOW_DISK_BYTES = 64 << 20


STORAGE_FULL = (
    "No space was left on the disk of {run_dir} for a checkpoint. Free some space (`modiste files "
    "delete`, `modiste models delete`, or another disk through MODISTE_HOME) and create the job "
    "again."
)


def run(bench: Bench) -> None:
    try:
        _run(bench)
    finally:
        tidy(bench.database, [bench.job.job.id])


def tidy(database: Database, job_ids: Iterable[str] | None = None) -> None:
    """Remove the checkpoints of jobs that ended; events, logs and the adapter stay."""
    runs_dir = database.settings.runs_dir
    if job_ids is None:
        job_ids = [path.parent.name for path in runs_dir.glob(f"*/{CHECKPOINTS}")]
    try:
        with database.transaction(write=False) as tx:
            ended = runs.ended(tx, job_ids)
    except ModisteError as error:
        log.warning("could not look for checkpoints to remove: %s", error.message)
        return
    for job_id in ended:
        shutil.rmtree(runs_dir / job_id / CHECKPOINTS, ignore_errors=True)
        shutil.rmtree(runs_dir / job_id / "best", ignore_errors=True)


def _run(bench: Bench) -> None:
    claim = bench.job.claim
    adapter = bench.job.adapter or _trained(bench)
    if adapter is None:
        return
    certificate = _certified(bench, adapter)
    if certificate is None:
        return
    model = bench.record(lambda tx: runs.record_success(tx, claim, parity=certificate))
    if model is not None:
        log.info("job %s made %s. %s", bench.job.job.id, model.id, certificate.message)


def _trained(bench: Bench) -> Adapter | None:
    """The adapter, recorded; None when the job ended or was handed on without one."""
    if bench.job.events_offset == 0 and (error := _forgotten_since(bench)) is not None:
        bench.fail(error)
        return None
    outcome = _left_by_an_earlier_worker(bench) or _run_trainer(bench)
    claim = bench.job.claim
    match outcome.ending:
        case Finished() as finished:
            _remember_speed(bench)
            adapter = _publish(bench, finished)
            worst = bench.run_dir / WORST
            worst_sha256 = bench.blobs.put_file(worst).sha256 if worst.exists() else None
            bench.record(
                lambda tx: runs.record_trained(
                    tx,
                    claim,
                    adapter=adapter,
                    trained_tokens=finished.trained_tokens,
                    worst_sha256=worst_sha256,
                )
            )
            return adapter
        case Failed("storage_full", _):
            bench.fail(JobError("storage_full", STORAGE_FULL.format(run_dir=bench.run_dir)))
        case Failed(code, message):
            bench.fail(JobError(code, message))
        case Cancelled():
            bench.cancelled()
        case Stopped(step):
            bench.record(
                lambda tx: runs.record_stopped(tx, claim, step=step, offset=outcome.offset)
            )
        case Stalled(quiet_s):
            bench.fail(JobError("stalled", _stalled(bench, quiet_s)))
        case Died() as died if died.out_of_memory:
            bench.fail(JobError(out_of_memory.CODE, _out_of_memory(bench)))
        case Died() as died:
            bench.fail(JobError("trainer_died", _died(bench, died)))
    return None


def _remember_speed(bench: Bench) -> None:
    """The next plan of such a job on this machine knows how fast this one was."""
    job = bench.job
    key = job.job.estimate.figures.get("speed", {}).get("key")
    if not key or job.spec is None:
        return
    reached = bench.record(lambda tx: runs.speed_of(tx, job.job.id))
    if reached:
        spec, info = TuneSpec.model_validate(job.spec), describe_base(job.base_path)
        told = speeds.of_last_job(reached, spec, info)
        kept = replace(told, rests_on="measured on this machine in a job like this")
        speeds.remember(bench.settings.cache_dir / "speeds", key, kept)


def _forgotten_since(bench: Bench) -> JobError | None:
    """Rows may have been forgotten while the validated job waited. Training begun is finished."""
    job = bench.job
    found = bench.record(lambda tx: runs.forgotten_lines(tx, job.claim, job.rows))
    told = [
        f"{bench.filename(file_id)} line {', '.join(map(str, lines))}"
        for file_id, lines in found.items()
    ]
    if not told:
        return None
    text = f"Rows of the job were forgotten while it waited: {'; '.join(told)}. Leave them out of "
    return JobError("row_forgotten", text + "the files and create the job anew.", "training_files")


def _run_trainer(bench: Bench) -> Outcome:
    claim = bench.job.claim
    _write_job(bench)
    offset = bench.job.events_offset
    while True:
        kills = room.out_of_memory_kills()
        outcome = Watch(
            bench.start_child(
                TRAINERS[bench.settings.executor], log_name="trainer.log", secrets=_secrets(bench)
            ),
            offset=offset,
            stall_timeout_s=bench.settings.stall_timeout_s,
            drain_timeout_s=max(1.0, bench.settings.drain_timeout_s - 5.0),
            record=lambda events, end: bench.record(
                lambda tx: runs.record_events(tx, claim, events, offset=end)
            ),
            check=bench.check,
            draining=bench.stopping.is_set,
        ).until_end()
        further, offset = outcome.offset > offset, outcome.offset
        died = outcome.ending
        if not isinstance(died, Died):
            return outcome
        if room.out_of_memory_kills() > kills:
            died = died._replace(out_of_memory=True)
            outcome = outcome._replace(ending=died)
            out_of_memory.note_kill(bench.run_dir)
        log.warning("the trainer in %s %s", bench.run_dir, died.how)
        if further and died.exit_code == LOCKED_ELSEWHERE:
            continue  # A trainer of an earlier worker still works; its words are ours to record.
        if not bench.record(lambda tx: runs.count_attempt(tx, claim)):
            return outcome


def _secrets(bench: Bench) -> dict[str, str]:
    """Keys of the job's trackers. A job whose keys cannot be read trains without them."""
    try:
        return bench.record(lambda tx: runs.secrets(tx, bench.job.claim))
    except (Corrupt, InvalidInput) as error:
        text = f"The job trains without the keys of its trackers. {error.message}"
        bench.record(lambda tx: runs.note(tx, bench.job.claim, text))
        return {}


def _left_by_an_earlier_worker(bench: Bench) -> Outcome | None:
    """An end that a trainer reached while the worker above it died before recording it."""
    claim, path, offset = bench.job.claim, bench.run_dir / EVENTS, bench.job.events_offset
    while True:
        told = tell(path, offset)
        if told.events:
            bench.record(
                lambda tx, told=told: runs.record_events(  # type: ignore[misc]
                    tx, claim, told.events, offset=told.offset
                )
            )
        if isinstance(told.ending, (Finished, Failed)):
            return Outcome(told.ending, told.end)
        if told.end == offset:
            return None
        offset = told.end  # Behind a pause or a cancellation that is over.


def _write_job(bench: Bench) -> None:
    """job.json: all that the trainer needs to know."""
    job = bench.job
    if job.spec is None:
        raise Corrupt(f"Job {job.job.id} was never validated; create it again.")

    def entry(file_id: str, weight: float) -> dict[str, Any]:
        path = str(bench.local_blob(file_id))
        return {"path": path, "filename": bench.filename(file_id), "weight": weight}

    train = {file_id: entry(file_id, weight) for file_id, weight in job.job.training_files}
    valid = {file_id: entry(file_id, 1.0) for file_id in job.job.validation_files}
    skip = {e["path"]: job.skip_lines.get(file_id, []) for file_id, e in (train | valid).items()}
    content = {
        "job_id": job.job.id,
        "base_path": str(job.base_path),
        "spec": _spec(bench, job.spec),
        "train": list(train.values()),
        "validation": list(valid.values()),
        "skip_lines": skip,
        "threads": bench.settings.train_threads,
        "stall_timeout_s": bench.settings.stall_timeout_s,
        "processes": bench.settings.train_processes,
        "shard_base": bench.settings.shard_base.value,
        "ray_address": bench.settings.ray_address,
    }
    write_json(bench.run_dir / "job.json", content)


def _spec(bench: Bench, spec: Mapping[str, Any]) -> dict[str, Any]:
    """With the folder of the adapter it goes on from, where it names a model."""
    if spec.get("continue_from") is None:
        return dict(spec)
    kept, cache = bench.job.blobs, bench.settings.cache_dir
    folder = continued.folder(bench.blobs, kept, spec["continue_from"], cache)
    return {**spec, "continue_from": str(folder)}


def _publish(bench: Bench, finished: Finished) -> Adapter:
    paths = sorted(path for path in finished.adapter_dir.iterdir() if path.is_file())
    return adapter_of({path.name: bench.blobs.put_file(path).sha256 for path in paths})


def _certified(bench: Bench, adapter: Adapter) -> Parity | None:
    """The parity certificate; None when the job ended or was handed on without one."""
    cache, base = bench.settings.cache_dir, bench.job.base_path
    try:
        found = weights.folders(bench.blobs, cache, base=base, made=adapter)
        if bench.job.job.job_type is JobType.CLASSIFIER:
            assert found.adapter is not None  # noqa: S101  # Full tuning makes no classifiers.
            return class_parity.check(
                bench.run_dir,
                base_path=found.base,
                adapter_folder=found.adapter,
                adapter_version=found.version,
                process_dir=bench.settings.process_dir,
                still_wanted=lambda: _still_wanted(bench),
                answer_timeout_s=bench.settings.stall_timeout_s,
            )
        return parity.check(
            bench.run_dir,
            base_path=found.base,
            adapter_folder=found.adapter,
            adapter_version=found.version,
            process_dir=bench.settings.process_dir,
            elsewhere=_elsewhere(bench, adapter),
            still_wanted=lambda: _still_wanted(bench),
            answer_timeout_s=bench.settings.stall_timeout_s,
        )
    except _NotWanted as end:
        if end.wish is Wish.CANCEL:
            bench.cancelled()
        else:
            bench.hand_on()
    except ParityFailed as error:
        where = f"The adapter lies in {bench.run_dir / 'adapter'}."
        bench.fail(JobError(error.error_code, f"{error.message} {where}"))
    return None


def _elsewhere(bench: Bench, adapter: Adapter) -> Callable[[], VllmEngine] | None:
    """The server that will answer for the model, where that is not the built-in engine."""
    upstream = bench.job.upstream
    if upstream is None or adapter.is_whole:
        return None
    return lambda: Upstreams(bench.settings).vllm(upstream)


class _NotWanted(Exception):
    """While parity waited, the job was cancelled or this worker was asked to go."""

    def __init__(self, wish: Wish) -> None:
        super().__init__(wish)
        self.wish = wish


def _still_wanted(bench: Bench) -> None:
    """A pause this close to the end is not worth one: only cancelling and leaving count."""
    if bench.check() is Wish.CANCEL:
        raise _NotWanted(Wish.CANCEL)
    if bench.stopping.is_set():
        raise _NotWanted(Wish.PAUSE)


def _stalled(bench: Bench, quiet_s: float) -> str:
    return (
        f"The trainer said nothing for {quiet_s:.0f} s and was stopped. Look into "
        f"{bench.run_dir / 'trainer.log'}; if single steps take that long here, raise "
        "MODISTE_STALL_TIMEOUT_S."
    )


def _out_of_memory(bench: Bench) -> str:
    spec = TuneSpec.model_validate(bench.job.spec)
    info, run_dir = describe_base(bench.job.base_path), bench.run_dir
    advice = out_of_memory.advice_of_run(spec, info, run_dir)
    return f"The trainer was killed by the system, several times without getting further. {advice}"


def _died(bench: Bench, died: Died) -> str:
    text = f"The trainer {died.how}, several times without getting further."
    free = shutil.disk_usage(bench.run_dir).free
    if free < LOW_DISK_BYTES:
        text += f" Only {free >> 20} MB are free on the disk of {bench.run_dir}: make room."
    if died.exit_code == LOCKED_ELSEWHERE:
        text += f" Stop the process that holds {bench.run_dir / 'lock'} (`fuser` names it)."
    words = f" It said last: {died.last_words}" if died.last_words else ""
    return f"{text} Look into {bench.run_dir / 'trainer.log'}.{words}"
