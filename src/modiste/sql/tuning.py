"""FINETUNE, and its like, behind the row it answers with: rows become files, and a job like any.

Runs in the background of the process that took the version, which says all the while that it
lives. When that process ends, the next one to start reads the rows again (`resumed`); once the job
is there, nothing is left to do here.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import Any, NamedTuple

from modiste.actions import files, jobs, predictor_tunings, predictors
from modiste.actions.predictor_tunings import SILENT_S, Tuning
from modiste.actions.predictors import Named
from modiste.errors import ModisteError
from modiste.sql import chats, local, names, plan
from modiste.sql.query import Query, raw_table
from modiste.sql.result import Rows, texts
from modiste.sql.session import Dialect, Place, Session
from modiste.sql.statements import Finetune, Raw
from modiste.types import Actor, TrainingFile

log = logging.getLogger(__name__)
BEAT_S = SILENT_S / 5
PLAN_FILES_S = 3600.0
"""Files that only a plan needs are gone after this long."""


async def prepared(place: Place, tuning: Tuning, dialect: Dialect) -> None:
    """Read the rows of a version and make its job, or say in the version why not."""
    beat = asyncio.create_task(_alive(place, tuning.seq))
    try:
        version = tuning.version
        session = Session(tuning.actor, place, database=version.project, dialect=dialect)
        raw = Raw(version.source, str(version.query))
        options = {"predict": version.predict, **version.options}
        found = await _files(session, raw, options, _name(version.label))
        await place.write(
            lambda tx: predictor_tunings.submit(
                tx,
                tuning,
                training_file=found.training,
                validation_file=found.validation,
                told=found.told,
            )
        )
    except ModisteError as error:
        message = error.message
        await place.write(lambda tx: predictor_tunings.fail(tx, tuning.seq, message))
    except asyncio.CancelledError:
        await asyncio.shield(place.write(lambda tx: predictor_tunings.release(tx, tuning.seq)))
        raise
    except Exception:
        log.exception("the rows of %s could not be read", tuning.version.label)
        told = "The server failed to read the rows; its log says why."
        await place.write(lambda tx: predictor_tunings.fail(tx, tuning.seq, told))
    finally:
        beat.cancel()
        with suppress(asyncio.CancelledError):
            await beat


async def resumed(place: Place) -> None:
    """From now on, take up versions whose reader is gone. Ends with the process."""
    while True:
        with suppress(ModisteError):
            for tuning in await place.write(predictor_tunings.abandoned):
                place.background(prepared(place, tuning, "mysql"))
            if await place.read(predictor_tunings.unsettled):
                await place.write(predictor_tunings.settle)
        await asyncio.sleep(SILENT_S / 3)


async def explained(session: Session, named: Named, said: Finetune) -> Rows:
    """What a FINETUNE would take: its rows are read, nothing is made."""
    place, actor = session.place, session.caller
    version = await place.read(lambda tx: predictors.get(tx, actor, named))
    kept, _ = predictors.cleaned(said.using)
    options = {"predict": version.predict, **version.options, **kept}
    name = _name(f"{version.label}-plan")
    found = await _files(session, said.source, options, name, expires_in_s=PLAN_FILES_S)
    estimate = await asyncio.to_thread(
        jobs.estimate,
        place.database,
        actor,
        model=str(version.model),
        training_files=[TrainingFile(found.training)],
        validation_files=[found.validation],
        hyperparameters=predictor_tunings.hyperparameters(options),
    )
    told: dict[str, Any] = {
        **found.told,
        "model": version.model,
        "train_tokens": estimate.train_tokens,
        "expected_duration_s": estimate.expected_duration_s,
        "cost_micro": estimate.cost_micro,
        "cost_currency": estimate.cost_currency,
    }
    return texts(("key", "value"), [(k, str(v)) for k, v in told.items() if v is not None])


class _Files(NamedTuple):
    training: str
    validation: str
    told: dict[str, Any]


async def _files(
    session: Session,
    raw: Raw,
    options: dict[str, Any],
    name: str,
    *,
    expires_in_s: float | None = None,
) -> _Files:
    """The rows of a query as two uploads, and what became of them."""
    seen = await names.load(session)
    query = Query(session, seen, {}, {}, plan.table_of)
    table = await raw_table(query, raw)
    return await asyncio.to_thread(
        _uploaded, session.place, session.caller, table, options, name, expires_in_s
    )


def _uploaded(
    place: Place,
    actor: Actor,
    table: Any,
    options: dict[str, Any],
    name: str,
    expires_in_s: float | None,
) -> _Files:
    columns = [column.name.lower() for column in local.columns(table.schema)]
    rows = [
        dict(zip(columns, row, strict=True))
        for batch in table.to_batches()
        for row in local.values(batch)
    ]
    found = chats.chats_of(rows, options)
    train, validation = chats.split(found.chats)
    ids = []
    for part, side in (("train", train), ("valid", validation)):
        upload = files.add(
            place.database,
            actor,
            filename=f"{name}-{part}.jsonl",
            chunks=chats.lines(side),
            expires_in_s=expires_in_s,
            source="repository",
        )
        ids.append(upload.id)
    told: dict[str, Any] = {
        "rows": table.num_rows,
        "chats": len(found.chats),
        "dropped": found.dropped,
        "train": len(train),
        "validation": len(validation),
        "training_file": ids[0],
        "validation_file": ids[1],
    }
    shared = chats.system_message(found.chats)
    if shared is not None:
        told["system"] = shared
    return _Files(ids[0], ids[1], told)


async def _alive(place: Place, seq: int) -> None:
    while True:
        await asyncio.sleep(BEAT_S)
        with suppress(ModisteError):
            await place.write(lambda tx: predictor_tunings.alive(tx, seq))


def _name(label: str) -> str:
    return label.replace(".", "-")[:200]
