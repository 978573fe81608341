"""BUILDING: the stages of a dataset run in a child process, the worker stores what they made.

`run` is the worker's side. `python -m modiste.work.build RUN_DIR` is the child: it reads
RUN_DIR/build-request.json, runs the pipeline over the linked files and says in RUN_DIR/build.json
how it went. What stages made is kept by content in a folder of the dataset, so a build that died is
finished by the next one, and a new version redoes only what changed.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from pydantic import TypeAdapter

from modiste.actions import builds, curation, files
from modiste.actions.curation import MAIN, SOURCES
from modiste.actions.datasets import BUILT
from modiste.actions.runs import Wish
from modiste.errors import Conflict, ModisteError
from modiste.prepare.curate import pipeline
from modiste.prepare.curate.cache import ONLY
from modiste.prepare.curate.manifest import MANIFEST, ROWS, read_manifest
from modiste.store.blobs import chunks_of
from modiste.store.database import Database
from modiste.types import DatasetFile, JobError, Purpose
from modiste.work.bench import BuildBench
from modiste.work.intake import Intake
from modiste.work.local import Child, Died, write_json

REQUEST, ANSWER = "build-request.json", "build.json"
OUTPUT = "output"
LOOK_S = 0.1
BUSY_S = 1.0
"""Before another worker is asked again whether it has finished with the dataset."""


@dataclass(frozen=True)
class Request:
    folder: Path
    inputs: tuple[DatasetFile, ...]
    stages: tuple[dict[str, Any], ...]


@dataclass(frozen=True)
class Answer:
    error: JobError | None = None
    busy: bool = False
    """Another worker builds a version of this dataset now."""


REQUESTS: TypeAdapter[Request] = TypeAdapter(Request)
ANSWERS: TypeAdapter[Answer] = TypeAdapter(Answer)


def run(bench: BuildBench) -> None:
    version = bench.build.version
    folder = folder_of(bench.database, bench.build.dataset_id)
    for file in version.inputs:
        _link(bench, file, folder)
    bench.run_dir.mkdir(parents=True, exist_ok=True)
    (bench.run_dir / ANSWER).unlink(missing_ok=True)
    request = Request(folder, version.inputs, tuple(map(dict, version.stages)))
    write_json(bench.run_dir / REQUEST, REQUESTS.dump_python(request, mode="json"))
    builder = bench.start_child("modiste.work.build", log_name="build.log")
    if not _watched(bench, builder):
        return
    answer = _answer(bench, builder)
    if answer.busy:
        bench.stopping.wait(BUSY_S)
        return bench.hand_on()
    if answer.error is not None:
        return bench.fail(answer.error)
    _store(bench, folder / OUTPUT)
    shutil.rmtree(bench.run_dir, ignore_errors=True)


def folder_of(database: Database, dataset_id: str) -> Path:
    return database.settings.cache_dir / "datasets" / dataset_id


def tidy(database: Database) -> None:
    """Remove what was kept of datasets that were deleted."""
    with database.transaction(write=False) as tx:
        living = builds.living_datasets(tx)
    kept = folder_of(database, "").iterdir() if folder_of(database, "").is_dir() else ()
    for folder in kept:
        if folder.name not in living:
            shutil.rmtree(folder, ignore_errors=True)


def _link(bench: BuildBench, file: DatasetFile, folder: Path) -> None:
    """The file's bytes, checked, under a name that tells its container."""
    path = bench.blobs.local(file.sha256, bench.settings.cache_dir / "blobs")
    link = folder / curation.local_name(file)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(path)


def _watched(bench: BuildBench, builder: Child) -> bool:
    """Whether the child came to its end; otherwise the version is cancelled or handed on."""
    try:
        while builder.exit_code is None:
            if bench.check() is Wish.CANCEL:
                bench.cancelled()
                return False
            if bench.stopping.is_set():
                bench.hand_on()
                return False
            time.sleep(LOOK_S)
    finally:
        builder.kill()
    return True


def _answer(bench: BuildBench, builder: Child) -> Answer:
    path = bench.run_dir / ANSWER
    if path.exists():
        return ANSWERS.validate_json(path.read_bytes())
    died = Died(builder.exit_code or 0, builder.last_words())
    text = f"The run of the stages {died.how}. It said last: {died.last_words}"
    return Answer(JobError("build_died", text))


def _store(bench: BuildBench, output: Path) -> None:
    """What the stages made becomes files and blobs; then the version names them."""
    manifest = read_manifest(output)
    made = [
        _stored(bench, MAIN if name == ONLY else name, output / part["file"], part["rows"])
        for name, part in manifest["outputs"].items()
    ]
    made.append(_stored(bench, SOURCES, output / ROWS, sum(file.n_rows or 0 for file in made)))
    reports = [orjson.loads((output / s["report"]).read_bytes()) for s in manifest["stages"]]
    told = bench.blobs.put_bytes(orjson.dumps({"stages": reports})).sha256
    bench.record(
        lambda tx: builds.record_built(
            tx,
            bench.claim,
            files=made,
            manifest_sha256=bench.blobs.put_file(output / MANIFEST).sha256,
            report_sha256=told,
        )
    )
    for path in output.iterdir():
        if path.name != pipeline.CACHE:
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def _stored(bench: BuildBench, part: str, path: Path, n_rows: int) -> DatasetFile:
    version = bench.build.version
    name = f"{version.dataset}-v{version.version}-{part}{''.join(path.suffixes)}"
    file = files.add(
        bench.database,
        bench.build.owner,
        filename=name,
        chunks=chunks_of(path),
        purpose=Purpose.USER_DATA if part == SOURCES else Purpose.FINE_TUNE,
        source=BUILT,
        examine=Intake(bench.environment).examine,
    )
    return DatasetFile(part, file.id, file.filename, file.sha256, n_rows)


def build(request: Request) -> Answer:
    try:
        wanted = curation.in_folder(request.stages, request.inputs, request.folder)
        pipeline.run(wanted, clean=True)
    except Conflict:
        return Answer(busy=True)
    except ModisteError as error:
        return Answer(JobError(error.error_code, error.message, error.param, error.problems))
    return Answer()


def main(argv: list[str] | None = None) -> int:
    (run_dir,) = map(Path, sys.argv[1:] if argv is None else argv)
    answer = build(REQUESTS.validate_json((run_dir / REQUEST).read_bytes()))
    write_json(run_dir / ANSWER, json.loads(ANSWERS.dump_json(answer)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
