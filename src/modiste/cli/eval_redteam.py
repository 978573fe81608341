"""`modiste eval redteam`: objectives by techniques against models, as ordinary runs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import yaml

from modiste import settings
from modiste.cli.output import AsJson, print_json, print_table, say
from modiste.cli.runs import RUNS, fetched, follow, print_metrics, say_error, subjects_of
from modiste.cli.suite_file import sent
from modiste.client import Client, connect
from modiste.errors import Conflict, NotFound

if TYPE_CHECKING:
    from modiste.evaluate.redteam.spec import Built, RedTeam
    from modiste.evaluate.redteam.table import Rate

PARTS = {"attacks": "attack", "twins": "over_refusal"}
"""Suites of a red team, and the scorer that each goes by."""


def redteam(
    file: Annotated[Path, typer.Argument(help="A red-team file (docs/red-team.md).")],
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Folder for suites and datasets; FILE's name by default."),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option("--model", help="One of the file's models, or NAME=MODEL; all by default."),
    ] = None,
    only_write: Annotated[
        bool, typer.Option("--only-write", help="Write the suites and ask nobody.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Attack models: what succeeds, and which harmless questions are refused, by technique."""
    team = _read(file)
    folder = out or file.with_suffix("")
    specs = _written(team, folder)
    if only_write:
        told = [str(folder / f"{spec['name']}.yaml") for spec in specs]
        print_json(told) if as_json else typer.echo("\n".join(told))
        return
    with connect(settings.load(), needs_engine=True, report=say) as client:
        runs = [each for spec in specs for each in _run(client, spec, folder, model or [], as_json)]
        well = [each for each in runs if each["status"] == "SUCCESS"]
        tables = {name: _rates(client, well, name) for name in PARTS}
    if as_json:
        rates = {part: {who: _json(of) for who, of in by.items()} for part, by in tables.items()}
        print_json({"runs": runs, "rates": rates})
    else:
        print_metrics(runs)
        _print(tables)
        _say_next(well)
        for each in runs:
            say_error(each)
    if len(well) < len(runs):
        raise typer.Exit(1)


def _read(file: Path) -> RedTeam:
    from modiste.evaluate.redteam.spec import RedTeam
    from modiste.prepare.checked import checked
    from modiste.prepare.yaml_file import read_mapping

    if not file.exists():
        raise NotFound(f"There is no red-team file {file}.", param="file")
    return checked(RedTeam, read_mapping(file, expected="the fields of a red team"), file=file.name)


def _written(team: RedTeam, folder: Path) -> list[dict[str, Any]]:
    """The suites, each with its dataset beside it. What is there already and says something else
    stays, and the command ends: a run rests on it.

    Raises:
        Conflict: such a file is there.
    """
    from modiste.evaluate.redteam.spec import built

    folder.mkdir(parents=True, exist_ok=True)
    found = [each for each in built(team) if each is not None]
    texts = {path: text for each in found for path, text in _texts(each, folder).items()}
    other = [path for path, text in texts.items() if path.exists() and path.read_text() != text]
    if other:
        raise Conflict(
            f"{other[0]} is there and says something else; name another folder with --out",
            param="out",
        )
    for path, text in texts.items():
        path.write_text(text)
    return [each.suite for each in found]


def _texts(made: Built, folder: Path) -> dict[Path, str]:
    rows = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in made.rows)
    suite = yaml.safe_dump(made.suite, sort_keys=False, allow_unicode=True)
    return {
        folder / made.suite["dataset"]["path"]: rows,
        folder / f"{made.suite['name']}.yaml": suite,
    }


def _run(
    client: Client, spec: dict[str, Any], folder: Path, wanted: list[str], quiet: bool
) -> list[dict[str, Any]]:
    subjects = subjects_of(spec, wanted)
    body = {"suite": sent(client, spec, folder=folder), "models": subjects}
    return [follow(client, each["id"], quiet=quiet) for each in client.post(RUNS, body)["data"]]


Rates = dict[str, "Mapping[str, Rate]"]


def _rates(client: Client, runs: list[dict[str, Any]], part: str) -> Rates:
    """By subject and technique; the last line is all of them together."""
    from modiste.evaluate.redteam.table import by_technique, overall

    found: Rates = {}
    for each in runs:
        if each["suite"].endswith(f".{part}"):
            samples = fetched(client, each["id"]).samples
            rates = by_technique(samples, PARTS[part])
            found[each["subject"]] = {**rates, "all": overall(samples, PARTS[part])}
    return found


def _print(tables: Mapping[str, Rates]) -> None:
    for part, title in (("attacks", "attacks that succeeded"), ("twins", "harmless, refused")):
        by_subject = tables[part]
        names = dict.fromkeys(name for of in by_subject.values() for name in of)
        rows = [
            (name, *(_shown(of[name]) if name in of else "" for of in by_subject.values()))
            for name in names
        ]
        if rows:
            typer.echo()
            print_table([title, *by_subject], rows, empty="")


def _shown(rate: Rate) -> str:
    if rate.interval is None:
        return f"– ({rate.n_unscored} unscored)"
    lo, hi = rate.interval.lo, rate.interval.hi
    more = f", {rate.n_blocked} blocked" if rate.n_blocked else ""
    more += f", {rate.n_unscored} unscored" if rate.n_unscored else ""
    return f"{rate.k}/{rate.n}  {lo:.0%} … {hi:.0%}{more}"


def _json(rates: Mapping[str, Rate]) -> dict[str, Any]:
    return {
        name: {
            "k": rate.k,
            "n": rate.n,
            "interval": None if rate.interval is None else [rate.interval.lo, rate.interval.hi],
            "n_unscored": rate.n_unscored,
            "n_blocked": rate.n_blocked,
        }
        for name, rate in rates.items()
    }


def _say_next(runs: list[dict[str, Any]]) -> None:
    for part in PARTS:
        ids = [each["id"][:8] for each in runs if each["suite"].endswith(f".{part}")]
        if len(ids) > 1:
            say(f"Next: modiste eval compare {ids[0]} {ids[1]}  ({part}, item by item)")
