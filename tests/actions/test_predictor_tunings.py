"""Versions by tuning: taken, tied to a job, told how it ended."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from modiste.actions import jobs, predictor_tunings, predictors, runs
from modiste.actions.predictor_tunings import Tuning
from modiste.actions.predictors import Named
from modiste.errors import BadRequest, Forbidden, InvalidInput, NotFound
from modiste.store.blobs import adapter_of
from modiste.store.database import Database, Tx
from modiste.store.queue import WorkerId
from modiste.types import (
    Actor,
    File,
    Hyperparameters,
    JobEstimate,
    JobStatus,
    Parity,
    PredictorStatus,
    Scope,
)

M = Named("mindsdb", "m")
PARITY = Parity(True, 8, 100, 1e-5, 1e-6, 1e-3, 0.5, "Served as trained.")
Upload = Callable[..., File]


@pytest.fixture
def model(database: Database, admin: Actor) -> Named:
    options = {"prompt_template": "{{q}}", "model_name": "modiste-tiny"}
    with database.transaction() as tx:
        predictors.create(tx, admin, M, predict="a", options=options)
    return M


def begin(tx: Tx, actor: Actor, **options: object) -> Tuning:
    return predictor_tunings.begin(tx, actor, M, query="SELECT 1", source=None, options=options)


def submitted(database: Database, actor: Actor, upload: Upload, **options: object) -> Tuning:
    with database.transaction() as tx:
        begun = begin(tx, actor, **options)
    file = upload()
    with database.transaction() as tx:
        predictor_tunings.submit(
            tx, begun, training_file=file.id, validation_file=None, told={"chats": 1}
        )
    return begun


def finish(database: Database) -> None:
    """A worker takes the next job and all goes well."""
    me = WorkerId.of_this_process()
    with database.transaction() as tx:
        first = runs.take(tx, me)
        assert first is not None
        runs.record_validated(
            tx, first.claim, spec={}, estimate=JobEstimate(), hyperparameters=Hyperparameters(),
            skip_lines={},
        )  # fmt: skip
    with database.transaction() as tx:
        taken = runs.take(tx, me)
        assert taken is not None
        adapter = adapter_of({"adapter_model.safetensors": "f" * 64})
        runs.record_trained(tx, taken.claim, adapter=adapter, trained_tokens=9)
        runs.record_success(tx, taken.claim, parity=PARITY)


def number(database: Database, actor: Actor, version: int | None) -> predictors.PredictorVersion:
    with database.transaction() as tx:
        predictor_tunings.settle(tx)
        return predictors.get(tx, actor, M._replace(version=version))


def test_a_job_that_went_well_completes_and_activates(
    database: Database, admin: Actor, model: Named, upload: Upload
) -> None:
    begun = submitted(database, admin, upload, n_epochs=1)
    assert (begun.version.version, begun.version.base_version) == (2, 1)
    assert number(database, admin, None).version == 1
    finish(database)
    with database.transaction(write=False) as tx:
        assert predictor_tunings.unsettled(tx)
    made = number(database, admin, None)
    assert (made.version, made.status, made.active) == (2, PredictorStatus.COMPLETE, True)
    assert str(made.model).startswith("ft:modiste-tiny:")
    assert "m-v2" in str(made.model)


@pytest.mark.parametrize("database_kind", ["sqlite"])
def test_activation_is_not_asked_for_or_was_overtaken(
    database: Database, admin: Actor, model: Named, upload: Upload
) -> None:
    submitted(database, admin, upload, active=0)
    finish(database)
    assert (number(database, admin, 2).status, number(database, admin, None).version) == (
        PredictorStatus.COMPLETE, 1,
    )  # fmt: skip
    submitted(database, admin, upload)
    with database.transaction() as tx:
        begin(tx, admin)
        _, fourth = predictors.row_of(tx, admin, M._replace(version=4))
        fourth.status = PredictorStatus.COMPLETE
        predictors.activate(tx, admin, M._replace(version=4))
    finish(database)
    assert number(database, admin, 3).status is PredictorStatus.COMPLETE
    assert number(database, admin, None).version == 4


@pytest.mark.parametrize("database_kind", ["sqlite"])
def test_a_job_that_fails_leaves_the_active_version_alone(
    database: Database, admin: Actor, model: Named, upload: Upload
) -> None:
    begun = submitted(database, admin, upload)
    with database.transaction() as tx:
        jobs.cancel(tx, admin, str(number_of_job(tx, begun)))
    made = number(database, admin, 2)
    assert (made.status, made.active) == (PredictorStatus.ERROR, False)
    assert "CANCELLED" in str(made.error)
    assert number(database, admin, None).version == 1


def number_of_job(tx: Tx, begun: Tuning) -> str:
    return str(predictors.get(tx, begun.actor, M._replace(version=begun.version.version)).job_id)


@pytest.mark.parametrize("database_kind", ["sqlite"])
def test_cancelling_stops_reading_or_the_job(
    database: Database, admin: Actor, model: Named, upload: Upload
) -> None:
    begun = submitted(database, admin, upload)
    with database.transaction() as tx:
        job_id = number_of_job(tx, begun)
        predictor_tunings.cancel(tx, admin, M._replace(version=2))
        assert jobs.get(tx, admin, job_id).status is JobStatus.CANCELLED
        with pytest.raises(BadRequest, match="nothing to cancel"):
            predictor_tunings.cancel(tx, admin, M._replace(version=2))
        unread = begin(tx, admin)
        predictor_tunings.cancel(tx, admin, M._replace(version=3))
        assert not predictor_tunings.alive(tx, unread.seq)
        predictor_tunings.submit(
            tx, unread, training_file="none", validation_file=None, told={}
        )  # Nothing happens: nobody waits for it.


@pytest.mark.parametrize("database_kind", ["sqlite"])
def test_refusals(database: Database, admin: Actor, model: Named) -> None:
    with database.transaction() as tx:
        asks = Actor("k", admin.org, frozenset({Scope.TRAIN}))
        with pytest.raises(Forbidden):
            begin(tx, asks)
        with pytest.raises(InvalidInput, match="n_epochs is 'x', expected a number"):
            begin(tx, admin, n_epochs="x")
        with pytest.raises(NotFound, match="Predictor not found: name='x' id='-'"):
            predictor_tunings.begin(
                tx, admin, Named("mindsdb", "x"), query="", source=None, options={}
            )
        first = begin(tx, admin)
        predictor_tunings.fail(tx, first.seq, "no rows")
        with pytest.raises(BadRequest, match="Can't find suitable base model"):
            predictor_tunings.begin(
                tx, admin, M._replace(version=2), query="", source=None, options={}
            )


def test_hyperparameters_have_the_names_of_jobs() -> None:
    told = predictor_tunings.hyperparameters(
        {"n_epochs": 2, "learning_rate_multiplier": 2, "lora_rank": 8, "context_length": 512}
    )
    assert (told.epochs, told.learning_rate, told.lora_rank, told.seq_len) == (2, 2e-4, 8, 512)
