"""`modiste jobs`: make fine-tuning jobs, watch them, steer them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from modiste import settings
from modiste.cli import follow
from modiste.cli.files import tell_report
from modiste.cli.output import (
    AsJson,
    ago,
    duration,
    print_fields,
    print_json,
    print_table,
    printable,
    say,
)
from modiste.client import Client, connect

app = typer.Typer(
    add_completion=False,
    help="Fine-tuning jobs: create, list, show, report, preview, events, logs, wait, …",
    no_args_is_help=True,
)

JobId = Annotated[str, typer.Argument(help="The id shown by `modiste jobs list`.")]
JOBS = "/v1/fine_tuning/jobs"


@app.command()
def create(
    model: Annotated[str, typer.Option(help="The base model, e.g. modiste-tiny.")],
    file: Annotated[
        list[str] | None,
        typer.Option(
            "--file",
            help="Training file: an id, or a path that is uploaded; `:2` adds "
            "a weight. May be given several times.",
        ),
    ] = None,
    dataset: Annotated[
        str | None, typer.Option(help="A dataset instead of files: its name, or name@version.")
    ] = None,
    validation: Annotated[
        list[str] | None, typer.Option("--validation", help="Validation file: an id or a path.")
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1)] = None,
    epochs: Annotated[float | None, typer.Option()] = None,
    learning_rate: Annotated[float | None, typer.Option()] = None,
    seq_len: Annotated[int | None, typer.Option(min=1)] = None,
    batch_size: Annotated[int | None, typer.Option(min=1)] = None,
    lora_rank: Annotated[int | None, typer.Option(min=1)] = None,
    seed: Annotated[int | None, typer.Option(min=0)] = None,
    suffix: Annotated[str | None, typer.Option(help="Part of the new model's name.")] = None,
    start: Annotated[
        bool, typer.Option("--start/--no-start", help="Run it, or only validate and plan.")
    ] = True,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what it would take; create nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make a job from uploaded or local files."""
    asked = {
        "training_steps": steps,
        "epochs": epochs,
        "learning_rate": learning_rate,
        "seq_len": seq_len,
        "batch_size": batch_size,
        "lora_rank": lora_rank,
        "seed": seed,
    }
    with connect(settings.load()) as client:
        body = {
            "model": model,
            "training_files": [_training_file(client, text) for text in file or []],
            "dataset": dataset,
            "validation_files": [_file_id(client, text) for text in validation or []],
            "hyperparameters": {name: v for name, v in asked.items() if v is not None},
            "suffix": suffix,
            "auto_start": start,
        }
        job = client.post(JOBS, body, dry_run=dry_run or None)
        standing = client.standing
    if as_json:
        print_json(job)
    elif dry_run:
        print_estimate(job)
    else:
        typer.echo(job["id"])
        hint = f"modiste jobs wait {job['id']}" if standing else "modiste up"
        say(f"The job is {job['status']}. Next: {hint}")


def _training_file(client: Client, text: str) -> dict[str, Any]:
    """`ID`, `PATH`, `PATH:2.5`; a path that exists wins over a weight."""
    head, _, tail = text.rpartition(":")
    if head and not Path(text).exists():
        try:
            return {"file_id": _file_id(client, head), "weight": float(tail)}
        except ValueError:
            pass  # no weight after the colon: the whole text is the name
    return {"file_id": _file_id(client, text), "weight": 1.0}


def _file_id(client: Client, text: str) -> str:
    path = Path(text).expanduser()
    if not path.exists():
        return text
    return str(client.upload(path)["id"])


@app.command("list")
def list_(
    status: Annotated[str | None, typer.Option(help="E.g. RUNNING.")] = None,
    model: Annotated[str | None, typer.Option(help="The base model.")] = None,
    suffix: Annotated[str | None, typer.Option()] = None,
    page: Annotated[int, typer.Option(min=0)] = 0,
    page_size: Annotated[int, typer.Option(min=1, max=1000)] = 100,
    as_json: AsJson = False,
) -> None:
    """Jobs, newest first."""
    with connect(settings.load()) as client:
        answer = client.get(
            JOBS, page=page, page_size=page_size, status=status, model=model, suffix=suffix
        )
    if as_json:
        print_json(answer)
        return
    print_table(
        ["id", "status", "base", "made", "model"],
        [
            (
                job["id"],
                "paused" if job.get("paused") else job["status"],
                job["model"],
                ago(job["created_at"]),
                job.get("fine_tuned_model"),
            )
            for job in answer["data"]
        ],
        empty="No jobs. `modiste tune CONFIG.yaml` or `modiste jobs create` makes one.",
    )
    shown = page * page_size + len(answer["data"])
    if answer["total"] > shown:
        say(f"{shown} of {answer['total']}; --page {page + 1} shows the next ones.")


@app.command()
def show(job_id: JobId, as_json: AsJson = False) -> None:
    """One job: what was asked, what it takes, how far it is."""
    with connect(settings.load()) as client:
        job = client.get(f"{JOBS}/{job_id}")
    if as_json:
        print_json(job)
        return
    given = {name: v for name, v in job["hyperparameters"].items() if v is not None}
    print_fields(
        [
            ("id", job["id"]),
            ("status", "paused" if job.get("paused") else job["status"]),
            ("error", (job.get("error") or {}).get("message")),
            ("base", job["model"]),
            ("model", job.get("fine_tuned_model")),
            ("suffix", job.get("suffix")),
            ("training files", ", ".join(job["training_files"])),
            ("validation files", ", ".join(job.get("validation_files") or [])),
            ("parameters", ", ".join(f"{name} {_shown(v)}" for name, v in given.items())),
            ("made", ago(job["created_at"])),
            *_estimate_fields(job.get("metadata") or {}),
            ("trained tokens", _count(job.get("trained_tokens"))),
        ]
    )
    if job["checkpoints"]:
        _print_checkpoints(job["checkpoints"])


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(value)
    return value if isinstance(value, str) else f"{value:g}"


def print_estimate(metadata: dict[str, Any]) -> None:
    """What a job is expected to take."""
    print_fields(_estimate_fields(metadata))


def _estimate_fields(metadata: dict[str, Any]) -> list[tuple[str, object]]:
    cost, epochs = metadata.get("cost"), metadata.get("epochs")
    return [
        ("steps", metadata.get("training_steps")),
        ("epochs", None if epochs is None else f"{epochs:.3g}"),
        ("planned tokens", _count(metadata.get("train_tokens"))),
        ("takes about", duration(metadata.get("expected_duration_seconds"))),
        ("costs", f"{cost:.2f} {metadata.get('cost_currency')}" if cost else None),
        ("estimate", metadata.get("details")),
    ]


def _count(number: int | None) -> str:
    return "" if number is None else f"{number:,}"


def _print_checkpoints(checkpoints: list[dict[str, Any]]) -> None:
    print_table(
        ["step", "train loss", "validation loss", "accuracy"],
        [
            (
                checkpoint["step_number"],
                _number(checkpoint["metrics"].get("train_loss")),
                _number(checkpoint["metrics"].get("valid_loss")),
                _number(checkpoint["metrics"].get("valid_mean_token_accuracy")),
            )
            for checkpoint in checkpoints
        ],
        empty="",
    )


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


@app.command()
def report(
    job_id: JobId,
    html: Annotated[Path | None, typer.Option("--html", help="Write it as one page.")] = None,
    as_json: AsJson = False,
) -> None:
    """What validation said of a job's files; exit code 1 when a row may not be trained on."""
    with connect(settings.load()) as client:
        ok = tell_report(client, f"{JOBS}/{job_id}/report", html=html, as_json=as_json)
    if not ok:
        raise typer.Exit(1)


@app.command()
def preview(job_id: JobId, as_json: AsJson = False) -> None:
    """Rows of a job's files as they are trained, token by token."""
    from modiste.cli.preview_text import print_preview

    with connect(settings.load()) as client:
        found = client.get(f"{JOBS}/{job_id}/preview")
    if as_json:
        print_json(found)
        return
    for shown in found["files"]:
        print_preview(shown)
    for name in found["files_not_shown"]:
        say(f"{name} is not shown; `modiste data preview` shows any file.")


@app.command()
def worst(job_id: JobId, as_json: AsJson = False) -> None:
    """The rows its finished model finds hardest: often broken, mislabelled or odd ones."""
    with connect(settings.load()) as client:
        found = client.get(f"{JOBS}/{job_id}/worst")
    if as_json:
        print_json(found)
        return
    for part in found["parts"]:
        say(
            f"{part['part']}: {part['n_measured']:,} of {part['n_rows']:,} rows measured, mean "
            f"loss {_number(part['mean_loss']) or 'no number'}"
        )
        print_table(
            ["loss", "trained", "row", "asked", "answer"],
            [
                (
                    _number(row["loss"]) or "no number",
                    row["n_trained"],
                    f"{row['file']}:{row['line']}",
                    printable(row["asked"])[:40],
                    printable(row["answer"])[:60],
                )
                for row in part["rows"]
            ],
            empty="",
        )


@app.command()
def events(job_id: JobId, as_json: AsJson = False) -> None:
    """What happened to a job, oldest first."""
    with connect(settings.load()) as client:
        job = client.get(f"{JOBS}/{job_id}")
    if as_json:
        print_json(job["events"])
        return
    print_table(
        ["when", "status", "what"],
        [
            (ago(event["created_at"]), event["data"]["status"], event["data"].get("message"))
            for event in job["events"]
        ],
        empty="No events.",
    )


@app.command()
def logs(
    job_id: JobId,
    following: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on until the job has ended.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Events and every training step."""
    if following:
        job, steps = _watch(job_id, quiet=as_json)
    else:
        with connect(settings.load()) as client:
            job = client.get(f"{JOBS}/{job_id}")
            steps = client.steps(job_id).rows
    if as_json:
        print_json({"events": job["events"], "steps": steps})
    elif not following:
        for event in job["events"]:
            line = f"{event['data']['status']:<10} {event['data'].get('message') or ''}"
            typer.echo(printable(line.rstrip()))
        for row in steps:
            typer.echo(follow.step_line(row, {}))


@app.command()
def wait(job_id: JobId, as_json: AsJson = False) -> None:
    """Watch a job until it has ended; exit code 1 if it made no model. Ctrl-C stops watching."""
    job = _watch(job_id, quiet=as_json).job
    if as_json:
        print_json(job)
    elif job["status"] == "SUCCESS":
        typer.echo(job["fine_tuned_model"])
    elif follow.needs_start(job):
        print_estimate(job["metadata"])
        say(f"It is planned and waits: modiste jobs start {job_id}")
    error = follow.failure(job)
    if error is not None:
        raise error


def _watch(job_id: str, *, quiet: bool) -> follow.Followed:
    """Follow a job; where no server works on it, start one, or it would never end."""
    wanted = settings.load()
    with connect(wanted) as client:
        ended = client.get(f"{JOBS}/{job_id}")["status"] in follow.FINAL
        if client.standing or ended:
            return follow.follow(client, job_id, quiet=quiet)
    with connect(wanted, needs_engine=True, report=say) as client:
        return follow.follow(client, job_id, quiet=quiet)


@app.command()
def cancel(job_id: JobId, as_json: AsJson = False) -> None:
    """Stop a job, at whatever point it is."""
    _act(job_id, "cancel", as_json=as_json)


@app.command()
def start(job_id: JobId, as_json: AsJson = False) -> None:
    """Run a job that was made with --no-start."""
    _act(job_id, "start", as_json=as_json)


@app.command()
def pause(job_id: JobId, as_json: AsJson = False) -> None:
    """Stop a job after a checkpoint; `resume` goes on from there."""
    _act(job_id, "pause", as_json=as_json)


@app.command()
def resume(job_id: JobId, as_json: AsJson = False) -> None:
    """Go on with a paused job."""
    _act(job_id, "resume", as_json=as_json)


def _act(job_id: str, verb: str, *, as_json: bool) -> None:
    with connect(settings.load()) as client:
        job = client.post(f"{JOBS}/{job_id}/{verb}")
    if as_json:
        print_json(job)
    else:
        say(f"Job {job_id} is {'paused' if job.get('paused') else job['status']}.")
