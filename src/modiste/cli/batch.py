"""`modiste batch`: many requests in one file; results in a file, in the same order."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from modiste import settings
from modiste.cli.output import (
    AsJson,
    ago,
    print_fields,
    print_json,
    print_table,
    printable,
    say,
    size,
)
from modiste.client import Client, connect
from modiste.errors import Conflict, InvalidInput, ModisteError, NotFound

app = typer.Typer(
    add_completion=False,
    help="Batches of requests: create, list, show, wait, results, cancel, delete.",
    no_args_is_help=True,
)

BatchId = Annotated[str, typer.Argument(help="The id shown by `modiste batch list`.")]
BATCHES = "/v1/batch/jobs"
FINAL = frozenset({"SUCCESS", "FAILED", "TIMEOUT_EXCEEDED", "CANCELLED"})
POLL_S = 0.5
PROBLEMS_SHOWN = 20


@app.command()
def create(
    files: Annotated[
        list[str],
        typer.Argument(
            help="Files of lines {custom_id, body}: paths, which are uploaded, or their ids."
        ),
    ],
    model: Annotated[
        str | None, typer.Option(help="For all requests whose body names none.")
    ] = None,
    endpoint: Annotated[
        str, typer.Option(help="Where every body is sent.")
    ] = "/v1/chat/completions",
    timeout_hours: Annotated[
        int, typer.Option(min=1, help="What has not run by then will not.")
    ] = 24,
    metadata: Annotated[
        list[str] | None, typer.Option("--metadata", help="KEY=VALUE, to find it by.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Queue the requests of files."""
    with connect(settings.load()) as client:
        body = {
            "input_files": [_file_id(client, text) for text in files],
            "endpoint": endpoint,
            "model": model,
            "timeout_hours": timeout_hours,
            "metadata": dict(_pair(text) for text in metadata or []),
        }
        batch = client.post(BATCHES, body)
        standing = client.standing
    if as_json:
        print_json(batch)
        return
    typer.echo(batch["id"])
    hint = f"modiste batch wait {batch['id']}" if standing else "modiste up"
    say(f"The batch is {batch['status']}, {batch['total_requests']:,} requests. Next: {hint}")


@app.command("list")
def list_(
    status: Annotated[str | None, typer.Option(help="E.g. RUNNING.")] = None,
    model: Annotated[str | None, typer.Option(help="The model of the batch.")] = None,
    metadata: Annotated[list[str] | None, typer.Option("--metadata", help="KEY=VALUE.")] = None,
    page: Annotated[int, typer.Option(min=0)] = 0,
    page_size: Annotated[int, typer.Option(min=1, max=1000)] = 100,
    as_json: AsJson = False,
) -> None:
    """Batches, newest first."""
    labels = dict(_pair(text) for text in metadata or [])
    asked: dict[str, Any] = {**labels, "status": status, "model": model}
    with connect(settings.load()) as client:
        answer = client.get(BATCHES, **{**asked, "page": page, "page_size": page_size})
    if as_json:
        print_json(answer)
        return
    print_table(
        ["id", "status", "done", "failed", "of", "endpoint", "model", "made"],
        [
            (
                batch["id"],
                batch["status"],
                batch["completed_requests"],
                batch["failed_requests"],
                batch["total_requests"],
                batch["endpoint"],
                batch.get("model"),
                ago(batch["created_at"]),
            )
            for batch in answer["data"]
        ],
        empty="No batches. `modiste batch create requests.jsonl --model NAME` makes one.",
        numbers=("done", "failed", "of"),
    )
    shown = page * page_size + len(answer["data"])
    if answer["total"] > shown:
        say(f"{shown} of {answer['total']}; --page {page + 1} shows the next ones.")


@app.command()
def show(batch_id: BatchId, as_json: AsJson = False) -> None:
    """One batch: what was asked, how far it is, where its results are."""
    with connect(settings.load()) as client:
        batch = client.get(f"{BATCHES}/{batch_id}")
    if as_json:
        print_json(batch)
        return
    print_fields(
        [
            ("id", batch["id"]),
            ("status", batch["status"]),
            ("endpoint", batch["endpoint"]),
            ("model", batch.get("model")),
            ("requests", _progress(batch)),
            ("input files", ", ".join(batch["input_files"])),
            ("output file", batch.get("output_file")),
            ("error file", batch.get("error_file")),
            ("metadata", ", ".join(f"{k}={v}" for k, v in (batch["metadata"] or {}).items())),
            ("made", ago(batch["created_at"])),
            ("ended", ago(batch.get("completed_at"))),
        ]
    )
    _say_errors(batch)


@app.command()
def wait(batch_id: BatchId, as_json: AsJson = False) -> None:
    """Watch a batch until it has ended; exit code 1 unless every request was answered. Ctrl-C
    stops watching."""
    batch = _watch(batch_id, quiet=as_json)
    if as_json:
        print_json(batch)
    else:
        say(f"{batch['status']}: {_progress(batch)}")
        _say_errors(batch)
    if batch["status"] != "SUCCESS":
        raise typer.Exit(1)


@app.command()
def results(
    batch_id: BatchId,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A file; else standard output.")
    ] = None,
    errors: Annotated[
        bool, typer.Option("--errors", help="Those that failed or did not run, instead.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """The results of an ended batch, one JSON line each, in the order of the requests; an existing
    file is not overwritten."""
    with connect(settings.load()) as client:
        batch = client.get(f"{BATCHES}/{batch_id}")
        file_id = batch["error_file" if errors else "output_file"]
        if file_id is None:
            raise _nothing(batch, errors=errors)
        if output is None:
            for chunk in client.download(file_id):
                sys.stdout.buffer.write(chunk)
            sys.stdout.buffer.flush()
        else:
            written = _write(client, file_id, output)
            told = {"id": batch_id, "path": str(output), "bytes": written}
            print_json(told) if as_json else typer.echo(f"{output}  ({size(written)})")
    if not errors and batch["error_file"] is not None:
        say(f"{_progress(batch)}; --errors shows the others.")


@app.command()
def cancel(batch_id: BatchId, as_json: AsJson = False) -> None:
    """Stop a batch; results so far are kept."""
    with connect(settings.load()) as client:
        batch = client.post(f"{BATCHES}/{batch_id}/cancel")
    if as_json:
        print_json(batch)
    else:
        say(f"Batch {batch_id} is {batch['status']}.")


@app.command()
def delete(batch_id: BatchId, as_json: AsJson = False) -> None:
    """Forget an ended batch; the files of its results stay."""
    with connect(settings.load()) as client:
        answer = client.delete(f"{BATCHES}/{batch_id}")
    if as_json:
        print_json(answer)
    else:
        say(f"Batch {batch_id} is deleted.")


def _file_id(client: Client, text: str) -> str:
    path = Path(text).expanduser()
    return str(client.upload(path, purpose="batch")["id"]) if path.exists() else text


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise InvalidInput(f"--metadata is {text!r}, expected KEY=VALUE", param="metadata")
    return key, value


def _watch(batch_id: str, *, quiet: bool) -> dict[str, Any]:
    """Follow a batch; where no server works on it, start one, or it would never end."""
    wanted = settings.load()
    with connect(wanted) as client:
        batch = client.get(f"{BATCHES}/{batch_id}")
        if client.standing or batch["status"] in FINAL:
            return _follow(client, batch_id, quiet=quiet)
    with connect(wanted, needs_engine=True, report=say) as client:
        return _follow(client, batch_id, quiet=quiet)


def _follow(client: Client, batch_id: str, *, quiet: bool) -> dict[str, Any]:
    said = ""
    while True:
        batch = client.get(f"{BATCHES}/{batch_id}", patience_s=60.0)
        if batch["status"] in FINAL:
            return batch
        line = f"{batch['status']}: {_progress(batch)}"
        if line != said and not quiet:
            say(line)
        said = line
        time.sleep(POLL_S)


def _progress(batch: dict[str, Any]) -> str:
    done, total = batch["succeeded_requests"], batch["total_requests"]
    failed = batch["failed_requests"]
    return f"{done:,} of {total:,} succeeded" + (f", {failed:,} failed" if failed else "")


def _say_errors(batch: dict[str, Any]) -> None:
    errors = batch.get("errors") or []
    for error in errors[:PROBLEMS_SHOWN]:
        say(f"  {printable(error['message'])}")
    if len(errors) > PROBLEMS_SHOWN:
        say(f"  … and {len(errors) - PROBLEMS_SHOWN} more; --json lists all")


def _nothing(batch: dict[str, Any], *, errors: bool) -> ModisteError:
    if batch["status"] not in FINAL:
        return Conflict(f"Batch {batch['id']} is {batch['status']}: wait for its end.")
    what = "no request failed" if errors else "no request succeeded; --errors shows why"
    return NotFound(f"There is no such file of batch {batch['id']} ({batch['status']}): {what}.")


def _write(client: Client, file_id: str, path: Path) -> int:
    try:
        with path.open("xb") as target:
            return sum(target.write(chunk) for chunk in client.download(file_id))
    except FileExistsError:
        raise Conflict(f"{path} exists already; name another with --output") from None
