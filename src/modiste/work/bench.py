"""The bench: what a worker has in its hands, and the few things that may be done with it.

Everything written about it goes through `record`, which repeats a write until the database
takes it; what comes back is either done or LeaseLost.
"""

from __future__ import annotations

import logging
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from modiste.actions import batch_runs, builds, eval_runs, runs
from modiste.actions.batch_runs import BatchTask
from modiste.actions.builds import Build
from modiste.actions.eval_runs import EvalTask, Outcome
from modiste.actions.job_requests import INSTEAD_OF
from modiste.actions.runs import Assignment, Wish
from modiste.errors import StorageFull, Unavailable
from modiste.settings import Settings
from modiste.store.blobs import Blobs
from modiste.store.database import Database, Tx
from modiste.store.queue import Claim, release
from modiste.types import JobError
from modiste.work.local import Child
from modiste.work.pulse import Pulse

log = logging.getLogger(__name__)
FIRST_WAIT_S, LONGEST_WAIT_S = 0.2, 5.0
T = TypeVar("T")


class Desk(ABC):
    """What may be done with anything that a worker holds."""

    database: Database
    pulse: Pulse
    stopping: threading.Event
    """Set when this worker is asked to go."""
    environment: Mapping[str, str]

    @property
    @abstractmethod
    def claim(self) -> Claim: ...

    @abstractmethod
    def fail(self, error: JobError) -> None: ...

    @abstractmethod
    def cancelled(self) -> None: ...

    @property
    def settings(self) -> Settings:
        return self.database.settings

    @property
    def blobs(self) -> Blobs:
        return self.database.blobs

    @property
    def run_dir(self) -> Path:
        return self.settings.runs_dir / self.claim.job_id

    def check(self) -> Wish:
        """What is wanted now. Raises LeaseLost when the job is no longer ours."""
        return self.pulse.check()

    def record(self, write: Callable[[Tx], T]) -> T:
        """One transaction about the job, repeated until the database takes it.

        Nothing may be lost because the disk is full or the database is away for a while. The claim
        makes repeating safe, and ends it: LeaseLost when the job went to somebody else.
        """
        wait_s = FIRST_WAIT_S
        while True:
            try:
                with self.database.transaction() as tx:
                    return write(tx)
            except (StorageFull, Unavailable) as error:
                log.warning("cannot record job %s, trying again: %s", self.claim.job_id, error)
                self.check()
                if self.stopping.wait(wait_s):
                    raise
                wait_s = min(LONGEST_WAIT_S, wait_s * 2)

    def hand_on(self) -> None:
        """Back to the queue as it is, for the next worker."""
        self.record(lambda tx: release(tx, self.claim))

    def start_child(
        self, module: str, *, log_name: str, secrets: Mapping[str, str] | None = None
    ) -> Child:
        """`secrets` are in the child's environment and nowhere else."""
        environment = self.environment_with(secrets or {})
        return Child.start(module, self.run_dir, environment=environment, log_name=log_name)

    def environment_with(self, secrets: Mapping[str, str]) -> dict[str, str]:
        """The server's own, where the job's keys do not stand in for it."""
        replaced = {name for key in secrets for name in INSTEAD_OF.get(key, ())}
        own = {name: v for name, v in self.environment.items() if name not in replaced}
        return own | dict(secrets)


@dataclass(frozen=True)
class Bench(Desk):
    """A job in hand."""

    job: Assignment
    database: Database
    pulse: Pulse
    stopping: threading.Event
    environment: Mapping[str, str]

    @property
    def claim(self) -> Claim:
        return self.job.claim

    def fail(self, error: JobError) -> None:
        log.error("job %s failed: %s", self.job.job.id, error.message)
        self.record(lambda tx: runs.record_failed(tx, self.job.claim, error))

    def cancelled(self) -> None:
        self.record(lambda tx: runs.record_cancelled(tx, self.job.claim))

    def local_blob(self, file_id: str) -> Path:
        """A local file with the bytes this job was created with. Raises Corrupt."""
        return self.blobs.local(self.job.blobs[file_id], self.settings.cache_dir / "blobs")

    def filename(self, file_id: str) -> str:
        return self.job.filenames.get(file_id, file_id)


@dataclass(frozen=True)
class BuildBench(Desk):
    """A version of a dataset in hand."""

    build: Build
    database: Database
    pulse: Pulse
    stopping: threading.Event
    environment: Mapping[str, str]

    @property
    def claim(self) -> Claim:
        return self.build.claim

    def fail(self, error: JobError) -> None:
        log.error("dataset %s failed: %s", self.build.version.label, error.message)
        self.record(lambda tx: builds.record_failed(tx, self.claim, error))

    def cancelled(self) -> None:
        self.record(lambda tx: builds.record_cancelled(tx, self.claim))


@dataclass(frozen=True)
class BatchBench(Desk):
    """A batch of requests in hand."""

    task: BatchTask
    database: Database
    pulse: Pulse
    stopping: threading.Event
    environment: Mapping[str, str]

    @property
    def claim(self) -> Claim:
        return self.task.claim

    def fail(self, error: JobError) -> None:
        log.error("batch %s failed: %s", self.claim.job_id, error.message)
        self.record(lambda tx: batch_runs.record_failed(tx, self.claim, error))

    def cancelled(self) -> None:
        """Without files; one that ran ends through `batch_runs.record_ended`."""
        self.record(lambda tx: batch_runs.record_failed(tx, self.claim, CANCELLED))


@dataclass(frozen=True)
class EvalBench(Desk):
    """A run of a suite in hand."""

    task: EvalTask
    database: Database
    pulse: Pulse
    stopping: threading.Event
    environment: Mapping[str, str]

    @property
    def claim(self) -> Claim:
        return self.task.claim

    def fail(self, error: JobError) -> None:
        """Without what it may have answered; one that ran ends through `record_ended`."""
        log.error("evaluation %s failed: %s", self.claim.job_id, error.message)
        outcome = Outcome(self.task.run.counts, self.task.run.samples_sha256, error=error)
        self.record(lambda tx: eval_runs.record_ended(tx, self.claim, outcome))

    def cancelled(self) -> None:
        self.fail(CANCELLED)


CANCELLED = JobError("cancelled", "Cancelled.")
