"""The bench: one job in a worker's hands, and the few things that may be done with it.

Everything written about the job goes through `record`, which repeats a write until the database
takes it; what comes back is either done or LeaseLost.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from modiste.actions import runs
from modiste.actions.runs import Assignment, Wish
from modiste.errors import StorageFull, Unavailable
from modiste.settings import Settings
from modiste.store.blobs import Blobs
from modiste.store.database import Database, Tx
from modiste.store.queue import release
from modiste.types import JobError
from modiste.work.local import Child
from modiste.work.pulse import Pulse

log = logging.getLogger(__name__)
FIRST_WAIT_S, LONGEST_WAIT_S = 0.2, 5.0
T = TypeVar("T")


@dataclass(frozen=True)
class Bench:
    job: Assignment
    database: Database
    pulse: Pulse
    stopping: threading.Event
    """Set when this worker is asked to go."""
    environment: Mapping[str, str]

    @property
    def settings(self) -> Settings:
        return self.database.settings

    @property
    def blobs(self) -> Blobs:
        return self.database.blobs

    @property
    def run_dir(self) -> Path:
        return self.settings.runs_dir / self.job.job.id

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
                log.warning("cannot record job %s, trying again: %s", self.job.job.id, error)
                self.check()
                if self.stopping.wait(wait_s):
                    raise
                wait_s = min(LONGEST_WAIT_S, wait_s * 2)

    def fail(self, error: JobError) -> None:
        log.error("job %s failed: %s", self.job.job.id, error.message)
        self.record(lambda tx: runs.record_failed(tx, self.job.claim, error))

    def cancelled(self) -> None:
        self.record(lambda tx: runs.record_cancelled(tx, self.job.claim))

    def hand_on(self) -> None:
        """Back to the queue as it is, for the next worker."""
        self.record(lambda tx: release(tx, self.job.claim))

    def local_blob(self, file_id: str) -> Path:
        """A local file with the bytes this job was created with. Raises Corrupt."""
        return self.blobs.local(self.job.blobs[file_id], self.settings.cache_dir / "blobs")

    def filename(self, file_id: str) -> str:
        return self.job.filenames.get(file_id, file_id)

    def start_child(self, module: str, *, log_name: str) -> Child:
        return Child.start(module, self.run_dir, environment=self.environment, log_name=log_name)
