"""`modiste tune CONFIG.yaml`: files up, job made, watched to its end, in one command.

Running it again with the same configuration and the same file contents finds the same job, whether
it still runs, was interrupted, or is done; the job's id is kept in `<home>/tune/`. Ctrl-C stops
the watching, not the job.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from modiste import settings
from modiste.cli import follow, jobs, tune_inputs, tune_outputs
from modiste.cli.executor import Processes, RayAddress, Where, say_unheard
from modiste.cli.executor import flags as executor_flags
from modiste.cli.output import AsJson, print_json, say
from modiste.cli.plan_text import print_plan
from modiste.client import Client, connect
from modiste.errors import InvalidInput, NotFound
from modiste.settings import Settings
from modiste.tune import config as tuning
from modiste.tune.asked import OF_THE_CALLER, to_hyperparameters, to_integration
from modiste.tune.config import Config
from modiste.tune.spec import DataFile, Objective, TuneSpec

app = typer.Typer(add_completion=False)


@app.command()
def tune(
    config: Annotated[
        Path | None,
        typer.Argument(
            help="YAML with at least model and data.train; a file of mistral-finetune, Axolotl, "
            "LLaMA-Factory or TRL will do."
        ),
    ] = None,
    sets: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Any field, such as lora.rank=8."),
    ] = None,
    model: Annotated[str | None, typer.Option(help="A base, its folder, or a ft: model.")] = None,
    train: Annotated[
        list[str] | None, typer.Option(help="A training file, folder or pattern; `:2` weighs it.")
    ] = None,
    validation: Annotated[list[str] | None, typer.Option(help="A file to evaluate on.")] = None,
    method: Annotated[str | None, typer.Option(help="lora, qlora or full.")] = None,
    effort: Annotated[str | None, typer.Option(help="quick, balanced or thorough.")] = None,
    suffix: Annotated[str | None, typer.Option(help="Part of the new model's name.")] = None,
    output_dir: Annotated[
        str | None, typer.Option(help="Folder for metrics and the model's files.")
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="Make a new model even if this one is made already.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Upload and plan; say what it would take.")
    ] = False,
    explain: Annotated[
        bool, typer.Option("--explain", help="Print every field and where its value is from.")
    ] = False,
    schema: Annotated[
        bool, typer.Option("--schema", help="Print the JSON schema of a configuration.")
    ] = False,
    executor: Where = None,
    processes: Processes = None,
    ray_address: RayAddress = None,
    as_json: AsJson = False,
) -> None:
    """Make a custom model from a YAML file; run it again to attach to the same job."""
    from modiste.cli import tune_explain

    if schema:
        return print_json(tune_explain.schema())
    asked = tuning.load(
        config,
        sets or (),
        model=model,
        data__train=",".join(train) if train else None,
        data__validation=",".join(validation) if validation else None,
        method=method,
        effort=effort,
        suffix=suffix,
        output_dir=output_dir,
    )
    for line in _in_short(asked.notes):
        say(line)
    wanted = settings.load(executor_flags(executor, processes, ray_address))
    if explain and not dry_run:
        return _explain(asked, None, as_json=as_json)
    tune_inputs.refuse_undecidable(asked.spec)
    tune_outputs.refuse_impossible(asked.spec)
    with connect(wanted, needs_engine=True, report=say) as client:
        say_unheard(wanted, standing=client.standing)
        spec = tune_inputs.prepared(client, wanted, asked.spec)
        if dry_run:
            body = request_body(client, spec, quiet=as_json)
            plan = client.post(jobs.JOBS, body, dry_run=True, explain=True)
            if explain:
                return _explain(asked, plan, as_json=as_json)
            return print_json(plan) if as_json else print_plan(plan)
        job_id = job_of(client, wanted, spec, again=again, quiet=as_json)
        try:
            job = follow.follow(client, job_id, quiet=as_json).job
        except KeyboardInterrupt:
            say(_how_to_go_on(client, config, job_id))
            raise typer.Exit(1) from None
        if job["status"] == "SUCCESS" and spec.output_dir is not None:
            tune_outputs.write(client, spec, job, report=say)
        advice = _what_next(client, job)
    _say_end(job, advice, as_json=as_json)


def _in_short(notes: Iterable[str]) -> list[str]:
    """Plain translations of one file in one line; whatever needs a reason keeps its own."""
    read: dict[str, list[str]] = {}
    lines = []
    for note in notes:
        where, _, text = note.partition(": ")
        name, found, ours = text.partition(" read as ")
        if found and " " not in name and ":" not in ours:
            read.setdefault(where, []).append(f"{name} as {ours}")
        else:
            lines.append(note)
    return [f"{where}: read {', '.join(each)}" for where, each in read.items()] + lines


def _explain(asked: Config, plan: dict[str, Any] | None, *, as_json: bool) -> None:
    from modiste.cli import tune_explain

    rows = tune_explain.explained(asked, plan and plan.get("spec"))
    if as_json:
        told = {"fields": [row._asdict() for row in rows], "notes": list(asked.notes)}
        print_json(told | ({"plan": plan} if plan else {}))
        return
    tune_explain.print_rows(rows)
    if plan is not None:
        jobs.print_estimate(plan)


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
    content = spec.model_dump(mode="json", exclude={"data", *OF_THE_CALLER})
    for part in ("train", "validation"):
        files: tuple[DataFile, ...] = getattr(spec.data, part)
        content[part] = [[file.file_id or _sha256(file.path), file.weight] for file in files]
    if spec.continue_from is not None:
        content["continue_from"] = tune_inputs.content_of(spec.continue_from)
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

    training = [{"file_id": file_id(file), "weight": file.weight} for file in spec.data.train]
    body: dict[str, Any] = {
        "model": spec.model,
        "training_files": training,
        "validation_files": [file_id(file) for file in spec.data.validation],
        "hyperparameters": to_hyperparameters(spec),
        "integrations": [to_integration(tracker) for tracker in spec.trackers],
        "suffix": spec.suffix,
        "invalid_sample_skip_percentage": spec.invalid_sample_skip_fraction,
        "auto_start": spec.auto_start,
    }
    if _classifies(client, spec, str(training[0]["file_id"])):
        body["job_type"] = "classifier"
        if "learning_rate" not in spec.model_fields_set:
            del body["hyperparameters"]["learning_rate"]  # Classifiers have their own.
        body["classifier_targets"] = [asdict(target) for target in spec.classifier_targets]
    return body


def _classifies(client: Client, spec: TuneSpec, file_id: str) -> bool:
    """Whether a classifier is asked for, or nothing else and the rows have labels."""
    if spec.objective is not None or spec.classifier_targets:
        return spec.objective in (None, Objective.CLASSIFY)
    report = client.get(f"/v1/files/{file_id}/report")
    return any(file["format"] == "classifier" for file in report["files"])


def _how_to_go_on(client: Client, config: Path | None, job_id: str) -> str:
    again = f"`modiste tune {config or '…'}` attaches to it again"
    if client.standing:
        return (
            f"\nJob {job_id} goes on without us. {again}; `modiste jobs cancel {job_id}` stops it."
        )
    return (
        f"\nJob {job_id} stops with the server of this command and keeps its last checkpoint. "
        f"{again} and continues it; so does `modiste up`."
    )


def _what_next(client: Client, job: dict[str, Any]) -> str:
    """What can be done with the job's model, where it has one."""
    model = job["fine_tuned_model"]
    if job["status"] != "SUCCESS" or model is None:
        return ""
    card = client.get(f"/v1/models/{model}")
    if card["capabilities"].get("classification"):
        return f"Try it: echo 'some text' | modiste classify {model} -"
    if card["capabilities"]["completion_chat"]:
        return f"Try it: modiste chat {model}"
    base = client.get(f"/v1/models/{card['parent']}")
    if not base["capabilities"]["completion_chat"]:
        return f"Its base has no chat template: ask {model} at /v1/completions"
    return (
        "It cannot be asked here, as the built-in engine does not compute it. For another server: "
        f"modiste models export {model} --form merged -o DIR"
    )


def _say_end(job: dict[str, Any], advice: str, *, as_json: bool) -> None:
    if as_json:
        print_json(job)
    elif follow.needs_start(job):
        jobs.print_estimate(job["metadata"])
        say(f"It is planned and waits: modiste jobs start {job['id']}")
    elif job["status"] == "SUCCESS":
        typer.echo(job["fine_tuned_model"])
        say(advice)
    error = follow.failure(job)
    if error is not None:
        raise error
