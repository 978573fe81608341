"""Runs that no suite of ours asked become runs like our own.

Those of another program are checked as if nobody were trusted: the model must exist, every sample
is read, every figure is computed here. The record says whence a run came, from which version and
with which flags, and that its scores were given. Nothing of it is asked or graded anew. Statements
of SQL, whose rows hold the answers already, keep theirs in the same way (`keep`).
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from modiste import __version__
from modiste.actions import files, models
from modiste.actions.keys import require
from modiste.errors import InvalidInput, NotFound, TooLarge
from modiste.evaluate import imported as imports
from modiste.evaluate.imported import Imported
from modiste.evaluate.items import Sample, line_of
from modiste.evaluate.metric import METRICS, Metric
from modiste.evaluate.record import RECORD, Record
from modiste.prepare.checked import checked
from modiste.store.database import Database, Tx
from modiste.store.eval_tables import EvalRunRow
from modiste.types import Actor, EvalRun, EvalStatus, File, Model, Scope

MAX_SPEC_BYTES = 1 << 20
MAX_SAMPLES_BYTES = 512 << 20
"""They are read into memory, as a comparison will read them."""


class Graded(NamedTuple):
    """A run with its figures, before it is kept."""

    told: Imported
    samples: Sequence[Sample]
    metrics: Sequence[Metric]
    primary: str
    """`SCORER.METRIC` that decides."""
    scorers: Mapping[str, str]
    """Name to identity."""
    subject: str | None = None
    """What its model is called in the run; without, the model's id."""


def import_run(
    database: Database,
    actor: Actor,
    *,
    spec: Mapping[str, Any],
    file_id: str,
    group: str | None = None,
) -> EvalRun:
    """Keep a run of another program; the answer is durable.

    Args:
        spec: what the other program says of it (`evaluate.imported.Imported`).
        file_id: an uploaded file of samples, JSON lines in our format; it may go afterwards.
        group: an id that runs of one command share.

    Raises:
        InvalidInput: what is wrong with the spec or with samples, each line in `problems`.
        NotFound: no such model or file.
        TooLarge: more than is read.
    """
    require(actor, Scope.INFER)
    require(actor, Scope.DATA)
    wanted = _spec(spec, group)
    with database.transaction(write=False) as tx:
        model = models.resolve(tx, actor, wanted.model)
        file = _file(tx, actor, file_id)
        lines = b"".join(tx.blobs.open(file.sha256)).splitlines()
    samples = imports.samples_of(lines, wanted, name=file.filename)
    metrics = imports.figures(wanted, samples)
    identities = imports.identities(wanted, samples)
    graded = Graded(wanted, samples, metrics, metrics[0].id, identities)
    with database.transaction() as tx:
        _file(tx, actor, file_id)  # still there: its bytes become the run's
        row = _row(tx, actor, graded, model, file.sha256)
        row.private, row.run_group = file.visibility == "user", group
        tx.session.add(row)
        tx.session.flush()
        return row.noun()


def keep(database: Database, actor: Actor, graded: Graded, *, group: str | None = None) -> EvalRun:
    """Keep answers that were graded in this process, for the key alone: so may be what they hold.

    Raises:
        NotFound: no such model. TooLarge: more than is read again.
    """
    require(actor, Scope.INFER)
    lines = b"".join(line_of(sample) + b"\n" for sample in graded.samples)
    if len(lines) > MAX_SAMPLES_BYTES:
        raise TooLarge(
            f"the samples have {len(lines):,} bytes; runs of at most {MAX_SAMPLES_BYTES:,} are kept"
        )
    stored = database.blobs.put_bytes(lines)
    with database.transaction() as tx:
        model = models.resolve(tx, actor, graded.told.model)
        row = _row(tx, actor, graded, model, stored.sha256)
        row.private, row.run_group = True, group
        tx.session.add(row)
        tx.session.flush()
        return row.noun()


def _spec(spec: Mapping[str, Any], group: str | None) -> Imported:
    size = len(json.dumps(spec))
    if size > MAX_SPEC_BYTES:
        raise TooLarge(f"run has {size:,} bytes, at most {MAX_SPEC_BYTES:,} are taken", param="run")
    if group is not None:
        try:
            uuid.UUID(group)
        except ValueError:
            raise InvalidInput(f"group is {group!r:.60}, expected a UUID", param="group") from None
    return checked(Imported, dict(spec), file="run")


def _file(tx: Tx, actor: Actor, file_id: str) -> File:
    file = files.named(tx, actor, file_id)
    if file is None:
        raise NotFound(f"No file {file_id!r:.60} is here.", param="file_id")
    if file.size_bytes > MAX_SAMPLES_BYTES:
        raise TooLarge(
            f"{file.filename} has {file.size_bytes:,} bytes; runs of at most "
            f"{MAX_SAMPLES_BYTES:,} are imported",
            param="file_id",
        )
    return file


def _row(tx: Tx, actor: Actor, graded: Graded, model: Model, samples_sha256: str) -> EvalRunRow:
    now, run_id, told = tx.now(), str(uuid.uuid4()), graded.told
    record = _record(run_id, graded, model, now)
    return EvalRunRow(
        id=run_id,
        org=actor.org,
        created_by=actor.key_id,
        status=EvalStatus.SUCCESS,
        suite=told.suite,
        subject=record.subject,
        model=told.model,
        model_id=model.id,
        spec={"imported": told.model_dump(mode="json")},
        blobs={},
        counts=imports.counts(graded.samples),
        record=RECORD.dump_python(record, mode="json"),
        metrics=tuple(METRICS.dump_python(tuple(graded.metrics), mode="json")),
        samples_sha256=samples_sha256,
        created_at=now,
        queued_at=now,
        started_at=record.started_at,
        finished_at=record.finished_at,
    )


def _record(run_id: str, graded: Graded, model: Model, now: datetime) -> Record:
    wanted, samples = graded.told, graded.samples
    return Record(
        run_id=run_id,
        suite=wanted.suite,
        subject=(graded.subject or model.id)[-100:],
        model=wanted.model,
        model_id=model.id,
        model_version=model.adapter.version if model.adapter else model.id,
        dataset_sha256=imports.dataset_sha256(samples),
        n_items=len({sample.item.key for sample in samples}),
        prompt_sha256=wanted.prompt_sha256,
        attempts=1 + max(sample.attempt for sample in samples),
        sampling=wanted.sampling,
        scorers=graded.scorers,
        primary=graded.primary,
        code_version=__version__,
        started_at=min(wanted.started_at or now, now),
        finished_at=min(wanted.finished_at or now, now),
        parity_passed=None if model.parity is None else model.parity.passed,
        details={
            "imported": {
                "harness": wanted.harness,
                "version": wanted.harness_version,
                "chat_template": wanted.chat_template,
                "flags": dict(wanted.flags),
                "figures": {
                    each.name: {"value": each.value, "stderr": each.stderr}
                    for each in wanted.scorers
                },
            }
        },
    )
