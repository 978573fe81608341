"""`modiste models alias`, `aliases`: names that are switched from one model to another."""

from __future__ import annotations

from typing import Annotated

import typer

from modiste import settings
from modiste.cli.output import AsJson, ago, print_json, print_table, say
from modiste.client import Client, connect
from modiste.errors import Forbidden, InvalidInput

app = typer.Typer(add_completion=False)


@app.command()
def alias(
    name: Annotated[str, typer.Argument(help="What clients ask for, e.g. support-bot.")],
    model: Annotated[
        str | None, typer.Argument(help="The model that answers from the next request on.")
    ] = None,
    remove: Annotated[bool, typer.Option("--remove", help="Take the name away.")] = False,
    as_json: AsJson = False,
) -> None:
    """Let a name stand for a model, and switch it later: clients never notice."""
    if (model is None) != remove:
        raise InvalidInput("give the model that the name should stand for, or --remove")
    with connect(settings.load()) as client:
        path = f"/v1/models/aliases/{name}"
        told = client.delete(path) if remove else client.put(path, {"model": model})
    if as_json:
        print_json(told)
    elif remove:
        say(f"{name} is taken away.")
    else:
        say(f"{name} is answered by {told['model']} from now on.")


@app.command()
def aliases(
    name: Annotated[str | None, typer.Argument(help="One alias: every switch of it.")] = None,
    as_json: AsJson = False,
) -> None:
    """What each alias stands for, or the history of one."""
    with connect(settings.load()) as client:
        answer = client.get(f"/v1/models/aliases/{name}" if name else "/v1/models/aliases")
        keys = {} if as_json else key_names(client)
    if as_json:
        print_json(answer)
        return
    print_table(
        ["alias", "model", "since", "set by"],
        [
            (
                row["name"],
                row["model"] or "(taken away)",
                ago(row["set_at"]),
                keys.get(row["set_by"], row["set_by"]),
            )
            for row in answer["data"]
        ],
        empty="No aliases. `modiste models alias NAME MODEL` sets one.",
    )


def key_names(client: Client) -> dict[str, str]:
    """Names of keys by id, for those who may see them."""
    try:
        return {key["id"]: key["name"] for key in client.get("/v1/keys")["data"]}
    except Forbidden:
        return {}
