"""`modiste gate`: what a model has to show before it is deployed, checked for people and for CI."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from modiste.cli.eval_inputs import loaded
from modiste.cli.output import AsJson, print_json, printable
from modiste.errors import InvalidInput

if TYPE_CHECKING:
    from modiste.evaluate.gate_result import GateResult
    from modiste.evaluate.gate_spec import Gate
    from modiste.evaluate.record import Run

app = typer.Typer(
    add_completion=False, help="Gates before deployment: check.", no_args_is_help=True
)
Junit = Annotated[Path | None, typer.Option(help="Write the gate's conditions as JUnit XML.")]
Markdown = Annotated[Path | None, typer.Option(help="Write a summary for a CI run.")]


@app.callback()
def gate() -> None:
    """Gates before deployment."""


@app.command()
def check(
    gate_file: Annotated[Path, typer.Argument(metavar="GATE", help="gate.yaml.")],
    run: Annotated[list[str], typer.Option(help="A run of the candidate; again for other suites.")],
    baseline: Annotated[
        list[str] | None, typer.Option(help="A run of the model it is held against.")
    ] = None,
    approved_by: Annotated[
        list[str] | None, typer.Option(help="Who agreed; without, approval is left out.")
    ] = None,
    junit: Junit = None,
    markdown: Markdown = None,
    as_json: AsJson = False,
) -> None:
    """Would this model pass? Exit code 0 passed, 1 failed, 2 not enough evidence; nothing is
    switched."""
    new, old = loaded(run), loaded(baseline or [])
    result = checked(gate_file, new, old, approved_by)
    write_results(result, junit=junit, markdown=markdown)
    if as_json:
        print_json(result.to_json())
    else:
        say_gate(result)
    exit_with(result)


def gate_in(path: Path) -> Gate:
    """
    Raises:
        InvalidInput: it cannot be read, or is no gate; everything that is wrong with it.
    """
    from modiste.evaluate.gate_spec import read

    try:
        return read(path.read_text(encoding="utf-8"), file=str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path}: cannot be read: {error}", param="gate") from None


def checked(
    path: Path, new: Sequence[Run], old: Sequence[Run], approved_by: Sequence[str] | None
) -> GateResult:
    from modiste.evaluate import gate

    return gate.check(gate_in(path), new, old, approved_by=approved_by)


def write_results(
    result: GateResult | None, *, junit: Path | None, markdown: Path | None, before: str = ""
) -> None:
    from modiste.evaluate.junit import junit_xml
    from modiste.evaluate.markdown import gate_markdown

    if junit is not None and result is not None:
        write_text(junit, junit_xml(result))
    if markdown is not None:
        told = [gate_markdown(result)] if result is not None else []
        write_text(markdown, "\n".join([*told, *filter(None, (before,))]))


def write_text(path: Path, content: str) -> None:
    try:
        path.write_text(content, encoding="utf-8")
    except OSError as error:
        raise InvalidInput(f"{path}: cannot be written: {error.strerror}") from None


def say_gate(result: GateResult | None) -> None:
    if result is None:
        return
    for condition in result.conditions:
        typer.echo(printable(f"{condition.outcome:<21}  {condition.name}: {condition.sentence}"))
    typer.echo(printable(f"{result.gate['name']}: {result.outcome}"))


def exit_with(result: GateResult | None) -> None:
    if result is not None and result.outcome.exit_code:
        raise typer.Exit(result.outcome.exit_code)
