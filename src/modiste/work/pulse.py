"""A worker's pulse: a thread that says "I live", keeps the lease of the job in hand, and listens.

The main loop looks at `check()` between its steps; it never waits for the database because of the
lease. If the database is away the pulse keeps trying: what was ours stays ours until somebody else
claims it, and then the fence tells us. LeaseLost is final for a claim.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import sqlalchemy as sa

from modiste.actions import batch_runs, builds, eval_runs, runs
from modiste.actions.runs import Wish
from modiste.errors import LeaseLost, ModisteError
from modiste.store import queue
from modiste.store.database import Database, Tx
from modiste.store.queue import Claim, WorkerId
from modiste.store.tables import Phase

log = logging.getLogger(__name__)
LISTEN_S = 0.4
"""How long a cancellation takes to be heard."""
WISHES: Mapping[Phase, Callable[[Tx, Claim], Wish]] = {
    Phase.VALIDATE: runs.wish,
    Phase.TRAIN: runs.wish,
    Phase.CURATE: builds.wish,
    Phase.BATCH: batch_runs.wish,
    Phase.EVALUATE: eval_runs.wish,
}


class Pulse:
    """Start with `with pulse:`; one claim at a time with `with pulse.holding(claim):`.

    Args:
        signs: this worker is to be counted among the living; its second loop is not.
    """

    def __init__(self, database: Database, worker: WorkerId, *, signs: bool = True) -> None:
        self._database = database
        self._worker = worker
        self._signs = signs
        self._claim: Claim | None = None
        self._wish = Wish.GO_ON
        self._lost: LeaseLost | None = None
        self._changed = threading.Condition()
        self._stopped = False
        self._thread = threading.Thread(target=self._beat_until_stopped, name="pulse", daemon=True)

    def __enter__(self) -> Pulse:
        self._beat()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify()
        self._thread.join(timeout=10)
        if not self._signs:
            return
        try:
            with self._database.transaction() as tx:
                queue.worker_gone(tx, self._worker)
        except ModisteError as error:
            log.warning("could not sign off: %s", error.message)

    @contextmanager
    def holding(self, claim: Claim) -> Iterator[None]:
        with self._changed:
            self._claim, self._wish, self._lost = claim, Wish.GO_ON, None
        try:
            yield
        finally:
            with self._changed:
                self._claim = None

    def check(self) -> Wish:
        """What the job's people want now.

        Raises:
            LeaseLost: the job belongs to somebody else; stop touching it.
        """
        with self._changed:
            if self._lost is not None:
                raise self._lost
            return self._wish

    def _beat_until_stopped(self) -> None:
        interval_s = self._database.settings.lease_s / 3
        beat_at = time.monotonic() + interval_s
        while True:
            with self._changed:
                if not self._stopped:
                    self._changed.wait(min(LISTEN_S, interval_s))
                if self._stopped:
                    return
            if time.monotonic() >= beat_at:
                beat_at = time.monotonic() + interval_s
                self._beat()
            self._listen()

    def _beat(self) -> None:
        claim = self._claim
        try:
            if self._signs:
                with self._database.transaction() as tx:
                    queue.worker_seen(tx, self._worker, job_id=claim.job_id if claim else None)
            if claim is not None:
                with self._database.transaction() as tx:
                    queue.heartbeat(tx, claim)
        except LeaseLost as error:
            self._lose(claim, error)
        except (ModisteError, sa.exc.SQLAlchemyError) as error:
            log.warning("heartbeat failed, trying again: %s", error)

    def _listen(self) -> None:
        claim = self._claim
        if claim is None:
            return
        try:
            with self._database.transaction(write=False) as tx:
                wish = WISHES[claim.phase](tx, claim)
        except LeaseLost as error:
            self._lose(claim, error)
        except (ModisteError, sa.exc.SQLAlchemyError) as error:
            log.warning("could not read what job %s is wanted to do: %s", claim.job_id, error)
        else:
            with self._changed:
                if self._claim is claim:
                    self._wish = wish

    def _lose(self, claim: Claim | None, error: LeaseLost) -> None:
        """Unless the claim was given back by ourselves in the meantime."""
        with self._changed:
            if self._claim is claim and claim is not None:
                self._lost = error
