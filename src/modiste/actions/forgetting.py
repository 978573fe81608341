"""Forgetting rows: no model may learn from them any more.

Models that learned from a forgotten row, or went on from one that did, are marked stale, and every
later job with the row is refused (`row_forgotten`). There is no way back, and no file is deleted:
the answer names those that still hold the row.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from modiste.actions import seen
from modiste.actions.keys import require
from modiste.errors import InvalidInput
from modiste.store.data_tables import ForgottenRow
from modiste.store.database import Tx
from modiste.store.tables import JobRow, ModelRow
from modiste.types import Actor, Forgotten, Scope, Stale

MAX_REASON = 1000


@dataclass(frozen=True)
class Forgetting:
    """What came of forgetting rows."""

    rows: tuple[Forgotten, ...]
    stale_models: tuple[str, ...]
    unfinished_jobs: tuple[str, ...]
    """Jobs on their way: those that have yet to train on a row will fail, the others end stale."""
    files: tuple[seen.Holding, ...]
    """Files that still hold one of the rows: delete them, they cannot be trained on as they are."""
    unknown: tuple[str, ...]
    """Rows that no file and no model knows; they are refused all the same."""


def forget(tx: Tx, actor: Actor, ids: Iterable[str], *, reason: str) -> Forgetting:
    """Let no model learn from these rows any more; saying it again changes nothing.

    Raises:
        InvalidInput: an id that cannot be one, too many of them, or no reason.
    """
    require(actor, Scope.DATA)
    wanted = list(dict.fromkeys(ids))
    seen.check_ids(wanted)
    if not reason.strip() or len(reason) > MAX_REASON:
        raise InvalidInput(f"reason is a text of 1 to {MAX_REASON} characters.", param="reason")
    tx.alone("forgotten rows")
    said = tuple(_remember(tx, actor, id, reason.strip()) for id in wanted)
    read = seen.Indexes(tx)
    line = seen.Lines(tx)
    touched = {
        job: met
        for job in seen.jobs(tx, actor.org)
        if (met := seen.trained_on(line(job), wanted, read))
    }
    stale = [model.id for job in touched if (model := mark(tx, job, read)) is not None]
    held = tuple(seen.holding(tx, actor, wanted, read, private=True))
    known = set().union(*touched.values())
    known |= set(seen.in_files(tx, actor.org, wanted, read))
    return Forgetting(
        rows=said,
        stale_models=tuple(stale),
        unfinished_jobs=tuple(job.id for job in touched if job.finished_at is None),
        files=held,
        unknown=tuple(id for id in wanted if id not in known),
    )


def mark(tx: Tx, job: JobRow, read: seen.Indexes | None = None) -> ModelRow | None:
    """Say of the job's model that it is stale, where it learned from rows forgotten by now.

    Called when rows are forgotten, and when a job ends: both take the same lock, so that no model
    slips through between the two.
    """
    if job.fine_tuned_model is None:
        return None
    tx.alone("forgotten rows")
    model = tx.session.get(ModelRow, job.fine_tuned_model)
    gone = seen.forgotten(tx, job.org)
    line = seen.Lines(tx)(job)
    met = seen.trained_on(line, gone, read or seen.Indexes(tx)) if gone else set()
    if model is None or not met:
        return None
    n_rows = len(met)
    if model.stale is None or model.stale.n_rows != n_rows:
        reason = "; ".join(dict.fromkeys(gone[id] for id in sorted(met)))
        model.stale = Stale(at=tx.now(), reason=reason[:MAX_REASON], n_rows=n_rows)
        tx.session.flush()
    return model


def forgotten_lines(tx: Tx, org: str, indexes: Mapping[str, str]) -> dict[str, list[int]]:
    """Lines that no job may train on, for each of these files (file id to index)."""
    gone = seen.forgotten(tx, org)
    read = seen.Indexes(tx)
    found = {}
    for file_id, sha256 in indexes.items() if gone else ():
        lines = [line for lines in read(sha256).lines(gone).values() for line in lines]
        if lines:
            found[file_id] = sorted(lines)
    return found


def _remember(tx: Tx, actor: Actor, row_id: str, reason: str) -> Forgotten:
    there = tx.session.get(ForgottenRow, (actor.org, row_id))
    if there is None:
        there = ForgottenRow(
            org=actor.org,
            row_id=row_id,
            reason=reason,
            created_at=tx.now(),
            created_by=actor.key_id,
        )
        tx.session.add(there)
        tx.session.flush()
    return there.noun()
