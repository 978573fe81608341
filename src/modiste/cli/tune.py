"""`modiste tune CONFIG.yaml`: files up, job made, watched to its end, in one command.

Running it again with the same configuration and the same file contents finds the same job, whether
it still runs, was interrupted, or is done; the job's id is kept in `<home>/tune/`. Ctrl-C stops
the watching, not the job.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Annotated, Any

import typer

from modiste import settings
from modiste.cli import follow, jobs
from modiste.cli.output import AsJson, print_json, say
from modiste.client import Client, connect
from modiste.errors import InvalidInput, NotFound
from modiste.settings import Settings
from modiste.tune import config as tuning
from modiste.tune.asked import to_hyperparameters, to_integration
from modiste.tune.spec import DataFile, TuneSpec

app = typer.Typer(add_completion=False)


@app.command()
def tune(
    config: Annotated[Path, typer.Argument(help="YAML with at least model and data.train.")],
    again: Annotated[
        bool, typer.Option("--again", help="Make a new model even if this one is made already.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Upload and plan; say what it would take.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make a custom model from a YAML file; run it again to attach to the same job."""
    parsed = tuning.read_yaml(config)
    spec = parsed.spec
    for note in parsed.notes:
        say(note)
    wanted = settings.load()
    with connect(wanted, needs_engine=True, report=say) as client:
        if dry_run:
            plan = client.post(jobs.JOBS, request_body(client, spec, quiet=as_json), dry_run=True)
            print_json(plan) if as_json else jobs.print_estimate(plan)
            return
        job_id = job_of(client, wanted, spec, again=again, quiet=as_json)
        try:
            job = follow.follow(client, job_id, quiet=as_json).job
        except KeyboardInterrupt:
            say(_how_to_go_on(client, config, job_id))
            raise typer.Exit(1) from None
    _say_end(job, as_json=as_json)


def job_of(client: Client, wanted: Settings, spec: TuneSpec, *, again: bool, quiet: bool) -> str:
    """The id of the job of this configuration: one that is known already, or a new one.

    An unfinished job is never doubled; `again` makes a new one where the known one is done.
    """
    record = _record_file(wanted, spec)
    known = _known_job(client, record)
    if known is not None and (known["status"] not in follow.FINAL or not again):
        if follow.failure(known) is None or known["status"] not in follow.FINAL:
            say(f"Job {known['id']} of this configuration is {known['status']}; attaching to it.")
            return str(known["id"])
        say(f"The last job of this configuration is {known['status']}; making a new one.")
    job = client.post(jobs.JOBS, request_body(client, spec, quiet=quiet))
    record.parent.mkdir(parents=True, exist_ok=True)
    record.write_text(json.dumps({"job_id": job["id"]}), encoding="utf-8")
    say(f"Job {job['id']} is made.")
    return str(job["id"])


def _known_job(client: Client, record: Path) -> dict[str, Any] | None:
    try:
        job_id = json.loads(record.read_text(encoding="utf-8"))["job_id"]
        return client.get(f"{jobs.JOBS}/{job_id}")
    except (OSError, ValueError, KeyError, NotFound):
        return None


def _record_file(wanted: Settings, spec: TuneSpec) -> Path:
    """Named after everything that decides the result: fields, file contents, server."""
    content = spec.model_dump(mode="json", exclude={"data"})
    for part in ("train", "validation"):
        files: tuple[DataFile, ...] = getattr(spec.data, part)
        content[part] = [[file.file_id or _sha256(file.path), file.weight] for file in files]
    content["server"] = wanted.url
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    return wanted.home / "tune" / f"{digest[:32]}.json"


def _sha256(path: str | None) -> str:
    try:
        with Path(path or "").open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InvalidInput(f"{path}: cannot be read: {error.strerror}") from None


def request_body(client: Client, spec: TuneSpec, *, quiet: bool) -> dict[str, Any]:
    """The body of POST /v1/fine_tuning/jobs; local files are uploaded on the way."""

    def file_id(file: DataFile) -> str:
        if file.file_id is not None:
            return file.file_id
        uploaded = client.upload(Path(file.path or ""))
        if not quiet:
            say(f"Uploaded {file.path} ({uploaded.get('num_lines')} rows)")
        return str(uploaded["id"])

    return {
        "model": spec.model,
        "training_files": [
            {"file_id": file_id(file), "weight": file.weight} for file in spec.data.train
        ],
        "validation_files": [file_id(file) for file in spec.data.validation],
        "hyperparameters": to_hyperparameters(spec),
        "integrations": [to_integration(tracker) for tracker in spec.trackers],
        "suffix": spec.suffix,
        "invalid_sample_skip_percentage": spec.invalid_sample_skip_fraction,
        "auto_start": spec.auto_start,
    }


def _how_to_go_on(client: Client, config: Path, job_id: str) -> str:
    again = f"`modiste tune {config}` attaches to it again"
    if client.standing:
        return (
            f"\nJob {job_id} goes on without us. {again}; `modiste jobs cancel {job_id}` stops it."
        )
    return (
        f"\nJob {job_id} stops with the server of this command and keeps its last checkpoint. "
        f"{again} and continues it; so does `modiste up`."
    )


def _say_end(job: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(job)
    elif follow.needs_start(job):
        jobs.print_estimate(job["metadata"])
        say(f"It is planned and waits: modiste jobs start {job['id']}")
    elif job["status"] == "SUCCESS":
        typer.echo(job["fine_tuned_model"])
        say(f"Try it: modiste chat {job['fine_tuned_model']}")
    error = follow.failure(job)
    if error is not None:
        raise error
