"""`modiste eval`: state what good means in a YAML file, ask models, read verdicts."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Annotated, Any

import typer

from modiste import settings
from modiste.cli import eval_advise, eval_compare, eval_import
from modiste.cli.eval_lm import lm_eval
from modiste.cli.eval_redteam import redteam
from modiste.cli.output import (
    AsJson,
    ago,
    print_fields,
    print_json,
    print_table,
    say,
    size,
)
from modiste.cli.runs import (
    FINAL,
    RUNS,
    follow,
    headline,
    origin,
    print_metrics,
    progress,
    say_error,
    subjects_of,
)
from modiste.cli.suite_file import sent, suite_in
from modiste.client import connect
from modiste.errors import Conflict

app = typer.Typer(
    add_completion=False,
    help="Evaluations: run, compare, report, list, show, wait, samples, rescore, resume, …",
    no_args_is_help=True,
)
app.add_typer(eval_compare.app)
app.command("lm-eval")(lm_eval)
app.command("redteam")(redteam)

RunId = Annotated[
    str, typer.Argument(help="The id shown by `modiste eval list`, or its beginning.")
]


@app.command()
def run(
    suite: Annotated[Path, typer.Argument(help="A YAML file; its paths are relative to it.")],
    model: Annotated[
        list[str] | None,
        typer.Option("--model", help="One of the suite's models, or NAME=MODEL; all by default."),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="So many items instead of the suite's.")
    ] = None,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Queue the runs and return.")] = False,
    as_json: AsJson = False,
) -> None:
    """Ask every model of a suite, grade the answers, print the figures with their intervals."""
    spec = suite_in(suite)
    subjects = subjects_of(spec, model or [])
    if limit is not None:
        spec["dataset"] = {**(spec.get("dataset") or {}), "limit": limit}
    with connect(settings.load(), needs_engine=not no_wait, report=say) as client:
        body = {"suite": sent(client, spec, folder=suite.parent), "models": subjects}
        runs = client.post(RUNS, body)["data"]
        if not no_wait:
            runs = [follow(client, each["id"], quiet=as_json) for each in runs]
    if as_json:
        print_json(runs)
    elif no_wait:
        for each in runs:
            typer.echo(f"{each['id']}  {each['subject']}")
        if not client.standing:
            say("No server is running: the runs wait in the queue. `modiste up` starts one.")
        say(f"Next: modiste eval wait {runs[0]['id'][:8]}")
    else:
        print_metrics(runs)
        _say_next(runs)
    _exit_of(runs if not no_wait else [])


app.command("advise")(eval_advise.advise_command)
app.command("import")(eval_import.import_command)


@app.command("list")
def list_(
    suite: Annotated[str | None, typer.Option(help="The suite's name.")] = None,
    model: Annotated[str | None, typer.Option(help="The model's name.")] = None,
    page: Annotated[int, typer.Option(min=0)] = 0,
    page_size: Annotated[int, typer.Option(min=1, max=1000)] = 50,
    as_json: AsJson = False,
) -> None:
    """Runs, newest first."""
    asked: dict[str, Any] = {"suite": suite, "model": model, "page": page}
    with connect(settings.load()) as client:
        answer = client.get(RUNS, **{**asked, "page_size": page_size})
    if as_json:
        print_json(answer)
        return
    print_table(
        ["id", "suite", "model", "status", "done", "of", "primary", "made"],
        [
            (
                each["id"],
                each["suite"],
                f"{each['subject']} ({each['model']})",
                each["status"],
                each["counts"]["done"],
                each["counts"]["total"],
                headline(each),
                ago(each["created_at"]),
            )
            for each in answer["data"]
        ],
        empty="No runs. `modiste eval run suite.yaml` makes some.",
        numbers=("done", "of"),
    )


@app.command()
def show(
    run_id: RunId,
    parts: Annotated[
        bool, typer.Option("--parts", help="Figures of single classes and fields as well.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """One run: every figure with its interval, and what it rests on."""
    with connect(settings.load()) as client:
        found = client.get(f"{RUNS}/{run_id}")
    if as_json:
        print_json(found)
        return
    counts, record = found["counts"], found["record"] or {}
    print_fields(
        [
            ("id", found["id"]),
            ("status", found["status"]),
            ("suite", found["suite"]),
            ("model", f"{found['subject']}: {found['model']}"),
            ("answered by", found["model_id"] if found["model_id"] != found["model"] else None),
            ("samples", progress(found)),
            ("tokens", f"{counts['prompt_tokens']:,} in, {counts['completion_tokens']:,} out"),
            ("graded anew from", found["source"]),
            ("imported from", origin(record)),
            ("dataset", record.get("dataset_sha256", "")[:16] or None),
            ("made", ago(found["created_at"])),
            ("ended", ago(found["finished_at"])),
        ]
    )
    print_metrics([found], parts=parts)
    say_error(found)


@app.command()
def wait(run_id: RunId, as_json: AsJson = False) -> None:
    """Watch a run to its end; exit code 1 unless it ended well. Ctrl-C stops watching."""
    found = _watched(run_id, quiet=as_json)
    print_json(found) if as_json else print_metrics([found])
    _exit_of([found])


@app.command()
def samples(
    run_id: RunId,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A file; else standard output.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Every sample of a run as JSON lines; an existing file is not overwritten."""
    with connect(settings.load()) as client:
        chunks = client.content(f"{RUNS}/{run_id}/samples")
        if output is None:
            for chunk in chunks:
                sys.stdout.buffer.write(chunk)
            sys.stdout.buffer.flush()
            return
        written = _write(chunks, output)
    told = {"id": run_id, "path": str(output), "bytes": written}
    print_json(told) if as_json else typer.echo(f"{output}  ({size(written)})")


@app.command()
def rescore(
    run_id: RunId,
    suite: Annotated[
        Path | None, typer.Option(help="A suite whose scorers to use; else those of the run.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Grade the answers of a run anew, without asking its model again."""
    with connect(settings.load(), needs_engine=True, report=say) as client:
        body = {"suite": None if suite is None else suite_in(suite)}
        made = client.post(f"{RUNS}/{run_id}/rescore", body)
        found = follow(client, made["id"], quiet=as_json)
    print_json(found) if as_json else print_metrics([found])
    _exit_of([found])


@app.command()
def resume(run_id: RunId, as_json: AsJson = False) -> None:
    """Go on with a run that was cancelled or failed, or ask again what had no answer."""
    with connect(settings.load(), needs_engine=True, report=say) as client:
        client.post(f"{RUNS}/{run_id}/resume")
        found = follow(client, run_id, quiet=as_json)
    print_json(found) if as_json else print_metrics([found])
    _exit_of([found])


@app.command()
def cancel(run_id: RunId, as_json: AsJson = False) -> None:
    """Stop a run; its answers so far are kept."""
    with connect(settings.load()) as client:
        found = client.post(f"{RUNS}/{run_id}/cancel")
    print_json(found) if as_json else say(f"Run {found['id']} is {found['status']}.")


@app.command()
def delete(run_id: RunId, as_json: AsJson = False) -> None:
    """Forget an ended run and its samples."""
    with connect(settings.load()) as client:
        answer = client.delete(f"{RUNS}/{run_id}")
    print_json(answer) if as_json else say(f"Run {answer['id']} is deleted.")


def _watched(run_id: str, *, quiet: bool) -> dict[str, Any]:
    """Followed to its end; where no server works on it, one is started, or it would never end."""
    wanted = settings.load()
    with connect(wanted) as client:
        found = client.get(f"{RUNS}/{run_id}")
        if client.standing or found["status"] in FINAL:
            return follow(client, run_id, quiet=quiet)
    with connect(wanted, needs_engine=True, report=say) as client:
        return follow(client, run_id, quiet=quiet)


def _write(chunks: Iterator[bytes], path: Path) -> int:
    """All of it or no file; nothing is made where the server has none."""
    first = next(chunks, b"")
    try:
        target = path.open("xb")
    except FileExistsError:
        raise Conflict(f"{path} exists already; name another with --output") from None
    try:
        with target:
            return sum(target.write(chunk) for chunk in chain([first], chunks))
    except BaseException:
        path.unlink()
        raise


def _say_next(runs: list[dict[str, Any]]) -> None:
    well = [each["id"][:8] for each in runs if each["status"] == "SUCCESS"]
    if len(well) > 1:
        say(f"Next: modiste eval compare {well[0]} {well[1]}")
    if well:
        say(f"      modiste eval report {well[-1]} --html report.html")


def _exit_of(runs: list[dict[str, Any]]) -> None:
    if any(each["status"] != "SUCCESS" for each in runs):
        raise typer.Exit(1)
