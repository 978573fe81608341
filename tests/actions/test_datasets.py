"""Datasets: versions that never change, made of files that stay."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import orjson
import pytest

from modiste import __version__
from modiste.actions import builds, datasets, files, runs
from modiste.actions.datasets import PartFile
from modiste.errors import Conflict, Forbidden, InvalidInput, NotFound, NotYetSupported
from modiste.prepare.records import row_id
from modiste.store import queue
from modiste.store.database import Database
from modiste.store.queue import WorkerId
from modiste.store.tables import Phase
from modiste.types import Actor, DatasetFile, DatasetVersion, File, VersionStatus

Upload = Callable[..., File]
HERE = WorkerId.of_this_process()


def chat(question: str) -> dict[str, Any]:
    turns = [("user", question), ("assistant", "Yes.")]
    return {"messages": [{"role": role, "content": text} for role, text in turns]}


A, B, C = chat("a"), chat("b"), chat("c")


def do(database: Database, verb: Callable[..., Any], *args: Any, **options: Any) -> Any:
    with database.transaction() as tx:
        return verb(tx, *args, **options)


def create(
    database: Database, actor: Actor, *part_files: PartFile, **options: Any
) -> DatasetVersion:
    wanted = {"name": "sql", "part_files": part_files, **options}
    made: DatasetVersion = do(database, datasets.create, actor, **wanted)
    return made


def test_a_dataset_without_stages_is_its_files_at_once(
    database: Database, admin: Actor, upload: Upload
) -> None:
    train, held_out = upload(A, B, filename="t.jsonl"), upload(C, filename="v.jsonl")
    parts = [PartFile(train.id), PartFile(held_out.id, "validation")]
    made = create(database, admin, *parts, description="questions")
    assert (made.label, made.status, made.code_version) == ("sql@1", "READY", __version__)
    assert made.files == (
        DatasetFile("train", train.id, "t.jsonl", train.sha256, 2),
        DatasetFile("validation", held_out.id, "v.jsonl", held_out.sha256, 1),
    )
    found = do(database, datasets.get, admin, "sql")
    assert (found.name, found.description, found.versions) == ("sql", "questions", (made,))
    assert do(database, datasets.list_, admin) == (found,)


def test_versions_are_counted_and_the_newest_comes_first(
    database: Database, admin: Actor, upload: Upload
) -> None:
    first = create(database, admin, PartFile(upload(A).id))
    parts = [PartFile(upload(A, B).id)]
    second = do(database, datasets.add_version, admin, "sql", part_files=parts)
    assert (first.version, second.version) == (1, 2)
    assert do(database, datasets.get, admin, "sql").versions == (second, first)
    assert do(database, datasets.ready, admin, "sql") == second
    assert do(database, datasets.ready, admin, "sql@1") == first
    assert do(database, datasets.version, admin, "sql", 1) == first
    for label in ("sql@3", "sql@x", "sql@", "other", "other@1"):
        with pytest.raises(InvalidInput):
            do(database, datasets.ready, admin, label)


def test_a_name_is_taken_once_and_free_again_after_deletion(
    database: Database, admin: Actor, upload: Upload
) -> None:
    part = PartFile(upload(A).id)
    create(database, admin, part)
    with pytest.raises(Conflict, match="add a version"):
        create(database, admin, part)
    do(database, datasets.delete, admin, "sql")
    with pytest.raises(NotFound):
        do(database, datasets.get, admin, "sql")
    assert create(database, admin, part).version == 1


def test_everything_wrong_with_the_files_is_said_at_once(
    database: Database, admin: Actor, upload: Upload
) -> None:
    batch = upload({"custom_id": "0"}, purpose="batch", filename="b.jsonl")
    expiring = upload(A, expires_in_s=3600, filename="e.jsonl")
    good = upload(A)
    wanted = [PartFile(x) for x in ("none", batch.id, expiring.id, good.id, good.id)]
    with pytest.raises(InvalidInput) as told:
        create(database, admin, *wanted, PartFile(upload(B).id, "no part!"))
    for said in ("no file 'none'", "b.jsonl is for batch", "e.jsonl expires", "twice", "no part!"):
        assert said in told.value.message
    with pytest.raises(InvalidInput, match="at least one file"):
        create(database, admin)
    assert do(database, datasets.list_, admin) == ()


@pytest.mark.parametrize("name", ["", "a@1", "a b", "-a", "ü", "x" * 101])
def test_a_name_is_short_and_plain(
    database: Database, admin: Actor, upload: Upload, name: str
) -> None:
    with pytest.raises(InvalidInput, match="name"):
        create(database, admin, PartFile(upload(A).id), name=name)


def test_rows_are_shown_page_by_page_over_all_files_of_a_part(
    database: Database, admin: Actor, upload: Upload
) -> None:
    one, two = upload(A, b"", B, filename="1"), upload(C, A, filename="2")
    create(database, admin, PartFile(one.id), PartFile(two.id))

    def page(after: int, limit: int) -> list[tuple[str, int]]:
        found = do(database, datasets.rows, admin, "sql", 1, after=after, limit=limit)
        return [(row.id, row.line) for row in found]

    every = [(row_id(A), 1), (row_id(B), 3), (row_id(C), 1), (row_id(A), 2)]
    assert page(0, 10) == every
    assert [page(after, 2) for after in (0, 1, 2, 3, 4)] == [
        every[after : after + 2] for after in (0, 1, 2, 3, 4)
    ]
    with pytest.raises(NotFound, match="has no part 'test'; it has train"):
        do(database, datasets.rows, admin, "sql", 1, part="test")


def test_a_file_of_a_dataset_cannot_be_deleted_before_it(
    database: Database, admin: Actor, upload: Upload
) -> None:
    file = upload(A)
    create(database, admin, PartFile(file.id))
    with pytest.raises(Conflict, match=r"part of sql@1"):
        do(database, files.delete, admin, file.id)
    do(database, datasets.delete, admin, "sql")
    assert do(database, files.delete, admin, file.id).deleted


def test_stages_put_the_version_into_the_queue(
    database: Database, admin: Actor, upload: Upload
) -> None:
    source, evals = upload(A, B), upload(C, filename="eval.jsonl")
    stages = ["dedup", {"decontaminate": {"against": [evals.id]}}]
    made = create(database, admin, PartFile(source.id), stages=stages)
    assert (made.status, made.files) == (VersionStatus.QUEUED, ())
    assert made.stages == ({"dedup": None}, {"decontaminate": {"against": [evals.id]}})
    assert [(f.part, f.file_id) for f in made.inputs] == [
        ("train", source.id),
        ("against", evals.id),
    ]
    with pytest.raises(InvalidInput, match="sql@1 is QUEUED"):
        do(database, datasets.ready, admin, "sql")
    with pytest.raises(Conflict):
        do(database, files.delete, admin, evals.id)
    with database.transaction() as tx:
        claim = queue.claim(tx, HERE)
        assert claim is not None
        assert claim.phase is Phase.CURATE
        build = builds.taken(tx, claim)
        assert build.version.status is VersionStatus.BUILDING
        assert builds.wish(tx, claim) is runs.Wish.GO_ON


@pytest.mark.parametrize(
    ("stages", "says"),
    [
        (["dedupe"], "did you mean dedup"),
        ([{"dedup": {"nere": True}}], "did you mean near"),
        ([{"decontaminate": {"against": ["/etc/passwd"]}}], "no uploaded file"),
        ([{"decontaminate": {"against": ["s3://bucket/x"]}}], "no uploaded file"),
        ([{"split": {"frozen_test": "../x"}}], "no uploaded file"),
        ([1], "stages"),
    ],
)
def test_stages_that_cannot_be_run_are_refused(
    database: Database, admin: Actor, upload: Upload, stages: list[Any], says: str
) -> None:
    with pytest.raises(InvalidInput, match=says):
        create(database, admin, PartFile(upload(A).id), stages=stages)


def test_stages_that_would_send_rows_elsewhere_are_not_run_here(
    database: Database, admin: Actor, upload: Upload
) -> None:
    meaning = {"url": "http://169.254.169.254/v1", "model": "m", "key_env": "HOME"}
    with pytest.raises(NotYetSupported, match="push"):
        create(database, admin, PartFile(upload(A).id), stages=[{"dedup": {"semantic": meaning}}])


def test_what_was_made_elsewhere_comes_with_its_manifest(
    database: Database, admin: Actor, upload: Upload
) -> None:
    train, test = upload(A, B, filename="train.jsonl"), upload(C, filename="test.jsonl")
    rows = upload(b"gzip", purpose="user_data", filename="rows.jsonl.gz")
    manifest = {
        "modiste_version": "0.0.9",
        "outputs": {"train": {"sha256": train.sha256}, "test": {"sha256": test.sha256}},
        "stages": [{"stage": "split", "settings": {"parts": "80/20"}}],
    }
    parts = [PartFile(train.id), PartFile(test.id, "test"), PartFile(rows.id, "sources")]
    made = create(database, admin, *parts, manifest=manifest)
    assert (made.status, made.code_version) == (VersionStatus.READY, "0.0.9")
    assert made.stages == ({"split": {"parts": "80/20"}},)
    assert orjson.loads(do(database, datasets.manifest, admin, "sql", 1)) == manifest
    with pytest.raises(InvalidInput, match="manifest and files differ in test"):
        create(database, admin, PartFile(train.id), name="other", manifest=manifest)
    with pytest.raises(InvalidInput, match=r"not the dataset\.json"):
        create(database, admin, PartFile(train.id), name="other", manifest={})


def test_what_no_stage_made_has_neither_manifest_nor_report(
    database: Database, admin: Actor, upload: Upload
) -> None:
    create(database, admin, PartFile(upload(A).id))
    for verb in (datasets.manifest, datasets.report):
        with pytest.raises(NotFound, match="no stages made it"):
            do(database, verb, admin, "sql", 1)


def test_files_built_for_a_dataset_go_with_it_and_others_stay(
    database: Database, admin: Actor, upload: Upload
) -> None:
    mine, built = upload(A, filename="mine"), upload(B, filename="built", source="repository")
    create(database, admin, PartFile(mine.id), PartFile(built.id, "more"))
    create(database, admin, PartFile(built.id), name="other")
    do(database, datasets.delete, admin, "sql")
    assert do(database, files.get, admin, built.id), "another dataset has it"
    do(database, datasets.delete, admin, "other")
    with pytest.raises(NotFound):
        do(database, files.get, admin, built.id)
    assert do(database, files.get, admin, mine.id)


def test_a_private_file_of_another_key_is_no_file(
    database: Database, admin: Actor, other: Actor, upload: Upload
) -> None:
    mine = upload(A, visibility="user")
    with pytest.raises(InvalidInput, match="no file"):
        create(database, other, PartFile(mine.id))


def test_datasets_need_the_scope_data(database: Database, admin: Actor) -> None:
    stranger = Actor("key", admin.org, frozenset())
    with pytest.raises(Forbidden):
        do(database, datasets.list_, stranger)
    with pytest.raises(Forbidden):
        create(database, stranger)
