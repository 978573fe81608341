"""`modiste policies`: what may be said, by whom it is looked for, and what happens then."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from modiste import settings
from modiste.cli import policies_rows
from modiste.cli.models_alias import key_names
from modiste.cli.output import AsJson, ago, print_fields, print_json, print_table, say
from modiste.client import connect
from modiste.errors import InvalidInput

app = typer.Typer(
    add_completion=False,
    help="Policies of moderation: add, list, show, diff, test, attach, detach, delete.",
    no_args_is_help=True,
)
PATH = "/v1/policies"
app.command("test")(policies_rows.measure)
Name = Annotated[str, typer.Argument(help="The policy's name.")]
OfModel = Annotated[str | None, typer.Option("--model", help="A model, by its name or an alias.")]
OfKey = Annotated[str | None, typer.Option("--key", help="A key, by its id.")]
Everything = Annotated[
    bool, typer.Option("--everything", help="Every request that no other policy is for.")
]


@app.command()
def add(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="policy.yaml.")],
    comment: Annotated[str | None, typer.Option(help="Why it is changed; kept.")] = None,
    as_json: AsJson = False,
) -> None:
    """Keep a policy; again under its name makes a new version."""
    policy = policies_rows.policy_in(file)
    body = {"policy": policy.model_dump(mode="json", by_alias=True), "comment": comment}
    with connect(settings.load()) as client:
        made = client.post(PATH, body)
    if as_json:
        print_json(made)
        return
    for remark in made["remarks"]:
        say(f"note: {remark}")
    say(f"{made['name']} is kept, version {made['version']}.")
    if not made["attached"]:
        say(f"It guards nothing yet: `modiste policies attach {made['name']} --model MODEL`.")


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """Every policy in its newest version, and what it guards."""
    with connect(settings.load()) as client:
        answer = client.get(PATH)
    if as_json:
        print_json(answer)
        return
    print_table(
        ["policy", "version", "categories", "guards", "changed"],
        [
            (
                each["name"],
                each["version"],
                ", ".join(part["code"] for part in each["policy"]["categories"]),
                _guards(each["attached"]),
                ago(each["created_at"]),
            )
            for each in answer["data"]
        ],
        empty="No policies. `modiste policies add policy.yaml` keeps one.",
        numbers=("version",),
    )


@app.command()
def show(
    name: Name,
    version: Annotated[int | None, typer.Option(help="Another than the newest.")] = None,
    versions: Annotated[bool, typer.Option("--versions", help="Who changed it when.")] = False,
    as_json: AsJson = False,
) -> None:
    """What a policy says."""
    with connect(settings.load()) as client:
        path = f"{PATH}/{name}"
        told = client.get(f"{path}/versions") if versions else client.get(path, version=version)
        keys = {} if as_json else key_names(client)
    if as_json:
        print_json(told)
    elif versions:
        print_table(
            ["version", "when", "by", "comment"],
            [
                (
                    each["version"],
                    ago(each["created_at"]),
                    keys.get(each["created_by"], each["created_by"]),
                    each["comment"] if each["policy"] else "(taken away)",
                )
                for each in told["data"]
            ],
            empty="",
            numbers=("version",),
        )
    else:
        _say_policy(told)


@app.command()
def diff(
    name: Name,
    before: Annotated[int | None, typer.Option("--from", help="The older version.")] = None,
    after: Annotated[int | None, typer.Option("--to", help="The newer one.")] = None,
    as_json: AsJson = False,
) -> None:
    """What changed between two versions; by default in the newest."""
    with connect(settings.load()) as client:
        told = client.get(f"{PATH}/{name}/diff", before=before, after=after)
    if as_json:
        print_json(told)
        return
    say(f"{name}: version {told['before']} to {told['after']}")
    print_table(
        ["what", "before", "after"],
        [(each["path"], _value(each["before"]), _value(each["after"])) for each in told["changes"]],
        empty="Both say the same.",
    )


@app.command()
def attach(
    name: Name,
    model: OfModel = None,
    key: OfKey = None,
    everything: Everything = False,
    as_json: AsJson = False,
) -> None:
    """Let a policy guard what a model answers, what a key asks, or everything else."""
    with connect(settings.load()) as client:
        made = client.post(f"{PATH}/{name}/attach", _target(model, key, everything))
    if as_json:
        print_json(made)
    else:
        say(f"{name} guards {_guards([made])} from the next request on.")


@app.command()
def detach(
    name: Name,
    model: OfModel = None,
    key: OfKey = None,
    everything: Everything = False,
    as_json: AsJson = False,
) -> None:
    """Let a policy guard something no longer."""
    with connect(settings.load()) as client:
        made = client.post(f"{PATH}/{name}/detach", _target(model, key, everything))
    if as_json:
        print_json(made)
    else:
        say(f"{name} does not guard {_guards([made])} any more.")


@app.command()
def delete(name: Name, as_json: AsJson = False) -> None:
    """Take a policy away; its versions stay on record. Refused while it guards something."""
    with connect(settings.load()) as client:
        made = client.delete(f"{PATH}/{name}")
    if as_json:
        print_json(made)
    else:
        say(f"{name} is taken away.")


def _target(model: str | None, key: str | None, everything: bool) -> dict[str, Any]:
    if (model is not None) + (key is not None) + everything != 1:
        raise InvalidInput("give exactly one of --model, --key and --everything")
    return {"model": model, "key": key, "everything": everything}


def _guards(attached: list[dict[str, Any]]) -> str:
    return ", ".join(f"{each['guarded']} {each['target']}".strip() for each in attached)


def _value(value: Any) -> str | None:
    return None if value is None else str(value)


def _say_policy(told: dict[str, Any]) -> None:
    said = told["policy"]
    print_fields(
        [
            ("policy", f"{told['name']}, version {told['version']}"),
            ("description", said["description"]),
            ("taxonomy", said["taxonomy"]),
            ("guards", _guards(told["attached"])),
        ]
    )
    print_table(
        ["category", "action", "threshold", "applies to"],
        [
            (each["code"], each["action"], each["threshold"], ", ".join(each["applies_to"]))
            for each in said["categories"]
        ],
        empty="",
        numbers=("threshold",),
    )
    print_table(
        ["detector", "kind", "when it fails"],
        [(each["name"], each["kind"], each["on_error"]) for each in said["detectors"]],
        empty="",
    )
