"""`modiste eval lm-eval`: academic benchmarks by lm-evaluation-harness, kept as runs of ours.

The harness asks the endpoint as any client does; what it leaves behind becomes runs with samples
and intervals, which `list`, `show`, `compare`, `report` and gates read like all others.
"""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer
import yaml

from modiste import settings
from modiste.cli import lm_eval_tool, tokenizers
from modiste.cli.output import AsJson, print_json, say
from modiste.cli.runs import RUNS, print_metrics
from modiste.cli.tokenizers import Installed
from modiste.client import Client, connect
from modiste.errors import InvalidInput, ModisteError
from modiste.evaluate import lm_eval as files
from modiste.evaluate.items import SAMPLES
from modiste.settings import Settings

TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "tokenizer_config.json")
"""One of them is in every folder that transformers reads a tokenizer from."""


class Asked(NamedTuple):
    """What the harness is told beside model and tasks."""

    include_path: Path | None
    limit: int | None
    num_fewshot: int | None
    chat_template: bool
    chat: bool
    tokenizer: str | None
    concurrency: int
    more: dict[str, Any]


class Kept(NamedTuple):
    runs: list[dict[str, Any]]
    left_out: tuple[files.LeftOut, ...]


def lm_eval(
    model: Annotated[str, typer.Option(help="Its name at the endpoint.")],
    tasks: Annotated[
        str | None, typer.Option(help="Names of tasks or groups, with commas between them.")
    ] = None,
    include_path: Annotated[
        Path | None, typer.Option(help="A folder of task files of your own.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="So many documents a task.")] = None,
    num_fewshot: Annotated[
        int | None, typer.Option(min=0, help="Examples before each question; else the task's.")
    ] = None,
    apply_chat_template: Annotated[
        bool,
        typer.Option(
            "--apply-chat-template/--no-apply-chat-template",
            help="Write prompts as chats. Scores with and without are not the same measure.",
        ),
    ] = False,
    chat: Annotated[
        bool,
        typer.Option(
            "--chat", help="Ask the chat endpoint, whose template is used. Generation tasks only."
        ),
    ] = False,
    tokenizer: Annotated[
        str | None,
        typer.Option(help="Folder with the base's tokenizer; found where the base lies here."),
    ] = None,
    concurrency: Annotated[int, typer.Option(min=1, help="Requests at a time.")] = 8,
    model_arg: Annotated[
        list[str] | None,
        typer.Option("--model-arg", help="NAME=VALUE, more of lm-eval's --model_args."),
    ] = None,
    venv: Annotated[
        Path | None, typer.Option(help="An environment with lm-eval; else one is made, once.")
    ] = None,
    results: Annotated[
        Path | None,
        typer.Option(help="Run nothing: import what lm-eval left here (with --log_samples)."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run tasks of lm-evaluation-harness against the endpoint and keep the results as runs."""
    if (tasks is None) == (results is None):
        raise InvalidInput("give either --tasks, to be run, or --results, to be imported")
    names, more = _names(tasks), _more(model_arg or [])
    asked = Asked(
        include_path, limit, num_fewshot, apply_chat_template or chat, chat, tokenizer,
        concurrency, more,
    )  # fmt: skip
    wanted = settings.load()
    if results is not None:
        with connect(wanted) as client:
            kept = _kept(client, client.get(f"/v1/models/{model}"), results)
    else:  # installed before a server is started, which would wait for it
        home = wanted.home / "tools" / "lm-eval"
        python = lm_eval_tool.interpreter((venv or home).expanduser(), make=venv is None)
        with connect(wanted, needs_engine=True, report=say) as client:
            card = client.get(f"/v1/models/{model}")
            kept = _kept(client, card, _ran(client, wanted, card, names, asked, python))
    if as_json:
        print_json(kept.runs)
    else:
        print_runs(kept.runs)
    for left in kept.left_out:
        say(f"{left.task} {left.metric}: {left.value}; no mean over documents, so not imported")


def config_of(
    url: str,
    card: dict[str, Any],
    bases: Sequence[Installed],
    tasks: Sequence[str],
    asked: Asked,
) -> dict[str, Any]:
    """The harness's own YAML; holds no secret.

    Args:
        card: the model as the server tells of it.
        bases: those that are installed, with their folders.

    Raises:
        InvalidInput: no tokenizer of the model is here.
    """
    route = "chat/completions" if asked.chat else "completions"
    told: dict[str, Any] = {
        "model": card["id"],
        "base_url": f"{url}/v1/{route}",
        "num_concurrent": asked.concurrency,
        "max_length": card["max_context_length"],
    }
    if not asked.chat:
        told["tokenizer"] = str(_tokenizer(card, bases, asked.tokenizer))
        told["tokenizer_backend"] = "huggingface"
    config: dict[str, Any] = {
        "model": f"local-{route.replace('/', '-')}",
        "model_args": {**told, **asked.more},
        "tasks": list(tasks),
        "log_samples": True,
    }
    if asked.chat_template:
        config["apply_chat_template"] = True
    if asked.include_path is not None:
        config["include_path"] = str(asked.include_path.expanduser().resolve())
    given = {"limit": asked.limit, "num_fewshot": asked.num_fewshot}
    return {**config, **{name: value for name, value in given.items() if value is not None}}


def _ran(
    client: Client,
    wanted: Settings,
    card: dict[str, Any],
    tasks: Sequence[str],
    asked: Asked,
    python: Path,
) -> Path:
    """Where the harness left its results."""
    bases = [] if asked.chat or asked.tokenizer else tokenizers.installed(wanted)
    stamp = datetime.now().astimezone().strftime("%Y%m%d-%H%M%S")
    place = wanted.home / "tools" / "lm-eval-results" / f"{stamp}-{uuid.uuid4().hex[:4]}"
    config = config_of(client.url, card, bases, tasks, asked)
    lm_eval_tool.run(python, config, place, key=client.key)
    return place


def _kept(client: Client, card: dict[str, Any], place: Path) -> Kept:
    """Every run that is in the results, on the server now.

    Raises:
        InvalidInput: there is none.
    """
    try:
        found = files.read(place, model=card["id"])
        if not found.parts:
            raise InvalidInput(
                f"no metric in {place} is a mean over documents, so there is no run to keep"
            )
        group = str(uuid.uuid4())
        runs = [sent_part(client, part, group) for part in found.parts]
    except ModisteError:
        say(f"lm-eval's results stay in {place}; --results {place} imports them")
        raise
    return Kept(runs, found.left_out)


def print_runs(runs: list[dict[str, Any]]) -> None:
    """A table per run: tasks are different measures."""
    for run in runs:
        flag = run["record"]["details"]["imported"]["chat_template"]
        template = "on" if flag else "off"
        typer.echo(f"{run['suite']}  run {run['id'][:8]}  chat template {template}")
        print_metrics([run])


def sent_part(client: Client, part: files.Part, group: str) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="modiste-") as folder:
        path = Path(folder) / f"{part.imported['suite']}-samples.jsonl"
        with path.open("wb") as lines:
            lines.writelines(SAMPLES.dump_json(sample) + b"\n" for sample in part.samples)
        file_id = client.upload(path, purpose="evals")["id"]
    try:
        body = {"run": part.imported, "file_id": file_id, "group": group}
        return client.post(f"{RUNS}:import", body)
    finally:
        with suppress(ModisteError):  # the run has the bytes; a file more in the list hurts nobody
            client.delete(f"/v1/files/{file_id}")


def _names(tasks: str | None) -> list[str]:
    names = [name.strip() for name in (tasks or "").split(",") if name.strip()]
    if tasks is not None and not names:
        raise InvalidInput("--tasks names no task", param="tasks")
    return names


def _more(pairs: Sequence[str]) -> dict[str, Any]:
    """
    Raises:
        InvalidInput: no NAME=VALUE, or a secret, which other users of this machine could read.
    """
    found: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise InvalidInput(f"--model-arg {pair}: expected NAME=VALUE", param="model_arg")
        if name in files.UNSAID:
            raise InvalidInput(
                f"--model-arg {name}: Modiste sets the model, its address and the key itself",
                param="model_arg",
            )
        found[name] = yaml.safe_load(value)
    return found


def _tokenizer(card: dict[str, Any], bases: Sequence[Installed], named: str | None) -> str | Path:
    """The folder of the model's base, where it lies on this machine."""
    if named is not None:
        return named
    base = card.get("root") or card["id"]
    found = next((each for each in bases if each.id == base), None)
    if found is None or not found.path.is_dir():
        raise InvalidInput(
            f"the tokenizer of {base} is not on this machine, and lm-eval counts tokens itself: "
            "give its folder with --tokenizer DIR, or --chat for tasks that only generate",
            param="tokenizer",
        )
    if not any((found.path / name).is_file() for name in TOKENIZER_FILES):
        raise InvalidInput(
            f"{found.path} has no tokenizer that transformers reads: give a folder that has one "
            "with --tokenizer DIR, or --chat for tasks that only generate",
            param="tokenizer",
        )
    return found.path
