"""`modiste eval import FILE`: an eval of OpenAI's becomes a suite that `modiste eval run` takes; a
report of garak's becomes runs that are kept beside our own."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from modiste import settings
from modiste.cli.output import AsJson, print_json, say
from modiste.client import connect
from modiste.errors import Conflict, InvalidInput, NotFound

ROWS = "rows.jsonl"
"""Where the suite expects the rows, which OpenAI keeps in a file of its own."""


def import_command(
    document: Annotated[
        Path,
        typer.Argument(
            help="JSON of an eval (`GET /v1/evals/ID`), of a grader or a list of them; or garak's "
            "report.jsonl."
        ),
    ],
    run: Annotated[
        Path | None,
        typer.Option(help="JSON of one of its runs: says how models were asked, and which."),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Of a garak report: the model's name at the endpoint.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A file; else standard output.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """A suite with OpenAI's graders as they are, and a remark on all that is left to do; or the
    runs of a garak report, one per probe."""
    from modiste.evaluate import garak
    from modiste.evaluate.scorers.openai_import import from_openai

    if garak.is_report(document):
        _keep_report(document, model, run=run, output=output, as_json=as_json)
        return
    if model is not None:
        raise InvalidInput(f"--model is for garak's reports, and {document} is none", param="model")
    told = _json(document)
    found = from_openai(told, run=None if run is None else _json(run))
    name = str(told.get("name") or "imported") if isinstance(told, dict) else "imported"
    suite: dict[str, Any] = {
        "name": "".join(c if c.isalnum() and c.isascii() else "-" for c in name).strip("-")
        or "imported",
        "dataset": {"path": ROWS},
    }
    if found.messages:
        suite["messages"] = [dict(message) for message in found.messages]
    else:
        suite["prompt"] = "{{item.question}}"
    suite["models"] = {"base": {"model": found.model or "modiste-tiny"}}
    suite["scorers"] = list(found.entries)
    remarks = _left(found)
    if as_json and output is None:
        print_json({"suite": suite, "remarks": remarks})
        return
    text = yaml.safe_dump(suite, sort_keys=False, allow_unicode=True)
    _write(text, output)
    if as_json:
        print_json({"path": str(output), "remarks": remarks})
        return
    if output is not None:
        typer.echo(str(output))
    for remark in remarks:
        say(remark)


def _keep_report(
    document: Path, model: str | None, *, run: Path | None, output: Path | None, as_json: bool
) -> None:
    """
    Raises:
        InvalidInput: no model, or options that a report has no use for.
    """
    from modiste.cli.eval_lm import print_runs, sent_part
    from modiste.evaluate import garak

    if model is None:
        raise InvalidInput(
            f"{document} is a garak report: --model says which model here it is about",
            param="model",
        )
    if run is not None or output is not None:
        raise InvalidInput("--run and --output are for evals of OpenAI", param="run")
    parts = garak.read(document, model=model)
    group = str(uuid.uuid4())
    with connect(settings.load()) as client:
        runs = [sent_part(client, part, group) for part in parts]
    print_json(runs) if as_json else print_runs(runs)


def _left(found: Any) -> list[str]:
    """What a person has to look at."""
    where = f"OpenAI's file {found.file_id}" if found.file_id else "the eval's rows"
    lines = [f"Put {where} beside the suite as {ROWS}, one JSON object a line."]
    if not found.messages:
        lines.append("No --run says how models were asked: `prompt` is a guess, write your own.")
    if found.model:
        lines.append(
            f"The model is {found.model}: `modiste models add {found.model} --upstream URL` keeps "
            "asking it where it is, or name one of yours."
        )
    if found.item_schema:
        fields = ", ".join((found.item_schema.get("properties") or {}).keys())
        lines.append(f"Rows hold {fields}." if fields else "Rows have no fields in the eval.")
    return [*lines, *found.remarks]


def _json(path: Path) -> Any:
    """
    Raises:
        NotFound: no such file.
        InvalidInput: not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise NotFound(f"There is no file {path}.", param="document") from None
    except ValueError as error:
        raise InvalidInput(f"{path} is no JSON: {error}", param="document") from None


def _write(text: str, output: Path | None) -> None:
    if output is None:
        typer.echo(text, nl=False)
        return
    try:
        with output.open("x", encoding="utf-8") as target:
            target.write(text)
    except FileExistsError:
        raise Conflict(f"{output} exists already; name another with --output") from None
