"""Runs of a test kept as the server keeps them, or as `modiste eval export` writes them."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

from modiste.evaluate import stored
from modiste.evaluate.items import SAMPLES
from modiste.evaluate.metric import METRICS
from modiste.evaluate.record import RECORD, Run
from modiste.store.database import Database
from modiste.store.eval_tables import EvalRunRow
from modiste.types import Actor, EvalCounts, EvalStatus


def lines(run: Run) -> bytes:
    return b"".join(SAMPLES.dump_json(sample) + b"\n" for sample in run.samples)


def told(run: Run) -> dict[str, Any]:
    """As the API tells it."""
    return {
        "id": run.record.run_id,
        "status": "SUCCESS",
        "record": RECORD.dump_python(run.record, mode="json"),
        "metrics": METRICS.dump_python(tuple(run.metrics), mode="json"),
    }


def folder(at: Path, run: Run) -> Path:
    stored.write(at, told(run), [lines(run)])
    return at


def keep(database: Database, actor: Actor, run: Run) -> str:
    """Its id on the server."""
    kept = database.blobs.put_bytes(lines(run))
    json_run = json.loads(json.dumps(told(run)))
    with database.transaction() as tx:
        row = EvalRunRow(
            id=str(uuid.uuid4()), org=actor.org, created_by=actor.key_id,
            status=EvalStatus.SUCCESS, suite=run.record.suite, subject=run.record.subject,
            model=run.record.model, model_id=run.record.model_id, spec={}, blobs={},
            private=False, counts=EvalCounts(), record=json_run["record"],
            metrics=tuple(json_run["metrics"]), samples_sha256=kept.sha256,
            created_at=tx.now(), queued_at=tx.now(), finished_at=tx.now(),
        )  # fmt: skip
        tx.session.add(row)
        tx.session.flush()
        return row.id
