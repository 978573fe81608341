"""Rows that no model may learn from: models go stale, later jobs are refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from modiste.actions import files, forgetting, lineage, models, runs
from modiste.errors import Forbidden, InvalidInput
from modiste.prepare.records import row_id
from modiste.store.database import Database
from modiste.store.queue import WorkerId
from modiste.types import Actor, File, Job, Model, TrainingFile

Upload = Callable[..., File]
Tune = Callable[..., Model]
HERE = WorkerId.of_this_process()


def chat(question: str) -> dict[str, Any]:
    turns = [("user", question), ("assistant", "Yes.")]
    return {"messages": [{"role": role, "content": text} for role, text in turns]}


A, B, C = chat("a"), chat("b"), chat("c")


def forget(database: Database, actor: Actor, *rows: Any, reason: str = "asked to") -> Any:
    with database.transaction() as tx:
        return forgetting.forget(tx, actor, [row_id(row) for row in rows], reason=reason)


def stale(database: Database, actor: Actor, model: Model) -> Any:
    with database.transaction(write=False) as tx:
        return models.get(tx, actor, model.id).stale


def test_models_that_learned_from_the_row_go_stale_and_others_do_not(
    database: Database, admin: Actor, upload: Upload, tune: Tune
) -> None:
    one, two = upload(A, B, filename="1.jsonl"), upload(C, filename="2.jsonl")
    met, skipped, evaluated = (
        tune(one),
        tune(one, skip_lines={one.id: [1]}),
        tune(two, validation_files=[one.id]),
    )
    found = forget(database, admin, A, reason="the customer asked")
    assert found.stale_models == (met.id,)
    assert [(file.filename, file.lines) for file in found.files] == [("1.jsonl", (1,))]
    assert found.unknown == ()
    said = stale(database, admin, met)
    assert (said.n_rows, said.reason) == (1, "the customer asked")
    assert stale(database, admin, skipped) is None
    assert stale(database, admin, evaluated) is None
    with database.transaction(write=False) as tx:
        assert lineage.trace(tx, admin, met.id).n_forgotten == 1
        traced = lineage.row(tx, admin, row_id(A))
    assert traced.forgotten is not None
    assert traced.forgotten.reason == "the customer asked"
    assert [seen.stale for seen in traced.models if seen.model == met.id] == [True]


def test_models_that_went_on_from_one_that_learned_the_row_go_stale_too(
    database: Database,
    admin: Actor,
    upload: Upload,
    tune: Tune,
    create: Callable[..., Job],
    continuable: Callable[[Model], Model],
) -> None:
    first = continuable(tune(upload(A, filename="a.jsonl")))
    second = continuable(tune(upload(B, filename="b.jsonl"), model=first.id))
    third = continuable(tune(upload(C, filename="c.jsonl"), model=second.id))
    with database.transaction() as tx:
        models.delete(tx, admin, first.id)
    waiting = create(model=third.id, suffix="waits")
    found = forget(database, admin, A)
    assert found.stale_models == (second.id, third.id)
    assert found.unfinished_jobs == (waiting.id,)
    assert stale(database, admin, third).n_rows == 1
    assert forget(database, admin, B).stale_models == (second.id, third.id)
    assert stale(database, admin, third).n_rows == 2
    with database.transaction(write=False) as tx:
        assert lineage.trace(tx, admin, third.id).n_forgotten == 2


def test_a_model_made_from_a_stale_one_is_born_stale(
    database: Database, admin: Actor, upload: Upload, tune: Tune, continuable: Any
) -> None:
    first = continuable(tune(upload(A, filename="a.jsonl")))
    forget(database, admin, A)
    second = tune(upload(B, filename="b.jsonl"), model=first.id)
    assert stale(database, admin, second).n_rows == 1


def test_forgetting_again_changes_nothing_and_more_rows_add_up(
    database: Database, admin: Actor, upload: Upload, tune: Tune
) -> None:
    model = tune(upload(A, B))
    forget(database, admin, A)
    first = stale(database, admin, model)
    forget(database, admin, A, reason="again")
    assert stale(database, admin, model) == first
    forget(database, admin, B, reason="also")
    said = stale(database, admin, model)
    assert said.n_rows == 2
    assert set(said.reason.split("; ")) == {"asked to", "also"}


def test_a_row_that_nobody_knows_is_remembered_and_said(database: Database, admin: Actor) -> None:
    found = forget(database, admin, A)
    assert found.unknown == (row_id(A),)
    assert [row.row_id for row in found.rows] == [row_id(A)]


def test_a_job_on_its_way_is_named_and_its_model_is_born_stale(
    database: Database, admin: Actor, upload: Upload, create: Callable[..., Job], tune: Tune
) -> None:
    file = upload(A)
    waiting = create(training_files=[TrainingFile(file.id)], suffix="waits")
    found = forget(database, admin, A)
    assert found.unfinished_jobs == (waiting.id,)
    with database.transaction() as tx:
        assignment = runs.take(tx, HERE)
        assert assignment is not None
        lines = runs.forgotten_lines(tx, assignment.claim, assignment.rows)
        assert lines == {file.id: [1]}
        runs.record_cancelled(tx, assignment.claim)
    model = tune(file)
    assert stale(database, admin, model).n_rows == 1


def test_files_that_only_others_may_see_are_told_of_without_their_names(
    database: Database, admin: Actor, other: Actor, upload: Upload
) -> None:
    upload(A, visibility="user", filename="secret.jsonl")
    (held,) = forget(database, other, A).files
    assert held.filename == "(private)"


def test_a_deleted_file_holds_nothing(database: Database, admin: Actor, upload: Upload) -> None:
    file = upload(A)
    with database.transaction() as tx:
        files.delete(tx, admin, file.id)
    assert forget(database, admin, A).files == ()


@pytest.mark.parametrize(
    ("ids", "reason", "param"),
    [
        ([], "r", "rows"),
        (["nonsense"], "r", "rows"),
        ([f"{n:032x}" for n in range(10_001)], "r", "rows"),
        (["0" * 32], " ", "reason"),
        (["0" * 32], "x" * 1001, "reason"),
    ],
)
def test_what_cannot_be_forgotten_is_refused(
    database: Database, admin: Actor, ids: list[str], reason: str, param: str
) -> None:
    with pytest.raises(InvalidInput) as told, database.transaction() as tx:
        forgetting.forget(tx, admin, ids, reason=reason)
    assert told.value.param == param


def test_forgetting_needs_the_scope_data(database: Database, admin: Actor) -> None:
    with pytest.raises(Forbidden), database.transaction() as tx:
        forgetting.forget(tx, Actor("k", admin.org, frozenset()), ["0" * 32], reason="r")
