"""`modiste classify MODEL FILE`: the labels of many texts, one line of the file each."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from modiste import settings
from modiste.cli.output import AsJson, print_json, print_table, say
from modiste.client import Client, connect
from modiste.errors import InvalidInput

app = typer.Typer(add_completion=False)
AT_ONCE = 500
SHOWN = 60


class Given(NamedTuple):
    line: int
    value: str | dict[str, Any]
    """A text, or `{"messages": …}`."""


@app.command()
def classify(
    model: Annotated[str, typer.Argument(help="A classifier: `modiste models list`.")],
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE|-",
            help="One text a line, or JSON lines with text or messages; - is standard input.",
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Every probability, as JSON lines, into this file."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say which labels texts hold, and how probable each is."""
    given = list(_read(file))
    if not given:
        raise InvalidInput(f"{file} holds no text: give one a line", param="FILE")
    with connect(settings.load(), needs_engine=True, report=say) as client:
        targets = _targets(client, model)
        rows = list(_told(client, model, given))
    if output is not None:
        lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        output.write_text("".join(lines), encoding="utf-8")
        say(f"{len(rows):,} lines in {output}")
    elif as_json:
        print_json(rows)
    else:
        shown = [
            (str(row["line"]), *_best(row["results"], targets), _shown(one.value))
            for row, one in zip(rows, given, strict=True)
        ]
        names = [target["name"] for target in targets]
        print_table(["line", *names, "text"], shown, empty="")


def _read(file: str) -> Iterator[Given]:
    """Blank lines are left out.

    Raises:
        InvalidInput: the file cannot be read, or a line of JSON has neither text nor messages.
    """
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{file}: cannot be read: {error}", param="FILE") from None
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            yield Given(number, _value(file, number, line))


def _value(file: str, number: int, line: str) -> str | dict[str, Any]:
    try:
        row = json.loads(line) if line.lstrip().startswith("{") else None
    except ValueError:
        row = None
    if row is None:
        return line
    if isinstance(row.get("text"), str):
        return str(row["text"])
    if isinstance(row.get("messages"), list):
        return {"messages": row["messages"]}
    raise InvalidInput(f"{file} line {number}: the row has neither text nor messages", param="FILE")


def _told(client: Client, model: str, given: list[Given]) -> Iterator[dict[str, Any]]:
    """Line by line, in order; texts and chats are asked for apart."""
    answers: dict[int, dict[str, Any]] = {}
    for path, chats in (("/v1/classifications", False), ("/v1/chat/classifications", True)):
        mine = [one for one in given if isinstance(one.value, dict) is chats]
        for at in range(0, len(mine), AT_ONCE):
            part = mine[at : at + AT_ONCE]
            body = {"model": model, "input": [one.value for one in part]}
            told = client.post(path, body)["results"]
            answers |= {one.line: result for one, result in zip(part, told, strict=True)}
    for one in given:
        yield {"line": one.line, "results": answers[one.line]}


def _targets(client: Client, model: str) -> list[dict[str, Any]]:
    """
    Raises:
        InvalidInput: the model is no classifier.
    """
    targets: list[dict[str, Any]] | None = client.get(f"/v1/models/{model}").get(
        "classifier_targets"
    )
    if targets is None:
        raise InvalidInput(
            f"{model} is no classifier; `modiste tune` makes one of rows with labels, and a model "
            f"that writes is asked with `modiste chat {model}`",
            param="MODEL",
        )
    return targets


def _best(results: dict[str, Any], targets: list[dict[str, Any]]) -> Iterator[str]:
    """Of each target the most probable label; of one that may hold several, or none, all that are
    more probable than not."""
    for target in targets:
        scores = results[target["name"]]["scores"]
        if target["loss_function"] == "single_class":
            held = [max(scores, key=scores.__getitem__)]
        else:
            held = [label for label, p in scores.items() if p > 0.5]
        yield ", ".join(f"{label} {scores[label]:.2f}" for label in held) or "none"


def _shown(value: str | dict[str, Any]) -> str:
    text = value if isinstance(value, str) else str(value["messages"][-1].get("content") or "")
    text = " ".join(text.split())
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"
