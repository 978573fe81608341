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
from modiste.cli.output import (
    AsJson,
    command_name,
    console,
    duration,
    print_json,
    printable,
    say,
)
from modiste.client import Client, connect, started
from modiste.errors import Conflict
from modiste.evaluate.stats.estimates import wilson
from modiste.evaluate.verdict import decide
from modiste.prepare.synthesize import SENTENCES, support_routing, to_jsonl
from modiste.settings import Settings
from modiste.tune import config
from modiste.work import home as homes

app = typer.Typer(add_completion=False)

BASE = "modiste-tiny"
SEED = 7
N_TRAIN, N_VALIDATION, N_HELDOUT = 1500, SENTENCES, SENTENCES
"""One held-out message per sentence: an interval is true for independent questions only."""
RECIPE = {
    "lora": {"rank": 32},
    "max_steps": 120,
    "batch_size": 8,
    "max_length": 256,
    "learning_rate": 2e-3,
}
SHOWN = 6
SMOOTHING = 5


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
            typer.echo(f"\nAll of it took {duration(time.monotonic() - began)}.")
            stays = keep or client.standing
            url = client.url if stays else f"http://{wanted.host}:{wanted.port}"
            ways = three_ways(wanted, url, model, files.heldout)
            _print_ways(ways, wanted, ours=not client.standing, stays=stays)
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
    data = support_routing(N_TRAIN, N_VALIDATION, N_HELDOUT, seed=SEED)
    for name, rows in (
        ("train", data.train),
        ("validation", data.validation),
        ("heldout", data.heldout),
    ):
        (folder / f"{name}.jsonl").write_bytes(to_jsonl(rows))
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
    spec = config.read_yaml(files.config).spec
    job_id = tune.job_of(client, wanted, spec, again=True, quiet=quiet)
    try:
        job, steps = follow.follow(client, job_id, quiet=quiet, draw=False)
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
    typer.echo(compare.accuracy_line("base", [item.base_right for item in result.items]))
    typer.echo(compare.accuracy_line("tuned", [item.tuned_right for item in result.items]))
    for line in compare.verdict_lines(result):
        typer.echo(line)
    if result.first_failure is not None:
        typer.echo(f"Not scored: {printable(result.first_failure)}")


def _print_curve(steps: Sequence[dict[str, Any]]) -> None:
    told = [row for row in steps if row.get("loss") is not None]
    losses = plot.smoothed([row["loss"] for row in told], window=SMOOTHING)
    points = [(float(row["step"]), loss) for row, loss in zip(told, losses, strict=True)]
    lines = plot.log_curve(points)
    if not lines:
        return
    typer.echo(f"\nTraining loss by step (mean of {SMOOTHING}, logarithmic)")
    for line in lines:
        typer.echo(line)
    checked = [row for row in steps if row.get("valid_loss") is not None]
    if checked:
        first, last = checked[0], checked[-1]
        typer.echo(
            f"Validation loss {first['valid_loss']:.3f} at step {first['step']}, "
            f"{last['valid_loss']:.3f} at step {last['step']}"
        )


def _print_answers(result: Comparison) -> None:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column, ratio in (("message", 5), ("expected", 2), ("base model", 3), ("tuned model", 2)):
        table.add_column(column, ratio=ratio, overflow="fold")
    for item in _telling(result):
        table.add_row(
            Text(_one_line(item.question.partition("\n")[0], width=120)),
            Text(printable(item.expected)),
            Text(_one_line(item.base), style="green" if item.base_right else "red"),
            Text(_one_line(item.tuned), style="green" if item.tuned_right else "red"),
        )
    typer.echo("\nHeld-out messages, temperature 0, one for each expected answer")
    console().print(table)


def _telling(result: Comparison) -> list[compare.Item]:
    """The first item of each expected answer: a fair look, not a choice of the good ones."""
    first: dict[str, compare.Item] = {}
    for item in result.items:
        first.setdefault(item.expected, item)
    return list(first.values())[:SHOWN]


def _one_line(text: str, *, width: int = 60) -> str:
    text = " ".join(printable(text).split())
    return text if len(text) <= width else text[: width - 1] + "…"


def three_ways(
    wanted: Settings, url: str, model: str, rows: Sequence[dict[str, Any]]
) -> dict[str, str]:
    """Lines for a shell that ask the new model. They read the key from its file; none shows it."""
    question = min(map(compare.question_of, rows), key=lambda q: (q.count("'"), len(q)))
    text, name = json.dumps(question), json.dumps(model)
    key_file = str(wanted.admin_key_file)
    python = (
        "from mistralai.client import Mistral; "
        f"client = Mistral(server_url={json.dumps(url)}, "
        f"api_key=open({json.dumps(key_file)}).read().strip()); "
        f'messages = [{{"role": "user", "content": {text}}}]; '
        f"answer = client.chat.complete(model={name}, temperature=0, messages=messages); "
        "print(answer.choices[0].message.content)"
    )
    body = (
        f'{{"model": {name}, "temperature": 0, '
        f'"messages": [{{"role": "user", "content": {text}}}]}}'
    )
    return {
        "the mistralai client (pip install mistralai==2.5.1)": f"python -c {shlex.quote(python)}",
        "curl": (
            f"curl -s {url}/v1/chat/completions -H 'Content-Type: application/json' "
            f'-H "Authorization: Bearer $(cat {shlex.quote(key_file)})" -d {shlex.quote(body)}'
        ),
        "modiste chat": (
            f"{_modiste(wanted)} chat {shlex.quote(model)} --temperature 0 "
            f"--message {_quoted(question)}"
        ),
    }


def _modiste(wanted: Settings) -> str:
    """How to run `modiste` on this home."""
    if wanted.source_of("home") == "default":
        return command_name()
    return f"MODISTE_HOME={shlex.quote(str(wanted.home))} {command_name()}"


def _quoted(text: str) -> str:
    """One shell word on one line; bash and zsh read $'…' with its line breaks."""
    if "\n" not in text:
        return shlex.quote(text)
    escaped = text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n")
    return f"$'{escaped}'"


def _print_ways(ways: dict[str, str], wanted: Settings, *, ours: bool, stays: bool) -> None:
    if stays:
        how = "this server runs (Ctrl-C stops it)" if ours else "the server runs"
        typer.echo(f"\nThree ways to call the new model, while {how}:")
    else:
        typer.echo(f"\nThe server of this command stops now; `{_modiste(wanted)} up` starts it.")
        typer.echo("Then there are three ways to call the new model:")
    for number, (name, line) in enumerate(ways.items(), start=1):
        typer.echo(f"\n{number}. {name}\n{line}")


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
        ci = wilson(k, n)
        return {"right": k, "n": n, "share": k / n, "interval": [ci.lo, ci.hi]}

    return {
        "model": job["fine_tuned_model"],
        "job": job["id"],
        "base": share([item.base_right for item in result.items]),
        "tuned": share([item.tuned_right for item in result.items]),
        "difference": {
            "value": difference.value,
            "interval": [difference.ci.lo, difference.ci.hi],
            "level": difference.ci.level,
            "n": difference.n,
            "unscored": result.n_unscored,
            "verdict": decide(difference).verdict,
        },
        "answers": [item._asdict() for item in result.items],
        "loss": [[row["step"], row.get("loss")] for row in steps],
    }
