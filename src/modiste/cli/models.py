"""`modiste models`: what can be asked, tuned, renamed, put away."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from modiste import settings
from modiste.cli import models_add, models_alias, models_export, models_promote
from modiste.cli.models_add import upstream_fields
from modiste.cli.output import AsJson, ago, print_fields, print_json, print_table, say
from modiste.client import Client, connect
from modiste.errors import InvalidInput, NotFound

app = typer.Typer(
    add_completion=False,
    help="Models: list, show, add, alias, promote, rollback, export, archive, delete.",
    no_args_is_help=True,
)
app.add_typer(models_export.app)
app.add_typer(models_alias.app)
app.add_typer(models_promote.app)
app.add_typer(models_add.app)

FORM_WORDS = {"passed": "passed", "apart": "NOT WITHIN TOLERANCE", "not_checked": "not checked"}
ModelId = Annotated[str, typer.Argument(help="The name shown by `modiste models list`.")]


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """Base models that are installed, and the models made from them."""
    with connect(settings.load()) as client:
        answer = client.get("/v1/models")
    if as_json:
        print_json(answer)
        return
    print_table(
        ["model", "kind", "made from", "context", "made", "note"],
        [
            (
                card["id"],
                card["type"],
                card.get("root"),
                card["max_context_length"],
                ago(card["created"]),
                _note(card),
            )
            for card in answer["data"]
        ],
        empty="No models. `modiste models add NAME --path DIR` installs a base model.",
    )


def _note(card: dict[str, Any]) -> str:
    notes = [card["name"]] if card.get("name") and card["name"] != card["id"] else []
    notes += [f"at {card['upstream']['host']}"] if card.get("upstream") else []
    notes += ["archived"] if card.get("archived") else []
    notes += ["stale: rows it learned from were forgotten"] if card.get("stale") else []
    if card.get("aliases"):
        notes.append("also " + ", ".join(card["aliases"]))
    return "; ".join(notes)


@app.command()
def show(model: ModelId, as_json: AsJson = False) -> None:
    """Everything that is known about one model."""
    with connect(settings.load()) as client:
        card = client.get(f"/v1/models/{model}")
        certificate = _certificate(client, card)
    if as_json:
        print_json(card if certificate is None else {**card, "parity": certificate})
        return
    able = [name for name, yes in card["capabilities"].items() if yes]
    print_fields(
        [
            ("model", card["id"]),
            ("kind", card["type"]),
            ("name", card.get("name")),
            ("description", card.get("description")),
            ("made from", card.get("root")),
            ("job", card.get("job")),
            ("context", card["max_context_length"]),
            ("can", ", ".join(able)),
            ("aliases", ", ".join(card.get("aliases") or [])),
            *upstream_fields(card.get("upstream")),
            ("archived", "yes" if card.get("archived") else None),
            ("stale", f"yes; see modiste data trace {card['id']}" if card.get("stale") else None),
            ("made", ago(card["created"])),
            *certificate_fields(certificate),
        ]
    )


def _certificate(client: Client, card: dict[str, Any]) -> dict[str, Any] | None:
    """What only models made here have."""
    if not card.get("job"):
        return None
    try:
        return dict(client.get(f"/v1/models/{card['id']}/parity"))
    except NotFound:
        return None


def certificate_fields(certificate: dict[str, Any] | None) -> list[tuple[str, object]]:
    """A line for what decided, and one for each form."""
    if certificate is None:
        return []
    forms = [
        (f"  {form['name']}", f"{FORM_WORDS[form['status']]}; {form['message']}")
        for form in certificate["forms"]
    ]
    return [
        ("certificate", certificate["message"]),
        *forms,
        ("warning", certificate["warning"]),
    ]


@app.command()
def update(
    model: ModelId,
    name: Annotated[str | None, typer.Option(help="A name for people.")] = None,
    description: Annotated[str | None, typer.Option(help="What it is for.")] = None,
    as_json: AsJson = False,
) -> None:
    """Name and describe a tuned model. What clients ask it by does not change."""
    changes = {"name": name, "description": description}
    given = {field: value for field, value in changes.items() if value is not None}
    if not given:
        raise InvalidInput("nothing to change: give --name or --description")
    with connect(settings.load()) as client:
        answer = client.patch(f"/v1/fine_tuning/models/{model}", given)
    if as_json:
        print_json(answer)
    else:
        say(f"{model} is updated.")


@app.command()
def archive(model: ModelId, as_json: AsJson = False) -> None:
    """Put a tuned model away: it is kept, and not served."""
    with connect(settings.load()) as client:
        answer = client.post(f"/v1/fine_tuning/models/{model}/archive")
    if as_json:
        print_json(answer)
    else:
        say(f"{model} is archived; `modiste models unarchive {model}` brings it back.")


@app.command()
def unarchive(model: ModelId, as_json: AsJson = False) -> None:
    """Serve an archived model again."""
    with connect(settings.load()) as client:
        answer = client.delete(f"/v1/fine_tuning/models/{model}/archive")
    if as_json:
        print_json(answer)
    else:
        say(f"{model} is served again.")


@app.command()
def delete(model: ModelId, as_json: AsJson = False) -> None:
    """Delete a tuned model for good."""
    with connect(settings.load()) as client:
        answer = client.delete(f"/v1/models/{model}")
    if as_json:
        print_json(answer)
    else:
        say(f"{model} is deleted.")
