"""The trainer: one process, one job, one folder. `python -m modiste.work.training RUN_DIR`

It reads job.json, trains, and says everything as JSON lines in events.jsonl. It holds a lock on
the folder, so two trainers never run one job; started again after any kind of death it goes on from
its last checkpoint. Files beside job.json steer it: `cancel` ends it, `pause` ends it behind a
checkpoint. SIGTERM cancels too; interrupts from the keyboard are its parent's business. It leaves
adapter/ in PEFT layout and parity.json, both before it says `finished`.

Exit codes: 0 said how it ended (finished, cancelled, paused), 1 failed and said why, 75 another
trainer holds the folder, 76 it was one of several processes and lost another one. Torch is imported
only once the lock is held.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from modiste.errors import ModisteError, ProcessLost, TuningFailed
from modiste.settings import Sharding
from modiste.tune.events import Cancelled, Event, Failed, Finished, Paused
from modiste.work import member
from modiste.work.child import EXIT_LOCKED, LOCK_TIMEOUT_S, locked
from modiste.work.out_of_memory import StartAgain
from modiste.work.stall import Alarm

if TYPE_CHECKING:
    from modiste.tune.sft import Done, Stop, Stopped

log = logging.getLogger("modiste.trainer")

"""EX_TEMPFAIL of sysexits.h."""


def main(argv: list[str] | None = None) -> int:
    arguments = sys.argv[1:] if argv is None else argv
    if len(arguments) != 1:
        print("usage: python -m modiste.work.training RUN_DIR", file=sys.stderr)
        return 2
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    # Threads that spin while they wait burn the core that the slowest of them needs.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # Each shape of product is compiled and kept, up to half a megabyte each; a thousand by default.
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "256")
    began = time.monotonic()
    run_dir = Path(arguments[0]).resolve()
    if not run_dir.is_dir():
        print(f"{run_dir}: no such folder", file=sys.stderr)
        return 2
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        return train(run_dir, member.NoSignals() if member.several() else _Signals(), began)
    except StartAgain:
        logging.shutdown()
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606  # The same process id.


def train(run_dir: Path, signals: _Signals | member.NoSignals, began: float) -> int:
    """The run, or this process's part in it; the exit code."""
    if member.rank() > 0:
        return member.follow(run_dir, lambda: _train(run_dir, lambda event: None, signals))
    with locked(run_dir / "lock") as held:
        if not held:
            log.error("another trainer has held %s for %.0f s", run_dir, LOCK_TIMEOUT_S)
            return EXIT_LOCKED
        with EventLog(run_dir / "events.jsonl") as events:
            return _run(run_dir, events, signals, began)


class EventLog:
    """events.jsonl: one line per event, each written whole; what a crash tore is cut off first."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stream: BinaryIO | None = None

    def __enter__(self) -> EventLog:
        self._stream = self._path.open("r+b" if self._path.exists() else "w+b", buffering=0)
        end = _end_of_last_line(self._stream)
        self._stream.truncate(end)
        self._stream.seek(end)
        return self

    def __exit__(self, *_: object) -> None:
        if self._stream is not None:
            self._stream.close()

    def __call__(self, event: Event) -> None:
        """Raises TuningFailed when the disk is full; the line is then not there in part either."""
        if self._stream is None:
            raise RuntimeError("EventLog is used outside its with block")
        line = json.dumps({**event.as_dict(), "at": datetime.now(UTC).isoformat()}) + "\n"
        content, before = line.encode(), self._stream.tell()
        try:
            if self._stream.write(content) != len(content):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            self._stream.truncate(before)
            self._stream.seek(before)
            raise _cannot_write(error, self._path) from error


def _run(
    run_dir: Path, events: EventLog, signals: _Signals | member.NoSignals, began: float
) -> int:
    """Train and say how it ended. The broad except is this process's edge: it records.

    Raises StartAgain, which is no end.
    """
    try:
        ended = _train(run_dir, events, signals)
        _conclude(ended, events, signals, began)
    except StartAgain:
        raise
    except ProcessLost as error:
        words = member.words_of_others(run_dir)
        if words is not None:
            return _failed(events, words.code, words.message)
        log.error("%s", error.message)
        return member.EXIT_LOST
    except ModisteError as error:
        return _failed(events, error.error_code, error.message)
    except OSError as error:
        failure = _cannot_write(error, run_dir)
        return _failed(events, failure.error_code, failure.message)
    except Exception as error:
        log.exception("the trainer failed")
        return _failed(events, "internal", f"the trainer failed: {type(error).__name__}: {error}")
    return 0


def _train(
    run_dir: Path, on_event: Callable[[Event], None], signals: _Signals | member.NoSignals
) -> Done | Stopped:
    job = _read_job(run_dir / "job.json")
    with Alarm(on_event, stall_timeout_s=job.get("stall_timeout_s")) as alarmed:
        return _trained(job, run_dir, alarmed, signals)


def _trained(
    job: Mapping[str, Any],
    run_dir: Path,
    on_event: Callable[[Event], None],
    signals: _Signals | member.NoSignals,
) -> Done | Stopped:
    base_path = Path(job["base_path"])

    from modiste.tune.allocator import keep_freed_memory

    keep_freed_memory()
    # Imported here: torch takes a second and reads OMP_WAIT_POLICY when it is loaded.
    from modiste.nn.base import describe_base
    from modiste.prepare import render
    from modiste.prepare.fim import Fim
    from modiste.tune.mixture import Samples, Source
    from modiste.tune.sft import Done, finetune
    from modiste.tune.sizing import longest_allowed
    from modiste.tune.spec import TuneSpec
    from modiste.tune.trackers import Trackers
    from modiste.tune.tuned import in_fp32
    from modiste.work import labelled_rows, out_of_memory, worst_rows
    from modiste.work.training_rows import (
        DataFile,
        data_file,
        parity_rows,
        read_samples,
        tokenised,
    )

    spec = TuneSpec.model_validate(job["spec"])
    info = describe_base(base_path)
    group = member.join()
    machine = member.machine_of(group, run_dir, info, threads=job.get("threads"), spec=spec)
    wanted = job.get("shard_base", Sharding.AUTO)
    group.lockstep = member.spreads(group, wanted, spec=spec, info=info, machine=machine)
    renderer, longest = render.load(base_path), longest_allowed(spec, info)
    read = partial(
        read_samples, renderer=renderer, max_length=longest, over_length=spec.over_length
    )
    skip = job.get("skip_lines", {})
    train = [data_file(entry, skip) for entry in job["train"]]
    validation = [data_file(entry, skip) for entry in job.get("validation", [])]
    fim = Fim(spec.fim_ratio, spec.seed)

    def samples_of(files: list[DataFile], fim: Fim | None = None) -> Samples:
        if spec.classifier_targets:
            return labelled_rows.samples(files, renderer, spec.classifier_targets, longest)
        return tokenised(chain.from_iterable(read(file, fim=fim) for file in files))

    recipe = partial(
        finetune,
        spec,
        base_path,
        sources=(
            sources := [
                Source(file.filename, file.weight, samples_of([file], fim)) for file in train
            ]
        ),
        validation=(held_out := samples_of(validation)),
        run_dir=run_dir,
        should_stop=_stop_file(run_dir, signals),
        group=group,
    )
    shown = spec if group.speaks else spec.model_copy(update={"trackers": ()})
    name = spec.suffix or job.get("job_id") or run_dir.name
    with Trackers(shown, run_dir, name=name, on_event=on_event) as tell:
        if group.size > 1:
            ended = recipe(machine=machine, on_event=tell)
        else:
            ended = out_of_memory.with_less(
                lambda machine, hear: recipe(machine=machine, on_event=hear),
                machine,
                spec=spec,
                info=info,
                run_dir=run_dir,
                on_event=tell,
            )
        tell.succeeded = isinstance(ended, Done)
    if isinstance(ended, Done) and group.speaks:
        if ended.worst:
            found_worst = worst_rows.report(ended.worst, [*train, *validation])
            _write_json(run_dir / worst_rows.FILE, found_worst)
        if spec.classifier_targets:
            from modiste.work import classified

            data = classified.Data(sources, held_out, [*validation, *train], renderer)
            classified.leave(run_dir, ended, spec, base_path, data, on_event)
            return ended
        samples = chain.from_iterable(map(read, [*validation, *train]))
        exact = in_fp32(ended.tuned, spec, base_path)
        found = parity_rows(samples, exact, longest=info.max_context_length)
        _write_json(run_dir / "parity.json", {"rows": found})
    return ended


def _conclude(
    ended: Done | Stopped,
    events: EventLog,
    signals: _Signals | member.NoSignals,
    began: float,
) -> None:
    from modiste.tune.sft import Done, Stop

    if isinstance(ended, Done):
        counters = ended.counters
        events(
            Finished(
                adapter_dir=str(ended.result_dir),
                trained_tokens=counters.n_tokens,
                target_tokens=counters.n_trained_tokens,
                seconds=time.monotonic() - began,
                step=ended.kept_step,
                valid_loss=counters.valid_loss
                if ended.kept_step == counters.step
                else counters.best_loss,
                base_valid_loss=counters.base_valid_loss,
                stopped_early=counters.stopped_early,
            )
        )
    elif ended.stop is Stop.PAUSE:
        events(Paused(ended.step))
    else:
        events(Cancelled(ended.step, "signal" if signals.received else "request"))


def _failed(events: EventLog, code: str, message: str) -> int:
    log.error("%s: %s", code, message)
    try:
        events(Failed(code, message))
    except ModisteError as error:  # a full disk: the log and the exit code have to do
        log.error("and it cannot be recorded: %s", error.message)
    return 1


class _Signals:
    """Remembers SIGTERM; the recipe asks between batches, so a step is never torn."""

    def __init__(self) -> None:
        self.received = False
        signal.signal(signal.SIGTERM, self._receive)

    def _receive(self, *_: object) -> None:
        self.received = True


def _stop_file(run_dir: Path, signals: _Signals | member.NoSignals) -> Callable[[], Stop | None]:
    from modiste.tune.sft import Stop

    cancel, pause = run_dir / "cancel", run_dir / "pause"

    def should_stop() -> Stop | None:
        if signals.received or cancel.exists():
            return Stop.CANCEL
        return Stop.PAUSE if pause.exists() else None

    return should_stop


def _read_job(path: Path) -> Mapping[str, Any]:
    try:
        job: Mapping[str, Any] = json.loads(path.read_bytes())
        missing = [name for name in ("base_path", "spec", "train") if name not in job]
    except (OSError, ValueError, TypeError) as error:
        raise TuningFailed(f"{path} cannot be read: {error}", code="job_unreadable") from error
    if missing:
        raise TuningFailed(f"{path} lacks {', '.join(missing)}", code="job_unreadable")
    return job


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(content), encoding="utf-8")
    partial.replace(path)


def _cannot_write(error: OSError, path: Path) -> TuningFailed:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return TuningFailed(
            f"no space left on the disk of {path}; free some space and start the job again, it "
            "continues from its last checkpoint",
            code="storage_full",
        )
    return TuningFailed(f"{error.filename or path}: {error.strerror or error}", code="io_failed")


def _end_of_last_line(stream: BinaryIO) -> int:
    """Byte behind the last newline."""
    end = stream.seek(0, os.SEEK_END)
    while end:
        start = max(0, end - 65_536)
        stream.seek(start)
        newline = stream.read(end - start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end = start
    return 0


if __name__ == "__main__":
    code = main()
    if member.several():
        from modiste.tune.processes import end

        end(code)
    raise SystemExit(code)
