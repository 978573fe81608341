"""`modiste models promote`, `rollback`, `history`: names that a gate guards."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from modiste import settings
from modiste.cli.gate import gate_in
from modiste.cli.models_alias import key_names
from modiste.cli.output import AsJson, ago, print_json, print_table, printable, say
from modiste.client import connect

app = typer.Typer(add_completion=False)
PROMOTIONS = "/v1/models/promotions"


@app.command()
def promote(
    model: Annotated[str, typer.Argument(help="The model that is to answer.")],
    name: Annotated[str, typer.Option("--as", help="To what, e.g. support-bot@production.")],
    gate: Annotated[
        Path | None, typer.Option(help="gate.yaml: what the model has to show.")
    ] = None,
    run: Annotated[
        list[str] | None, typer.Option(help="Id of a run of the model; again for other suites.")
    ] = None,
    baseline: Annotated[
        list[str] | None, typer.Option(help="Id of a run of the model that answers now.")
    ] = None,
    approved_by: Annotated[
        list[str] | None, typer.Option(help="Who agreed; again for a second person.")
    ] = None,
    override: Annotated[
        str | None, typer.Option(help="Why to switch whatever the gate says; kept on record.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Let a model answer to a name if it passes its gate; refused otherwise, with every reason."""
    body = {
        "name": name,
        "model": model,
        "gate": None if gate is None else gate_in(gate).model_dump(mode="json"),
        "runs": run or [],
        "baselines": baseline or [],
        "approved_by": approved_by or [],
        "override": override,
    }
    with connect(settings.load()) as client:
        made = client.post(PROMOTIONS, body)
    if as_json:
        print_json(made)
        return
    _say_conditions(made)
    how = f"passed {made['gate']['gate']['name']}" if made["kind"] == "promoted" else "overridden"
    say(f"{name} is answered by {made['model']} from now on ({how}).")
    if made["previous"]:
        say(f"Before: {made['previous']}; `modiste models rollback {name}` brings it back.")


@app.command()
def rollback(
    name: Annotated[str, typer.Argument(help="Such as support-bot@production.")],
    reason: Annotated[str | None, typer.Option(help="Kept on record.")] = None,
    as_json: AsJson = False,
) -> None:
    """Let the model answer again that answered before the last promotion."""
    with connect(settings.load()) as client:
        made = client.post(f"{PROMOTIONS}/{name}/rollback", {"reason": reason})
    if as_json:
        print_json(made)
    else:
        say(f"{name} is answered by {made['model']} again; it was {made['previous']}.")


@app.command()
def history(
    name: Annotated[
        str | None, typer.Argument(help="A promoted name; without, what each stands for.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Every decision about a name: which model, by whom, on what evidence (--json has it all)."""
    with connect(settings.load()) as client:
        answer = client.get(f"{PROMOTIONS}/{name}" if name else PROMOTIONS)
        keys = {} if as_json else key_names(client)
    if as_json:
        print_json(answer)
        return
    print_table(
        ["name", "decision", "model", "before", "gate", "approved by", "when", "by", "reason"],
        [
            (
                row["name"],
                row["kind"].replace("_", " "),
                row["model"],
                row["previous"],
                (row["gate"] or {}).get("outcome"),
                ", ".join(row["approved_by"]),
                ago(row["decided_at"]),
                keys.get(row["decided_by"], row["decided_by"]),
                row["reason"],
            )
            for row in answer["data"]
        ],
        empty="Nothing was promoted; `modiste models promote MODEL --as NAME --gate FILE` does.",
    )


def _say_conditions(made: dict[str, Any]) -> None:
    for condition in (made["gate"] or {}).get("conditions", ()):
        say(printable(f"  {condition['outcome']:<21} {condition['name']}: {condition['sentence']}"))
