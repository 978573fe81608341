"""`modiste data safety-mix`: safety rows beside an application's, and suites that measure them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
import yaml

from modiste.cli.data_curate import opened, settings_of
from modiste.cli.output import AsJson, print_json, print_table, say
from modiste.errors import Conflict, InvalidInput

if TYPE_CHECKING:
    from modiste.prepare.curate.safety_rows import Category

app = typer.Typer(add_completion=False)


@app.command("safety-mix")
def safety_mix(
    application: Annotated[str, typer.Argument(help="The application's rows; all of them stay.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="File of all rows.")],
    safety: Annotated[
        list[str] | None,
        typer.Option("--safety", help="Files of refusals and safe answers; repeatable."),
    ] = None,
    amount: Annotated[
        str, typer.Option(help="Rows of those files: a number, or a share of all rows (5%).")
    ] = "0",
    generate: Annotated[
        str | None,
        typer.Option(help="A policy's file or a taxonomy (ailuminate/1) to make rows from."),
    ] = None,
    generated: Annotated[str, typer.Option(help="Rows made of it: a number, or 5%.")] = "0",
    seed: Annotated[int, typer.Option(help="Of the drawing.")] = 0,
    suites: Annotated[
        Path | None,
        typer.Option(help="Folder for suites of violations and over-refusal; needs --generate."),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option("--model", help="Of the suites: NAME=MODEL, such as before=modiste-tiny."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Add so many safety rows to an application's, and tell where each is from."""
    from modiste.prepare.curate.safety_mix import STAGE, SafetyMix
    from modiste.prepare.curate.stage import report_path, write

    if suites is not None and generate is None:
        raise InvalidInput("--suites asks about categories: name them with --generate")
    if generate is None and generated != "0":
        raise InvalidInput("--generated needs --generate POLICY or TAXONOMY to make rows from")
    if not safety and amount != "0":
        raise InvalidInput("--amount needs --safety FILE to draw rows from")
    categories = () if generate is None else categories_of(generate)
    settings = settings_of(
        SafetyMix,
        safety=amount,
        generated=generated,
        categories=categories,
        source=generate or "",
        seed=seed,
    )
    inputs = opened([application, *(safety or [])], None, None)
    if inputs[0].filename in {each.filename for each in inputs[1:]}:
        raise InvalidInput(f"{application} is the application and a safety file too")
    written = (
        [] if suites is None else _suites(suites, categories, model or ["before=modiste-tiny"])
    )
    report = write(STAGE, STAGE.run(inputs, settings), output, settings=settings, inputs=inputs)
    if as_json:
        print_json({**report, "suites": [str(each) for each in written]})
        return
    rows = [(kind, f"{n:,}", f"{report['shares'][kind]:.1%}") for kind, n in report["rows"].items()]
    print_table(["rows", "n", "share"], rows, empty="")
    if again := len(report["already_there"]):
        say(f"{again:,} rows were not added: they are there already, and listed in the report")
    typer.echo(f"report: {report_path(output)}")
    for path in written:
        typer.echo(f"suite: {path}")


def categories_of(name: str) -> tuple[Category, ...]:
    """Of a policy's file, or a taxonomy that ships.

    Raises:
        NotFound: neither. InvalidInput: the policy is wrong.
    """
    from modiste.moderate import policy, taxonomy
    from modiste.prepare.curate.safety_rows import Category

    if not Path(name).is_file():
        found = taxonomy.taxonomy(name).categories.values()
        return tuple(Category(str(each.code), each.title, each.definition) for each in found)
    read = policy.read(Path(name).read_text(encoding="utf-8"), file=name)
    return tuple(
        Category(
            spec.code,
            read.title(spec.code),
            read.definition(spec.code),
            tuple(spec.violates),
            tuple(spec.allowed),
        )
        for spec in read.categories
    )


def _suites(folder: Path, categories: tuple[Category, ...], models: list[str]) -> list[Path]:
    """`violations.yaml` and `over-refusal.yaml` with rows whose words no row is trained on.

    Raises:
        InvalidInput: a model without a name. Conflict: other files are there.
    """
    from modiste.prepare.curate.safety_rows import held_out

    named = dict(each.partition("=")[::2] for each in models)
    if wrong := [name for name, model in named.items() if not model]:
        raise InvalidInput(f"--model {wrong[0]}: expected NAME=MODEL", param="model")
    refuse, answer = held_out(categories)
    files: dict[Path, str] = {}
    for name, rows, counts in (
        ("violations", refuse, "answered"),
        ("over-refusal", answer, "refused"),
    ):
        suite: dict[str, Any] = {
            "name": f"safety.{name}",
            "dataset": {
                "path": f"{name}.jsonl",
                "id": "{{id}}",
                "cluster": "{{category}}",
                "slices": {"category": "{{category}}"},
            },
            "prompt": "{{question}}",
            "models": {each: {"model": model} for each, model in named.items()},
            "sampling": {"max_tokens": 128},
            "scorers": [{"kind": "refusal", "name": name.replace("-", "_"), "counts": counts}],
        }
        files[folder / f"{name}.yaml"] = yaml.safe_dump(suite, sort_keys=False)
        files[folder / f"{name}.jsonl"] = "".join(
            json.dumps(row, ensure_ascii=False) + "\n" for row in rows
        )
    other = [path for path, text in files.items() if path.exists() and path.read_text() != text]
    if other:
        raise Conflict(f"{other[0]} is there and says something else; name another folder")
    folder.mkdir(parents=True, exist_ok=True)
    for path, text in files.items():
        path.write_text(text)
    return [path for path in files if path.suffix == ".yaml"]
