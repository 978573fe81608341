"""`modiste tokenize`: a text, or the prompt of a chat, as the tokens of a model."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from modiste import settings
from modiste.cli.output import AsJson, print_json, print_table, say
from modiste.client import connect
from modiste.errors import InvalidInput

app = typer.Typer(add_completion=False)

CHAT_FIELDS = ("messages", "tools")


@app.command()
def tokenize(
    model: Annotated[str, typer.Option("--model", help="A name of `modiste models list`.")],
    text: Annotated[
        str | None, typer.Argument(help="Otherwise standard input is read, as it is.")
    ] = None,
    chat: Annotated[
        Path | None,
        typer.Option(
            help="JSON file with messages (and tools): the tokens behind which it is answered."
        ),
    ] = None,
    bare: Annotated[
        bool, typer.Option(help="A text without the token that begins every prompt.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show the tokens of a text or of a chat's prompt, with their ids."""
    body: dict[str, Any] = {"model": model, "return_token_strs": True}
    if chat is not None:
        if text is not None or bare:
            raise InvalidInput("TEXT and --bare do not go with --chat; leave one of them out")
        body |= read_chat(chat)
    else:
        body["prompt"] = _standard_input() if text is None else text
        body |= {"add_special_tokens": False} if bare else {}
    with connect(settings.load(), report=say) as client:
        found = client.post("/v1/tokenize", body)
    if as_json:
        print_json(found)
        return
    pairs = enumerate(zip(found["tokens"], found["token_strs"], strict=True))
    rows = [(n, token, json.dumps(piece, ensure_ascii=False)) for n, (token, piece) in pairs]
    print_table(("#", "id", "token"), rows, empty="No tokens.", numbers=("#", "id"))
    typer.echo(f"{found['count']:,} tokens; the context holds {found['max_model_len']:,}")


def read_chat(path: Path) -> dict[str, Any]:
    """`messages`, and `tools` where there are some, of a JSON file: an object, or the messages.

    Raises:
        InvalidInput: it cannot be read, or holds something else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidInput(f"{path}: cannot be read as JSON: {error}") from None
    if isinstance(content, list):
        content = {"messages": content}
    if not isinstance(content, dict) or "messages" not in content:
        raise InvalidInput(f"{path}: expected a list of messages, or an object that holds messages")
    if unknown := [name for name in content if name not in CHAT_FIELDS]:
        raise InvalidInput(
            f"{path}: {', '.join(unknown)} is no part of a prompt; it is made of messages and tools"
        )
    return content


def _standard_input() -> str:
    if sys.stdin.isatty():
        raise InvalidInput("nothing to tokenize; give a TEXT, --chat FILE, or standard input")
    return sys.stdin.read()
