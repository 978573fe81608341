"""VALIDATING: the files are read in a child process, its answer is recorded by the worker.

`run` is the worker's side. `python -m modiste.work.validation RUN_DIR` is the child: it reads
RUN_DIR/validation-request.json, writes the plan or every problem to RUN_DIR/validation.json, and
knows no database. Being a process of its own it can be cancelled at any moment, and nothing that a
file does to a tokenizer can take the worker down.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from modiste.actions import continued, job_checks, job_plan, runs
from modiste.actions.file_checks import report_json
from modiste.actions.job_checks import DataFile, Found
from modiste.actions.runs import Wish
from modiste.errors import ModisteError
from modiste.prepare.preview import preview
from modiste.prepare.row_index import index_file
from modiste.settings import Settings
from modiste.settings import load as load_settings
from modiste.tune.asked import from_hyperparameters
from modiste.tune.spec import TuneSpec
from modiste.types import Hyperparameters, JobError, JobEstimate
from modiste.work.bench import Bench
from modiste.work.calibration import measured
from modiste.work.child import processors
from modiste.work.local import Died, write_json

REQUEST, ANSWER = "validation-request.json", "validation.json"
REPORT, PREVIEW = "report.json", "preview.json"
PREVIEWED_FILES, PREVIEWED_ROWS = 8, 5
LOOK_S = 0.05


@dataclass(frozen=True)
class Request:
    base_path: Path
    spec: dict[str, Any]
    asked: Hyperparameters
    train: tuple[DataFile, ...]
    validation: tuple[DataFile, ...]
    skip_fraction: float
    tokens_per_s: float | None
    price_micro_per_million_tokens: int
    currency: str


@dataclass(frozen=True)
class Valid:
    """The job can run, as planned here."""

    spec: dict[str, Any]
    hyperparameters: Hyperparameters
    estimate: JobEstimate
    skip_lines: dict[str, list[int]]
    note: str


REQUESTS: TypeAdapter[Request] = TypeAdapter(Request)
ANSWERS: TypeAdapter[Valid | JobError] = TypeAdapter(Valid | JobError)


def run(bench: Bench) -> None:
    claim = bench.job.claim
    for name in (ANSWER, REPORT, PREVIEW):
        (bench.run_dir / name).unlink(missing_ok=True)
    rows = _indexed(bench)
    forgotten = bench.record(lambda tx: runs.forgotten_lines(tx, claim, rows))
    request = _request(bench, forgotten)
    write_json(bench.run_dir / REQUEST, REQUESTS.dump_python(request, mode="json"))
    reader = bench.start_child("modiste.work.validation", log_name="validation.log")
    try:
        while reader.exit_code is None:
            if bench.check() is Wish.CANCEL:
                return bench.cancelled()
            if bench.stopping.is_set():
                return bench.hand_on()
            time.sleep(LOOK_S)
    finally:
        reader.kill()
    answer = _read_answer(bench.run_dir)
    if answer is None:
        died = Died(reader.exit_code or 0, reader.last_words())
        text = f"The check of the files {died.how}. It said last: {died.last_words}"
        return bench.fail(JobError("validation_died", text))
    kept = {name: _kept(bench, name) for name in (REPORT, PREVIEW)}
    bench.record(
        lambda tx: runs.record_data(
            tx, claim, rows=rows, report_sha256=kept[REPORT], preview_sha256=kept[PREVIEW]
        )
    )
    if isinstance(answer, JobError):
        return bench.fail(answer)
    return bench.record(
        lambda tx: runs.record_validated(
            tx,
            claim,
            spec=answer.spec,
            estimate=answer.estimate,
            hyperparameters=answer.hyperparameters,
            skip_lines=answer.skip_lines,
            note=answer.note,
        )
    )


def _indexed(bench: Bench) -> dict[str, str]:
    """The index of every file; those that an older Modiste stored get theirs now."""
    rows = dict(bench.job.rows)
    for file_id in bench.job.blobs:
        if file_id not in rows and not file_id.startswith(continued.PREFIX):
            index = index_file(bench.local_blob(file_id), filename=bench.filename(file_id))
            rows[file_id] = bench.blobs.put_bytes(index.to_bytes()).sha256
    return rows


def _kept(bench: Bench, name: str) -> str | None:
    """What the child left, as a blob."""
    path = bench.run_dir / name
    return bench.blobs.put_file(path).sha256 if path.exists() else None


def _request(bench: Bench, forgotten: Mapping[str, list[int]]) -> Request:
    job, settings = bench.job.job, bench.settings
    spec = from_hyperparameters(
        bench.job.asked,
        model=job.base,
        training_files=job.training_files,
        validation_files=job.validation_files,
        checkpoint_steps=settings.checkpoint_interval_steps,
        integrations=job.integrations,
        classifier_targets=job.classifier_targets,
    )

    def data(file_id: str, weight: float = 1.0) -> DataFile:
        return DataFile(
            file_id,
            bench.local_blob(file_id),
            bench.filename(file_id),
            weight,
            forgotten=tuple(forgotten.get(file_id, ())),
        )

    return Request(
        base_path=bench.job.base_path,
        spec=spec.model_dump(mode="json"),
        asked=bench.job.asked,
        train=tuple(data(file_id, weight) for file_id, weight in job.training_files),
        validation=tuple(data(file_id) for file_id in job.validation_files),
        skip_fraction=job.invalid_sample_skip_fraction,
        tokens_per_s=bench.job.tokens_per_s,
        price_micro_per_million_tokens=settings.price_micro_per_million_tokens,
        currency=settings.currency,
    )


def _read_answer(run_dir: Path) -> Valid | JobError | None:
    """None while there is none: the child died before it could say anything."""
    path = run_dir / ANSWER
    return ANSWERS.validate_json(path.read_bytes()) if path.exists() else None


def validate(request: Request, run_dir: Path, settings: Settings) -> Valid | JobError:
    """The verdict. Leaves report and preview in `run_dir`, whatever it is."""
    spec = TuneSpec.model_validate(request.spec)
    found = job_checks.read(
        spec,
        request.base_path,
        train=request.train,
        validation=request.validation,
        fim_said=request.asked.fim_ratio is not None,
        workers=processors(),
    )
    print_of_tokens = f"fingerprint {found.renderer.fingerprint[:12]}"
    counted = {"tokenizer": {"model": spec.model, "files": print_of_tokens}}
    whole = {**report_json(found.findings), **counted, "seq_len": found.seq_len}
    write_json(run_dir / REPORT, whole)
    write_json(run_dir / PREVIEW, _preview(request, found))
    made = job_plan.planned(
        spec,
        found,
        request.base_path,
        trainer=job_plan.trainer_of(settings, measure=measured),
        tokens_per_s=request.tokens_per_s,
        price_micro_per_million_tokens=request.price_micro_per_million_tokens,
    )
    error = job_checks.refusal(found, made, skip_fraction=request.skip_fraction)
    if error is not None:
        return error
    files = zip(
        (*request.train, *request.validation), (*found.train, *found.validation), strict=True
    )
    note = job_checks.note(found, skip_fraction=request.skip_fraction)
    return Valid(
        spec=made.spec.model_dump(mode="json"),
        hyperparameters=job_checks.filled(request.asked, made),
        estimate=job_checks.estimate_of(made, currency=request.currency),
        skip_lines={file.file_id: sorted(report.bad_lines) for file, report in files},
        note=note,
    )


def _preview(request: Request, found: Found) -> dict[str, Any]:
    """A few rows of each training file, token by token, as they will be trained."""
    shown = request.train[:PREVIEWED_FILES]
    n = max(1, PREVIEWED_ROWS // len(shown))
    return {
        "files": [
            preview(
                file.path,
                filename=file.filename,
                renderer=found.renderer,
                n=n,
                seq_len=found.seq_len,
            ).to_json()
            for file in shown
        ],
        "files_not_shown": [file.filename for file in request.train[PREVIEWED_FILES:]],
    }


def main(argv: list[str] | None = None) -> int:
    (run_dir,) = map(Path, sys.argv[1:] if argv is None else argv)
    request = REQUESTS.validate_json((run_dir / REQUEST).read_bytes())
    try:
        answer = validate(request, run_dir, load_settings())
    except ModisteError as error:
        answer = JobError(error.error_code, error.message, error.param, error.problems)
    write_json(run_dir / ANSWER, json.loads(ANSWERS.dump_json(answer)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
