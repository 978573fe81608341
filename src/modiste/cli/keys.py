"""`modiste keys`: who may use the server, and for what."""

from __future__ import annotations

from typing import Annotated

import typer

from modiste import settings
from modiste.cli.output import AsJson, ago, print_fields, print_json, print_table, say
from modiste.client import connect

app = typer.Typer(
    add_completion=False, help="Keys of the API: create, list, revoke.", no_args_is_help=True
)

SCOPES = "infer (ask models), data (files), train (jobs and models), admin (everything)"


@app.command()
def create(
    name: Annotated[str, typer.Argument(help="What the key is for, e.g. `ci`.")],
    scope: Annotated[
        list[str] | None,
        typer.Option("--scope", help=f"{SCOPES}; may be given several times."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a key. Its secret is shown this once and stored nowhere."""
    with connect(settings.load()) as client:
        key = client.post("/v1/keys", {"name": name, "scopes": scope or ["infer"]})
    if as_json:
        print_json(key)
        return
    print_fields([("id", key["id"]), ("name", key["name"]), ("scopes", ", ".join(key["scopes"]))])
    print_fields([("secret", key["secret"])])
    say("Keep the secret now: it is not shown again. Use it as MODISTE_API_KEY.")


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """Every key, revoked ones too; secrets are not kept."""
    with connect(settings.load()) as client:
        page = client.get("/v1/keys")
    if as_json:
        print_json(page)
        return
    print_table(
        ["id", "name", "begins with", "scopes", "made", "revoked"],
        [
            (
                key["id"],
                key["name"],
                key["prefix"],
                ", ".join(key["scopes"]),
                ago(key["created_at"]),
                ago(key.get("revoked_at")),
            )
            for key in page["data"]
        ],
        empty="No keys. `modiste keys create NAME` makes one.",
    )


@app.command()
def revoke(
    key_id: Annotated[str, typer.Argument(help="The id shown by `modiste keys list`.")],
    as_json: AsJson = False,
) -> None:
    """Stop a key from working, at once and for good."""
    with connect(settings.load()) as client:
        key = client.delete(f"/v1/keys/{key_id}")
    if as_json:
        print_json(key)
    else:
        say(f"{key_id} is revoked.")
