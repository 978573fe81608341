"""BUILDING for real: a child runs the stages, the worker keeps what they made."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import orjson
import pytest

from modiste.actions import builds, datasets, files
from modiste.actions.datasets import PartFile
from modiste.errors import LeaseLost
from modiste.store import queue
from modiste.store.database import Database
from modiste.store.queue import WorkerId
from modiste.types import Actor, DatasetVersion, File, Purpose, VersionStatus
from modiste.work import build
from modiste.work.bench import BuildBench
from modiste.work.pulse import Pulse
from modiste.work.supervisor import environment

Make = Callable[..., DatasetVersion]
MakeBench = Callable[[], BuildBench]
HERE = WorkerId.of_this_process("tester")


def chat(n: int) -> dict[str, Any]:
    turns = [("user", f"what is {n} times {n}, in words please?"), ("assistant", f"It is {n * n}")]
    return {"messages": [{"role": role, "content": text} for role, text in turns]}


def upload(database: Database, actor: Actor, name: str, *rows: Any) -> File:
    chunks = [json.dumps(row).encode() + b"\n" for row in rows]
    if name.endswith(".gz"):
        chunks = [gzip.compress(b"".join(chunks))]
    return files.add(database, actor, filename=name, chunks=chunks)


@pytest.fixture
def make(database: Database, admin: Actor) -> Make:
    def create(*sources: File, stages: list[Any], name: str = "sql") -> DatasetVersion:
        wanted: dict[str, Any] = {
            "part_files": [PartFile(file.id) for file in sources],
            "stages": stages,
        }
        with database.transaction() as tx:
            there = {dataset.name for dataset in datasets.list_(tx, admin)}
            if name in there:
                return datasets.add_version(tx, admin, name, **wanted)
            return datasets.create(tx, admin, name=name, **wanted)

    return create


@pytest.fixture
def bench(database: Database) -> Iterator[MakeBench]:
    """The version that waits, taken."""
    with Pulse(database, HERE) as pulse:

        def taken() -> BuildBench:
            with database.transaction() as tx:
                claim = queue.claim(tx, HERE)
                assert claim is not None
                wanted = builds.taken(tx, claim)
            pulse.holding(claim).__enter__()
            parts = environment(database.settings)
            return BuildBench(wanted, database, pulse, threading.Event(), parts)

        yield taken


def look(database: Database, actor: Actor, number: int = 1) -> DatasetVersion:
    with database.transaction(write=False) as tx:
        return datasets.version(tx, actor, "sql", number)


def rows_of(database: Database, actor: Actor, part: str) -> list[Any]:
    with database.transaction(write=False) as tx:
        return [row.value for row in datasets.rows(tx, actor, "sql", 1, part=part, limit=999)]


def test_stages_make_files_a_manifest_and_a_report(
    database: Database, admin: Actor, make: Make, bench: MakeBench
) -> None:
    rows = [chat(n) for n in range(40)]
    source = upload(database, admin, "all.jsonl.gz", *rows, *rows[:5])
    make(source, stages=["dedup", {"split": {"parts": "80/20"}}])
    build.run(bench())
    done = look(database, admin)
    assert done.status is VersionStatus.READY, done.error
    assert [file.part for file in done.files] == ["train", "validation", "sources"]
    train, validation = rows_of(database, admin, "train"), rows_of(database, admin, "validation")
    assert len(train) + len(validation) == 40
    assert all(row in rows for row in train + validation)
    with database.transaction(write=False) as tx:
        manifest = orjson.loads(datasets.manifest(tx, admin, "sql", 1))
        report = orjson.loads(datasets.report(tx, admin, "sql", 1))
        stored = {f.part: files.get(tx, admin, f.file_id) for f in done.files}
        told = b"".join(files.open_content(tx, admin, stored["sources"].id).chunks)
    assert [stage["stage"] for stage in report["stages"]] == ["dedup", "split"]
    assert manifest["inputs"] == [{"file": "all.jsonl.gz", "sha256": source.sha256, "rows": 45}]
    assert stored["train"].filename == "sql-v1-train.jsonl"
    assert (stored["train"].source, stored["train"].purpose) == ("repository", Purpose.FINE_TUNE)
    assert stored["train"].report_sha256 is not None
    origins = [json.loads(line) for line in gzip.decompress(told).splitlines()]
    assert {origin["file"] for origin in origins} == {"all.jsonl.gz"}
    assert sorted(origin["source_line"] for origin in origins) == list(range(1, 41))


def test_a_new_version_redoes_only_what_changed(
    database: Database, admin: Actor, make: Make, bench: MakeBench
) -> None:
    source = upload(database, admin, "a.jsonl", *[chat(n) for n in range(40)])
    make(source, stages=["dedup"])
    build.run(bench())
    folder = build.folder_of(database, database_id(database, admin)) / build.OUTPUT / ".stages"
    (first,) = folder.glob("dedup-*")
    written = first.stat().st_mtime_ns
    make(source, stages=["dedup", {"sample": {"n": 10}}])
    build.run(bench())
    assert look(database, admin, 2).status is VersionStatus.READY
    assert first.stat().st_mtime_ns == written
    assert [file.n_rows for file in look(database, admin, 2).files] == [10, 10]


def database_id(database: Database, actor: Actor) -> str:
    with database.transaction(write=False) as tx:
        return datasets.get(tx, actor, "sql").id


def test_files_that_stages_only_read_are_found_by_their_ids(
    database: Database, admin: Actor, make: Make, bench: MakeBench
) -> None:
    rows = [chat(n) for n in range(20)]
    source = upload(database, admin, "a.jsonl", *rows)
    evals = upload(database, admin, "eval.jsonl", rows[7])
    make(source, stages=[{"decontaminate": {"against": [evals.id]}}])
    build.run(bench())
    assert look(database, admin).status is VersionStatus.READY, look(database, admin).error
    assert rows[7] not in rows_of(database, admin, "train")
    assert len(rows_of(database, admin, "train")) == 19


def test_rows_that_cannot_be_curated_fail_the_version_with_their_lines(
    database: Database, admin: Actor, make: Make, bench: MakeBench
) -> None:
    source = upload(database, admin, "a.jsonl", chat(1), {"messages": [{"role": "bot"}]}, chat(2))
    make(source, stages=["dedup"])
    build.run(bench())
    done = look(database, admin)
    assert done.status is VersionStatus.FAILED
    assert done.error is not None
    assert "a.jsonl" in done.error.message
    assert [problem.line for problem in done.error.problems] == [2]


def test_a_build_that_dies_is_reported_with_its_last_words(
    database: Database,
    admin: Actor,
    make: Make,
    bench: MakeBench,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    make(upload(database, admin, "a.jsonl", chat(1)), stages=["dedup"])
    monkeypatch.setattr(build, "REQUEST", "somewhere-else.json")
    build.run(bench())
    error = look(database, admin).error
    assert error is not None
    assert error.code == "build_died"
    assert "FileNotFoundError" in error.message


def test_a_deleted_dataset_is_not_built_to_its_end_and_nothing_of_it_stays(
    database: Database, admin: Actor, make: Make, bench: MakeBench
) -> None:
    make(upload(database, admin, "a.jsonl", chat(1)), stages=["dedup"])
    at_work = bench()
    with database.transaction() as tx:
        datasets.delete(tx, admin, "sql")
    build.run(at_work)
    with database.transaction() as tx:
        assert queue.waiting(tx, HERE) is False
    folder = build.folder_of(database, at_work.build.dataset_id)
    assert folder.exists()
    build.tidy(database)
    assert not folder.exists()


def test_a_worker_that_goes_hands_the_build_on_and_a_lost_lease_ends_it(
    database: Database, admin: Actor, make: Make, bench: MakeBench
) -> None:
    make(upload(database, admin, "a.jsonl", chat(1)), stages=["dedup"])
    leaving = bench()
    leaving.stopping.set()
    build.run(leaving)
    next_one = bench()
    with database.transaction() as tx:
        queue.held_version(tx, next_one.claim).fence += 1
    with pytest.raises(LeaseLost):
        build.run(next_one)


def test_two_versions_of_one_dataset_wait_for_each_other(
    database: Database, admin: Actor, make: Make, bench: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    from modiste.prepare.curate.cache import Cache

    monkeypatch.setattr(build, "BUSY_S", 0.01)
    make(upload(database, admin, "a.jsonl", chat(1)), stages=["dedup"])
    at_work = bench()
    folder = build.folder_of(database, at_work.build.dataset_id) / build.OUTPUT
    with Cache(folder / ".stages").held():
        build.run(at_work)
    assert look(database, admin).status is VersionStatus.BUILDING
    build.run(bench())
    assert look(database, admin).status is VersionStatus.READY
