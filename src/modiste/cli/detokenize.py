"""`modiste detokenize`: the text of token ids."""

from __future__ import annotations

import json
import sys
from typing import Annotated

import typer

from modiste import settings
from modiste.cli.output import AsJson, print_json, say
from modiste.client import connect
from modiste.errors import InvalidInput

app = typer.Typer(add_completion=False)


@app.command()
def detokenize(
    model: Annotated[str, typer.Option("--model", help="A name of `modiste models list`.")],
    ids: Annotated[
        list[int] | None,
        typer.Argument(help="Otherwise standard input: numbers, or what `tokenize --json` says."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show the text of token ids. Control tokens have none."""
    body = {"model": model, "tokens": ids or read_ids(_standard_input())}
    with connect(settings.load(), report=say) as client:
        found = client.post("/v1/detokenize", body)
    if as_json:
        print_json(found)
    else:
        typer.echo(found["prompt"])


def read_ids(text: str) -> list[int]:
    """Numbers between blanks or commas, a JSON list of them, or an object that holds `tokens`.

    Raises:
        InvalidInput: naming what is no number.
    """
    try:
        content = json.loads(text)
    except ValueError:
        content = text.replace(",", " ").split()
    if isinstance(content, dict):
        content = content.get("tokens")
    found = content if isinstance(content, list) else [content]
    strange = [one for one in found if isinstance(one, bool) or not str(one).isdecimal()]
    if strange or not found:
        told = f"{strange[0]!r}" if strange else "nothing"
        raise InvalidInput(f"standard input holds {told}, expected token ids: 1 312 7")
    return [int(one) for one in found]


def _standard_input() -> str:
    if sys.stdin.isatty():
        raise InvalidInput("no ids; give some, or standard input")
    return sys.stdin.read()
