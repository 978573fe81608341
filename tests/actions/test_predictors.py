"""Models as SQL knows them, and their versions."""

from __future__ import annotations

import pytest

from modiste.actions import predictors
from modiste.actions.predictors import Named
from modiste.errors import BadRequest, Conflict, Forbidden, InvalidInput, NotFound
from modiste.store.database import Database, Tx
from modiste.store.sql_tables import SqlVersionRow
from modiste.types import Actor, PredictorStatus, PredictorVersion

M = Named("mindsdb", "m")


def make(tx: Tx, actor: Actor, **options: object) -> predictors.Made:
    wanted = {"prompt_template": "{{q}}", "model_name": "modiste-tiny", **options}
    return predictors.create(tx, actor, M, predict="a", options=wanted)


def second(tx: Tx, actor: Actor, status: PredictorStatus) -> PredictorVersion:
    model, first = predictors.row_of(tx, actor, M)
    row = SqlVersionRow(
        model_seq=model.seq, version=model.next_version, status=status, predict="a", options={},
        model=first.model, activate=True, training={}, actor=actor, created_at=tx.now(),
    )  # fmt: skip
    model.next_version += 1
    tx.session.add(row)
    tx.session.flush()
    return row.noun(model)


def test_versions_are_switched_and_dropped(database: Database, admin: Actor) -> None:
    with database.transaction() as tx:
        made = make(tx, admin, api_key="k", tag="t", engine="modiste")
        assert made.notes == ("api_key is not needed here and was not kept.",)
        assert made.version.options == {"prompt_template": "{{q}}", "model_name": "modiste-tiny"}
        assert (made.version.label, made.version.active, made.version.tag) == (
            "mindsdb.m.1",
            True,
            "t",
        )
        second(tx, admin, PredictorStatus.COMPLETE)
        assert predictors.get(tx, admin, M).version == 1
        assert predictors.activate(tx, admin, M._replace(version=2)).active
        assert [v.active for v in predictors.list_(tx, admin)] == [False, True]
        with pytest.raises(Conflict, match=r"Can't remove active version: mindsdb\.m\.2"):
            predictors.drop(tx, admin, M._replace(version=2))
        predictors.drop(tx, admin, M._replace(version=1))
        assert second(tx, admin, PredictorStatus.ERROR).version == 3
        with pytest.raises(BadRequest, match="in status error"):
            predictors.activate(tx, admin, M._replace(version=3))
        predictors.drop(tx, admin, M)
        assert predictors.find(tx, admin, M) is None


@pytest.mark.parametrize("database_kind", ["sqlite"])
def test_what_is_being_made_is_not_dropped(database: Database, admin: Actor) -> None:
    with database.transaction() as tx:
        make(tx, admin)
        second(tx, admin, PredictorStatus.GENERATING)
        with pytest.raises(Conflict, match=r"CANCEL FINETUNE m\.2 first"):
            predictors.drop(tx, admin, M)


@pytest.mark.parametrize("database_kind", ["sqlite"])
def test_refusals(database: Database, admin: Actor) -> None:
    with database.transaction() as tx:
        nobody = Actor("k", admin.org, frozenset())
        with pytest.raises(Forbidden):
            make(tx, nobody)
        with pytest.raises(InvalidInput, match="tempreature is unknown, did you mean temperature"):
            make(tx, admin, tempreature=1)
        with pytest.raises(InvalidInput, match="Invalid operation mode"):
            make(tx, admin, mode="odd")
        with pytest.raises(InvalidInput, match="nothing of what is asked"):
            make(tx, admin, prompt_template=None)
        with pytest.raises(NotFound, match=r"Model does not exist: mindsdb\.m"):
            predictors.get(tx, admin, M)
        assert make(tx, admin, model_name="nope").version.status is PredictorStatus.ERROR
        with pytest.raises(Conflict, match=r"Model already exists: mindsdb\.m"):
            make(tx, admin)
