"""`modiste quickstart`: a file becomes a custom model and proves it, in one command.

Everything goes through the public API, as a user's program would: upload, job, progress, chat. The
example task is generated: messages to a customer service, to be routed to a department. Held-out
messages are made from sentences that training never saw. Running it again makes a second model; an
interrupted run is continued.
"""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer
import yaml

from modiste import settings
from modiste.cli import compare, follow, plot, tune
from modiste.cli.compare import Comparison
from modiste.cli.output import AsJson, console, duration, print_json, printable, say
from modiste.client import Client, connect, started
from modiste.errors import Conflict
from modiste.evaluate.stats import wilson
from modiste.prepare.synthesize import Routing, support_routing
from modiste.settings import Settings
from modiste.tune import spec as specs
from modiste.work import home as homes

app = typer.Typer(add_completion=False)

BASE = "modiste-tiny"
SEED = 7
N_TRAIN, N_VALIDATION, N_HELDOUT = 600, 60, 100
RECIPE = {"max_steps": 120, "batch_size": 8, "max_length": 256, "learning_rate": 2e-3}
SHOWN = 6


class Files(NamedTuple):
    config: Path
    heldout: list[dict[str, Any]]


@app.command()
def quickstart(
    home: Annotated[Path | None, typer.Option(help="Where everything is kept.")] = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave the server running until Ctrl-C.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Tune the shipped base model on an example task and compare the two. A few minutes, no GPU."""
    began = time.monotonic()
    wanted = settings.load({"home": home})
    files = _write_files(wanted.home / "quickstart")
    with _server(wanted) as client:
        job, steps = _tuned(client, wanted, files, quiet=as_json)
        model = str(job["fine_tuned_model"])
        say(f"Asking both models {len(files.heldout)} messages that training never saw …")
        result = compare.compare(client, files.heldout, base=BASE, tuned=model)
        if as_json:
            print_json(_as_json(job, result, steps))
        else:
            _print_result(result, steps)
            say(f"\nAll of it took {duration(time.monotonic() - began)}.")
        ways = three_ways(wanted, client.url if keep else _usual_url(wanted), model, files.heldout)
        _print_ways(ways, client, keep=keep, as_json=as_json)
        if keep and not client.standing:
            _until_interrupted()


@contextmanager
def _server(wanted: Settings) -> Iterator[Client]:
    """The server that is there, or our own: on the usual port if that is free."""
    if wanted.url is not None or homes.read_server_file(wanted) is not None:
        with connect(wanted) as client:
            say(f"Using the server that runs at {client.url}")
            yield client
        return
    try:
        homes.refuse_taken_port(wanted)
        port = wanted.port
    except Conflict:
        port = 0
    with started(wanted, port=port, report=say) as client:
        say(f"The server is ready at {client.url} (home: {wanted.home})")
        yield client


def _write_files(folder: Path) -> Files:
    """The generated data and the configuration, where the user can look at them."""
    folder.mkdir(parents=True, exist_ok=True)
    data: Routing = support_routing(N_TRAIN, N_VALIDATION, N_HELDOUT, SEED)
    for name, rows in (
        ("train", data.train),
        ("validation", data.validation),
        ("heldout", data.heldout),
    ):
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text(lines, encoding="utf-8")
    config = {
        "model": BASE,
        "data": {"train": "train.jsonl", "validation": "validation.jsonl"},
        "suffix": "quickstart",
        **RECIPE,
    }
    path = folder / "quickstart.yaml"
    path.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")
    say(f"Wrote {len(data.train)} training, {len(data.validation)} validation and "
        f"{len(data.heldout)} held-out messages, and quickstart.yaml, to {folder}")  # fmt: skip
    return Files(path, [dict(row) for row in data.heldout])


def _tuned(
    client: Client, wanted: Settings, files: Files, *, quiet: bool
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The finished job and its steps."""
    spec = specs.read_yaml(files.config).spec
    job_id = tune.job_of(client, wanted, spec, again=True, quiet=quiet)
    try:
        job, steps = follow.follow(client, job_id, quiet=quiet)
    except KeyboardInterrupt:
        say("\nStopped. `modiste quickstart` continues this job from its last checkpoint.")
        raise typer.Exit(1) from None
    error = follow.failure(job)
    if error is not None:
        raise error
    say(f"The new model is {job['fine_tuned_model']}")
    return job, steps


def _print_result(result: Comparison, steps: Sequence[dict[str, Any]]) -> None:
    _print_curve(steps)
    _print_answers(result)
    say_base = [item.base_right for item in result.items]
    say_tuned = [item.tuned_right for item in result.items]
    typer.echo(compare.accuracy_line("base", say_base))
    typer.echo(compare.accuracy_line("tuned", say_tuned))
    for line in compare.verdict_lines(result):
        typer.echo(line)
    if result.first_failure is not None:
        typer.echo(f"Not scored: {printable(result.first_failure)}")


def _print_curve(steps: Sequence[dict[str, Any]]) -> None:
    told = [row for row in steps if row.get("loss") is not None]
    losses = plot.smoothed([row["loss"] for row in told], window=5)
    points = [(float(row["step"]), loss) for row, loss in zip(told, losses, strict=True)]
    lines = plot.curve(points)
    if lines:
        typer.echo("\nTraining loss by step (mean of 5)")
        for line in lines:
            typer.echo(line)


def _print_answers(result: Comparison) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(
        box=box.SIMPLE_HEAD, title="Held-out messages, temperature 0", title_justify="left"
    )
    for column, ratio in (("message", 5), ("expected", 2), ("base model", 3), ("tuned model", 2)):
        table.add_column(column, ratio=ratio, overflow="fold")
    for item in _telling(result):
        table.add_row(
            Text(printable(item.question)),
            Text(printable(item.expected)),
            Text(_one_line(item.base), style="green" if item.base_right else "red"),
            Text(_one_line(item.tuned), style="green" if item.tuned_right else "red"),
        )
    console().print()
    console().print(table)


def _telling(result: Comparison) -> list[compare.Item]:
    """The first item of each expected answer: a fair look, not a choice of the good ones."""
    first: dict[str, compare.Item] = {}
    for item in result.items:
        first.setdefault(item.expected, item)
    return list(first.values())[:SHOWN]


def _one_line(answer: str) -> str:
    text = " ".join(printable(answer).split())
    return text if len(text) <= 60 else text[:59] + "…"


def three_ways(
    wanted: Settings, url: str, model: str, rows: Sequence[dict[str, Any]]
) -> dict[str, str]:
    """Lines for a shell that ask the new model. They read the key from its file; none shows it."""
    messages = rows[0]["messages"][:-1]
    key_file = wanted.admin_key_file
    python = (
        "from mistralai.client import Mistral; "
        f"client = Mistral(api_key=open({str(key_file)!r}).read().strip(), server_url={url!r}); "
        f"print(client.chat.complete(model={model!r}, messages={messages!r}, temperature=0)"
        ".choices[0].message.content)"
    )
    body = json.dumps({"model": model, "messages": messages, "temperature": 0}, ensure_ascii=False)
    question = compare.question_of(rows[0])
    system = next((m["content"] for m in messages if m["role"] == "system"), None)
    chat = ["modiste", "chat", model, "--temperature", "0", "--message", question]
    chat += ["--system", system] if system else []
    home = [] if wanted.source_of("home") == "default" else [f"MODISTE_HOME={wanted.home}"]
    return {
        "mistralai": f"python -c {shlex.quote(python)}",
        "curl": (
            f'curl -s {url}/v1/chat/completions -H "Authorization: Bearer $(cat {key_file})" '
            f"-H 'Content-Type: application/json' -d {shlex.quote(body)}"
        ),
        "modiste": " ".join([*map(shlex.quote, home), shlex.join(chat)]),
    }


def _usual_url(wanted: Settings) -> str:
    return f"http://{wanted.host}:{wanted.port}"


def _print_ways(ways: dict[str, str], client: Client, *, keep: bool, as_json: bool) -> None:
    if as_json:
        return
    if client.standing:
        typer.echo("\nThree ways to call the new model:")
    elif keep:
        typer.echo("\nThree ways to call the new model while this runs (Ctrl-C stops it):")
    else:
        typer.echo("\nThe server of this command stops now. Start it with `modiste up`, then there")
        typer.echo("are three ways to call the new model:")
    typer.echo("\n1. The mistralai client (pip install mistralai==2.5.1)\n" + ways["mistralai"])
    typer.echo("\n2. curl\n" + ways["curl"])
    typer.echo("\n3. modiste chat\n" + ways["modiste"])


def _until_interrupted() -> None:
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        say("\nStopping the server …")


def _as_json(
    job: dict[str, Any], result: Comparison, steps: Sequence[dict[str, Any]]
) -> dict[str, Any]:
    difference = result.difference

    def share(right: Sequence[bool]) -> dict[str, Any]:
        k, n = sum(right), len(right)
        return {"right": k, "n": n, "share": k / n, "interval": list(wilson(k, n))}

    return {
        "model": job["fine_tuned_model"],
        "job": job["id"],
        "base": share([item.base_right for item in result.items]),
        "tuned": share([item.tuned_right for item in result.items]),
        "difference": {
            "value": difference.value,
            "interval": list(difference.interval),
            "level": difference.level,
            "n": difference.n,
            "unscored": result.n_unscored,
            "verdict": difference.verdict,
        },
        "answers": [item._asdict() for item in result.items],
        "loss": [[row["step"], row.get("loss")] for row in steps],
    }
