"""The serving engine: takes requests, steps every base that has work, and answers each one.

`add`, `abort`, `step`: no sockets, no processes, one thread. Each request, accepted or refused,
ends in exactly one last event, whatever breaks on the way. `serve.process` runs it as a process of
its own.
"""

from __future__ import annotations

import logging
import math
import secrets
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch

from modiste.errors import InvalidInput
from modiste.serve.encoding import Encoding
from modiste.serve.lane import NOT_NUMBERS, Lane, Room, lane_bytes, load_lane
from modiste.serve.protocol import RESTART_S
from modiste.serve.scheduler import Admission, Key, Plan, Scheduler, Sequence
from modiste.serve.sequence import (
    Embed,
    Embedded,
    Event,
    Failed,
    FailureCode,
    Finished,
    FinishReason,
    Generate,
    Logprob,
    PromptLogprobs,
    Request,
    Score,
    Scored,
    Tokens,
)
from modiste.serve.shelf import Shelf
from modiste.settings import ServeLinear

log = logging.getLogger(__name__)


class Engine:
    """Owned by one thread. `emit` receives every event with the key of its request."""

    def __init__(
        self,
        *,
        max_sequences: int,
        max_waiting: int,
        memory_bytes: int,
        prefix_bytes: int | None = None,
        emit: Callable[[Key, Event], None],
        wake: Callable[[], None] = lambda: None,
        threads: int = 1,
        linear: ServeLinear = ServeLinear.AUTO,
    ) -> None:
        """`wake` is called from another thread when something that was waited for is loaded.
        `prefix_bytes` keep prompts that were met, per base: None is a share of the memory, 0 keeps
        none."""
        self.scheduler = Scheduler(max_sequences=max_sequences, max_waiting=max_waiting)
        self._leaves_at: float | None = None
        self._emit = emit
        self._threads = threads
        self._by_key: dict[Key, Sequence] = {}
        self._step_began_at: float | None = None
        room = Room(
            max_sequences,
            cells_bytes=memory_bytes // 4,
            adapters_bytes=memory_bytes // 8,
            prefix_bytes=memory_bytes // 16 if prefix_bytes is None else prefix_bytes,
            linear=linear,
        )
        self._pools = [
            # torch's number of threads belongs to the thread that sets it.
            ThreadPoolExecutor(1, name, initializer=torch.set_num_threads, initargs=(threads,))
            for name in ("load-base", "load-adapter")
        ]
        self._lanes: Shelf[str, Lane] = Shelf(
            lambda path: load_lane(Path(path), room=room, pool=self._pools[1], wake=wake),
            size_bytes=lambda path: _fitting(Path(path), room, memory_bytes),
            limit_bytes=memory_bytes,
            pool=self._pools[0],
            on_loaded=wake,
        )
        self._encoding = Encoding(
            memory_bytes=memory_bytes // 4, pool=self._pools[0], emit=emit, wake=wake
        )

    @property
    def draining(self) -> bool:
        return self._leaves_at is not None

    @property
    def drained(self) -> bool:
        """Told to leave, and nobody is here or time is up."""
        return self._leaves_at is not None and (self.idle or time.monotonic() > self._leaves_at)

    @property
    def idle(self) -> bool:
        return self.scheduler.idle and not self._encoding.keys

    @property
    def n_requests(self) -> int:
        return len(self._by_key) + len(self._encoding.keys)

    def drain(self, timeout_s: float) -> None:
        """From now on refuse what comes, and finish what is here if that takes no longer."""
        self._leaves_at = time.monotonic() + timeout_s

    def add(self, key: Key, request: Request) -> None:
        """Queue a request, or refuse it at once."""
        if self._leaves_at is not None:
            text = "the engine finishes what it has and is restarted; send this again"
            left_s = max(0.0, self._leaves_at - time.monotonic())
            wait = min(left_s, self.scheduler.done_in_s()) + RESTART_S
            self._emit(key, Failed(request.id, FailureCode.RESTARTING, text, wait))
            return
        if isinstance(request, Embed) and self._encoding.takes(request):
            self._encoding.add(key, request)
            return
        if self.scheduler.full:
            wait = self.scheduler.retry_after_s()
            text = (
                f"all {self.scheduler.max_sequences} places and {self.scheduler.max_waiting} "
                f"waiting places are taken; one should be free in {wait:.0f} s"
            )
            if (displaced := self.scheduler.displaced_by(request.owner)) is None:
                self._emit(key, Failed(request.id, FailureCode.BUSY, text, wait))
                return
            self._fail(displaced, FailureCode.BUSY, text, retry_after_s=wait)
        if key in self._by_key:
            text = f"number {key.number} is taken by a request that still runs"
            self._emit(key, Failed(request.id, FailureCode.INVALID, text))
            return
        seed = request.sampling.seed if isinstance(request, Generate) else 0
        sequence = Sequence(key, request, secrets.randbits(64) if seed is None else seed)
        self._by_key[key] = sequence
        self.scheduler.add(sequence)

    def abort(self, key: Key) -> None:
        """Stop a request before the next step; one that has ended is ignored."""
        self._encoding.abort(key)
        if (sequence := self._by_key.get(key)) is not None:
            self._end(sequence, _finished(sequence, FinishReason.CANCELLED))

    def forget(self, connection: int) -> None:
        """Abort all that a client which is gone had asked for."""
        for key in [*self._by_key, *self._encoding.keys]:
            if key.connection == connection:
                self.abort(key)

    def step(self) -> bool:
        """Start who may start, then one step of every base with work. False: nothing could run."""
        self.scheduler.admit(self._start)
        for sequence in list(self.scheduler.running):
            self._prepare(sequence)
        plans = list(self.scheduler.plans())
        for plan in plans:
            self._step_began_at = time.monotonic()
            try:
                self._run(plan)
            except Exception as error:  # One base's trouble must not end the others; all are told.
                log.exception("a step of %s failed", plan.base)
                for sequence in {*plan.generating, *(piece.sequence for piece in plan.pieces)}:
                    if sequence.key in self._by_key:
                        self._fail(sequence, FailureCode.INTERNAL, f"the engine failed: {error}")
            finally:
                self._step_began_at = None
        return self._encoding.step() or bool(plans)

    def fail_all(self, message: str) -> None:
        """Tell everyone who is still here that the engine leaves."""
        self._encoding.fail_all(message, retry_after_s=RESTART_S)
        for sequence in list(self._by_key.values()):
            self._fail(sequence, FailureCode.RESTARTING, message, retry_after_s=RESTART_S)

    def status(self) -> dict[str, Any]:
        """Safe to call from another thread."""
        began = self._step_began_at
        return {
            "state": "draining" if self.draining else "ready",
            "running": len(self.scheduler.running),
            "waiting": len(self.scheduler.waiting),
            "max_sequences": self.scheduler.max_sequences,
            "max_waiting": self.scheduler.max_waiting,
            "step_running_s": 0.0 if began is None else time.monotonic() - began,
            "threads": self._threads,
            "bases": {
                path: {
                    "fingerprint": lane.fingerprint,
                    "bits_depend_on": lane.bits_depend_on,
                    "context": lane.context,
                    "reproducible": lane.reproducible,
                    "linear": lane.precision.kind.value,
                    "exact": lane.precision.exact,
                    "kernels": lane.kernels,
                    "adapters": len(lane.adapters.held()),
                    "free_cells": lane.slots.n_free,
                    "cells": lane.slots.n_cells,
                    "prefix_bytes": lane.prefix.n_bytes,
                }
                for path, lane in self._lanes.held().items()
            },
        }

    def close(self) -> None:
        for pool in self._pools:
            pool.shutdown(wait=False, cancel_futures=True)
        for lane in self._lanes.held().values():
            lane.close()

    def _prepare(self, sequence: Sequence) -> None:
        """Copy what is known of its prompt, or find room for its next token, if need be at the
        cost of who started last."""
        if sequence.slot is None:
            return  # It made room a moment ago.
        lane = self._running_lane(sequence.request.base)
        if sequence.blocks_ahead:
            lane.reuse(sequence)
        while sequence.slot is not None and not (sequence.reading or lane.grow(sequence)):
            last = self.scheduler.make_way(sequence.request.base)
            lane.stop(last)
            self._lanes.unpin(last.request.base)

    def _start(self, sequence: Sequence) -> Admission:
        request = sequence.request
        try:
            if (lane := self._lane(request.base)) is None:
                return Admission.LOADING
            admission = lane.start(sequence)
        except InvalidInput as refused:
            return self._refuse(sequence, refused.error_code, refused.message)
        except (
            Exception
        ) as error:  # A load may fail in ways we did not foresee; its caller is told.
            log.exception("request %s cannot start", request.id)
            text = f"the engine could not start this request: {error}"
            return self._refuse(sequence, FailureCode.INTERNAL, text)
        if admission is Admission.STARTED:
            self._lanes.pin(request.base)
        return admission

    def _refuse(self, sequence: Sequence, code: str, message: str) -> Admission:
        del self._by_key[sequence.key]
        self._emit(sequence.key, Failed(sequence.request.id, code, message))
        return Admission.ENDED

    def _lane(self, path: str) -> Lane | None:
        try:
            return self._lanes.get(path)
        except InvalidInput as error:
            raise InvalidInput(error.message, code=FailureCode.BASE) from error

    def _running_lane(self, path: str) -> Lane:
        lane = self._lane(path)
        assert lane is not None  # noqa: S101  # What runs on it pins it.
        return lane

    def _run(self, plan: Plan) -> None:
        lane = self._running_lane(plan.base)
        began = time.monotonic()
        outcome = lane.step(plan)
        for broken in outcome.broken:
            self._fail(*broken)
        for sequence in dict.fromkeys(piece.sequence for piece in plan.pieces):
            if not sequence.reading and sequence.key in self._by_key:
                self._read(sequence)
        for drawn in outcome.drawn:
            if drawn.sequence.key in self._by_key:
                self._drawn(*drawn)
        self.scheduler.measured(plan, time.monotonic() - began)

    def _read(self, sequence: Sequence) -> None:
        """The whole prompt was computed."""
        request, logprobs = sequence.request, sequence.logprobs
        if not all(math.isfinite(one.logprob) for one in logprobs):
            self._fail(sequence, FailureCode.INTERNAL, NOT_NUMBERS)
        elif isinstance(request, Score):
            self._end(sequence, Scored(request.id, tuple(one.logprob for one in logprobs)))
        elif isinstance(request, Embed):
            if all(map(math.isfinite, sequence.vector)):
                self._end(sequence, Embedded(request.id, sequence.vector))
            else:
                self._fail(sequence, FailureCode.INTERNAL, NOT_NUMBERS)
        elif request.prompt_logprobs is not None and not sequence.generated:
            self._emit(sequence.key, PromptLogprobs(request.id, tuple(logprobs)))
            sequence.logprobs = []

    def _drawn(self, sequence: Sequence, token: int, logprob: Logprob | None) -> None:
        request, constraint = sequence.request, sequence.constraint
        if sequence.length >= sequence.end:  # max_tokens is 0: the prompt was read, no more.
            self._end(sequence, _finished(sequence, FinishReason.LENGTH))
            return
        sequence.add(token)
        if isinstance(request, Generate) and token in request.stop_ids:
            self._end(sequence, _finished(sequence, FinishReason.STOP))
            return
        fingerprint = sequence.fingerprint if len(sequence.generated) == 1 else ""
        told = (logprob,) if logprob else ()
        self._emit(sequence.key, Tokens(request.id, (token,), told, fingerprint))
        if constraint is not None and constraint.complete:
            self._end(sequence, _finished(sequence, FinishReason.STOP))
        elif sequence.length >= sequence.end:
            self._end(sequence, _finished(sequence, FinishReason.LENGTH))

    def _fail(
        self, sequence: Sequence, code: str, message: str, *, retry_after_s: float | None = None
    ) -> None:
        self._end(sequence, Failed(sequence.request.id, code, message, retry_after_s))

    def _end(self, sequence: Sequence, event: Finished | Scored | Embedded | Failed) -> None:
        self.scheduler.remove(sequence)
        del self._by_key[sequence.key]
        if sequence.slot is not None:
            self._running_lane(sequence.request.base).stop(sequence)
            self._lanes.unpin(sequence.request.base)
        self._emit(sequence.key, event)


def _finished(sequence: Sequence, reason: FinishReason) -> Finished:
    n_generated = len(sequence.generated)
    return Finished(sequence.request.id, reason, n_generated, sequence.n_reused)


def _fitting(path: Path, room: Room, memory_bytes: int) -> int:
    """What the base will take.

    Raises:
        InvalidInput: more than there is.
    """
    needed = lane_bytes(path, room)
    if needed > memory_bytes:
        raise InvalidInput(
            f"{path}: this base needs {needed / 2**30:.1f} GiB and the engine may take "
            f"{memory_bytes / 2**30:.1f} GiB; set MODISTE_SERVE_LINEAR to bf16 or int8, use a "
            "smaller base or a machine with more memory",
            code=FailureCode.BASE,
        )
    return needed
