"""Which rows a model saw, which models saw a row."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modiste import __version__
from modiste.actions import files, lineage, models
from modiste.actions.lineage import Parent, SeenBy, SeenRow
from modiste.actions.seen import PRIVATE, Use
from modiste.errors import BadRequest, Forbidden, InvalidInput, NotFound
from modiste.prepare.records import row_id
from modiste.store.database import Database
from modiste.store.tables import FileRow, JobRow
from modiste.types import Actor, File, Hyperparameters, Model

Upload = Callable[..., File]
Tune = Callable[..., Model]
Continuable = Callable[[Model], Model]


def chat(question: str) -> dict[str, Any]:
    turns = [("user", question), ("assistant", "Yes.")]
    return {"messages": [{"role": role, "content": text} for role, text in turns]}


A, B, C = chat("a"), chat("b"), chat("c")


def look(database: Database, verb: Callable[..., Any], *args: Any, **options: Any) -> Any:
    with database.transaction(write=False) as tx:
        return verb(tx, *args, **options)


def test_a_model_is_traced_to_its_job_and_its_files(
    database: Database, admin: Actor, upload: Upload, tune: Tune
) -> None:
    train, held_out = upload(A, B, C, filename="t.jsonl"), upload(B, filename="v.jsonl")
    model = tune(train, validation_files=[held_out.id], skip_lines={train.id: [2]})
    found = look(database, lineage.trace, admin, model.id)
    assert (found.model.id, found.job_id, found.n_forgotten) == (model.id, model.job_id, 0)
    assert (found.code_version, found.dataset) == (__version__, None)
    assert found.trained_at is not None
    told = [(f.filename, f.use, f.sha256, f.n_rows, f.n_left_out) for f in found.files]
    assert told == [
        ("t.jsonl", Use.TRAIN, train.sha256, 2, 1),
        ("v.jsonl", Use.VALIDATION, held_out.sha256, 1, 0),
    ]


def test_the_rows_of_a_model_are_listed_in_order_without_those_left_out(
    database: Database, admin: Actor, upload: Upload, tune: Tune
) -> None:
    train = upload(A, b"", B, C, filename="t.jsonl")
    model = tune(train, skip_lines={train.id: [3]})
    rows = look(database, lineage.rows, admin, model.id, file_id=train.id)
    assert rows == [
        SeenRow(row_id(A), train.id, 1, Use.TRAIN, str(model.job_id)),
        SeenRow(row_id(C), train.id, 4, Use.TRAIN, str(model.job_id)),
    ]
    after = {"file_id": train.id, "after_line": 1, "limit": 1}
    assert look(database, lineage.rows, admin, model.id, **after) == rows[1:]
    with pytest.raises(NotFound, match="never saw"):
        look(database, lineage.rows, admin, model.id, file_id="other")


def test_a_row_tells_the_models_that_saw_it_and_the_files_that_hold_it(
    database: Database, admin: Actor, upload: Upload, tune: Tune
) -> None:
    one, two = upload(A, B, A, filename="1.jsonl"), upload(B, C, filename="2.jsonl")
    first = tune(one)
    second = tune(two, validation_files=[one.id])
    found = look(database, lineage.row, admin, row_id(A))
    assert found.models == (
        SeenBy(first.id, str(first.job_id), Use.TRAIN, one.id, (1, 3), False, False),
        SeenBy(second.id, str(second.job_id), Use.VALIDATION, one.id, (1, 3), False, False),
    )
    assert [(file.filename, file.lines) for file in found.files] == [("1.jsonl", (1, 3))]
    assert found.forgotten is None
    by_b = look(database, lineage.row, admin, row_id(B))
    assert {(seen.model, seen.use) for seen in by_b.models} == {
        (first.id, Use.TRAIN),
        (second.id, Use.TRAIN),
        (second.id, Use.VALIDATION),
    }
    assert look(database, lineage.row, admin, "0" * 32).models == ()


def test_a_row_that_was_left_out_was_not_seen(
    database: Database, admin: Actor, upload: Upload, tune: Tune
) -> None:
    train = upload(A, B)
    tune(train, skip_lines={train.id: [2]})
    assert look(database, lineage.row, admin, row_id(B)).models == ()


def test_lineage_outlives_the_files_and_the_model(
    database: Database, admin: Actor, upload: Upload, tune: Tune
) -> None:
    train = upload(A)
    model = tune(train)
    with database.transaction() as tx:
        files.delete(tx, admin, train.id)
    traced = look(database, lineage.trace, admin, model.id)
    assert [(f.filename, f.n_rows, f.deleted) for f in traced.files] == [("a.jsonl", 1, True)]
    with database.transaction() as tx:
        models.delete(tx, admin, model.id)
    found = look(database, lineage.row, admin, row_id(A))
    assert [(seen.model, seen.deleted) for seen in found.models] == [(model.id, True)]
    assert found.files == ()


def test_a_model_that_went_on_from_others_saw_what_they_saw(
    database: Database, admin: Actor, upload: Upload, tune: Tune, continuable: Continuable
) -> None:
    one, two, three = (upload(row, filename=f"{n}.jsonl") for n, row in enumerate((A, B, C)))
    first = continuable(tune(one))
    second = continuable(tune(two, model=first.id))
    third = tune(three, one, model=second.id, skip_lines={one.id: [1]})
    found = look(database, lineage.trace, admin, third.id)
    assert found.parents == (
        Parent(second.id, second.job_id, False),
        Parent(first.id, first.job_id, False),
    )
    assert [(file.file_id, file.job_id, file.n_rows) for file in found.files] == [
        (three.id, third.job_id, 1),
        (one.id, third.job_id, 0),
        (two.id, second.job_id, 1),
        (one.id, first.job_id, 1),
    ]
    by_a = look(database, lineage.row, admin, row_id(A)).models
    assert [(seen.model, seen.job_id, seen.through) for seen in by_a] == [
        (first.id, first.job_id, None),
        (second.id, first.job_id, first.id),
        (third.id, first.job_id, first.id),
    ]
    of = {"file_id": one.id}
    assert look(database, lineage.rows, admin, third.id, **of) == [], "its own job left it out"
    of["job_id"] = str(first.job_id)
    rows = look(database, lineage.rows, admin, third.id, **of)
    assert rows == [SeenRow(row_id(A), one.id, 1, Use.TRAIN, str(first.job_id))]
    with pytest.raises(NotFound, match="never saw"):
        look(database, lineage.rows, admin, first.id, file_id=two.id)


def test_the_line_of_a_model_outlives_its_parents(
    database: Database, admin: Actor, upload: Upload, tune: Tune, continuable: Continuable
) -> None:
    first = continuable(tune(upload(A)))
    second = continuable(tune(upload(B), model=first.id))
    third = tune(upload(C), model=second.id)
    with database.transaction() as tx:
        models.delete(tx, admin, first.id)
        models.delete(tx, admin, second.id)
    found = look(database, lineage.trace, admin, third.id)
    assert [parent.deleted for parent in found.parents] == [True, True]
    assert {file.job_id for file in found.files} == {m.job_id for m in (first, second, third)}
    by_a = look(database, lineage.row, admin, row_id(A)).models
    assert [(seen.model, seen.deleted) for seen in by_a] == [
        (first.id, True),
        (second.id, True),
        (third.id, False),
    ]


def test_what_a_folder_saw_is_said_to_be_unknown(
    database: Database, admin: Actor, upload: Upload, tune: Tune, tmp_path: Path
) -> None:
    (tmp_path / "adapter_config.json").write_text('{"r": 4}')
    start = Hyperparameters(continue_from=str(tmp_path))
    model = tune(upload(A), hyperparameters=start)
    found = look(database, lineage.trace, admin, model.id)
    assert found.parents == (Parent(str(tmp_path), None, False),)


def test_lines_of_a_file_are_named_by_their_rows(
    database: Database, admin: Actor, upload: Upload
) -> None:
    file = upload(A, b"", B)
    assert look(database, lineage.row_ids, admin, file.id, [3, 1]) == [row_id(B), row_id(A)]
    with pytest.raises(InvalidInput, match="line 2, 9"):
        look(database, lineage.row_ids, admin, file.id, [1, 2, 9])
    batch = upload({"custom_id": "0"}, purpose="batch")
    with pytest.raises(BadRequest, match="Upload it again"):
        look(database, lineage.row_ids, admin, batch.id, [1])


def test_a_model_made_before_rows_were_kept_says_so(
    database: Database, admin: Actor, upload: Upload, tune: Tune
) -> None:
    train = upload(A)
    model = tune(train)
    with database.transaction() as tx:
        tx.session.query(JobRow).one().rows = None
    assert look(database, lineage.trace, admin, model.id).files[0].n_rows is None
    with pytest.raises(NotFound, match="not recorded"):
        look(database, lineage.rows, admin, model.id, file_id=train.id)


def test_a_base_has_no_lineage_here(database: Database, admin: Actor) -> None:
    with pytest.raises(BadRequest, match="base model"):
        look(database, lineage.trace, admin, "modiste-tiny")


def test_a_private_file_keeps_its_name_to_itself(
    database: Database, admin: Actor, other: Actor, upload: Upload, tune: Tune
) -> None:
    mine = upload(A, actor=admin, visibility="user", filename="mine.jsonl")
    model = tune(mine)
    assert look(database, lineage.trace, other, model.id).files[0].filename == PRIVATE
    assert look(database, lineage.row, other, row_id(A)).files == ()
    assert look(database, lineage.row, admin, row_id(A)).files[0].filename == "mine.jsonl"


def test_another_organisation_sees_nothing(
    database: Database, admin: Actor, upload: Upload, tune: Tune
) -> None:
    tune(upload(A))
    with database.transaction() as tx:
        tx.session.query(FileRow).update({"org": "f" * 8})
        tx.session.query(JobRow).update({"org": "f" * 8})
    found = look(database, lineage.row, admin, row_id(A))
    assert (found.models, found.files) == ((), ())


@pytest.mark.parametrize("wrong", ["", "xyz", "F" * 32, "0" * 31])
def test_what_cannot_be_a_row_is_refused(database: Database, admin: Actor, wrong: str) -> None:
    with pytest.raises(InvalidInput, match="32 hex digits"):
        look(database, lineage.row, admin, wrong)


def test_lineage_needs_its_scopes(database: Database, admin: Actor) -> None:
    stranger = Actor("key", admin.org, frozenset())
    for verb in (lineage.trace, lineage.row):
        with pytest.raises(Forbidden):
            look(database, verb, stranger, "0" * 32)
