"""`modiste data convert`: rows of any format into JSON lines of another, with what was lost.

Exit code 0 when every row was written and may be trained on, 1 when one was left out or may not,
2 when the question was wrong. The report with every row lies beside the output.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from modiste.cli.output import AsJson, print_json, printable, say
from modiste.prepare.formats.kinds import Format
from modiste.prepare.sources.containers import Container

app = typer.Typer(add_completion=False)
SHOWN = 10


@app.command()
def convert(
    inputs: Annotated[
        list[str], typer.Argument(help="Files, folders, patterns, s3:// or hf:// addresses.")
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="Where to; default NAME.FORMAT.jsonl beside the input."
        ),
    ] = None,
    source: Annotated[
        Format | None, typer.Option("--from", help="What the rows are; else told from them.")
    ] = None,
    to: Annotated[
        Format | None,
        typer.Option("--to", help="Format to write; default chat, or what keeps everything."),
    ] = None,
    container: Annotated[
        Container | None, typer.Option(help="What the rows come in; else told from the bytes.")
    ] = None,
    columns: Annotated[
        list[str] | None,
        typer.Option("--columns", help="A template, such as 'user={question}'; one for each role."),
    ] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace an output that is there.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write rows of any format as JSON lines of another; says of every row what was lost."""
    from modiste.errors import InvalidInput
    from modiste.prepare.convert import convert_files
    from modiste.prepare.formats.columns import Columns
    from modiste.prepare.sources.locate import locate

    places, templates = apart(inputs, columns or [])
    located = locate(places)
    target = output or _beside(places[0], located[0].path, to)
    if target.exists() and not overwrite:
        raise InvalidInput(f"{target} is there already: --overwrite, or another --output")
    report = convert_files(
        located,
        target,
        to=to,
        format=source,
        container=container,
        columns=Columns.parse(templates) if templates else None,
    )
    if as_json:
        print_json({**report, "path": str(target)})
    else:
        _print(report, target)
    if not report["ok"]:
        raise typer.Exit(1)


def apart(given: list[str], columns: list[str]) -> tuple[list[str], list[str]]:
    """Templates typed one after the other behind a single --columns arrive among the inputs."""
    from modiste.errors import InvalidInput
    from modiste.prepare.formats.columns import TARGETS

    def is_template(text: str) -> bool:
        return text.partition("=")[0] in TARGETS and "=" in text and not Path(text).exists()

    places = [text for text in given if not (columns and is_template(text))]
    if not places:
        raise InvalidInput("no input is named", param="inputs")
    return places, [*columns, *(text for text in given if text not in places)]


def _beside(place: str, path: Path, to: Format | None) -> Path:
    """`rows.csv.gz` becomes `rows.chat.jsonl` beside it; what was fetched, here."""
    from modiste.prepare.sources.containers import SUFFIXES

    name = path.name.removesuffix(".gz")
    stem = name.removesuffix(Path(name).suffix) if Path(name).suffix in SUFFIXES else name
    folder = Path() if "://" in place else path.parent
    return folder / f"{stem}.{to or 'converted'}.jsonl"


def _print(report: dict[str, Any], target: Path) -> None:
    for each in report["inputs"]:
        told = each["format"] or "no known format"
        noun = "chat" if told == "chat-table" else "row"
        say(printable(f"{each['file']}: {told}, {_count(each['rows'], noun)} ({each['why']})"))
    typer.echo(printable(f"{target}  {_count(report['output']['rows'], 'row')}"))
    _print_lost(report["lost"], several=len(report["inputs"]) > 1)
    for problem in report["remarks"][:SHOWN]:
        typer.echo(printable(f"  {problem['file']} line {problem['line']}: {problem['message']}"))
    _print_more(len(report["remarks"]) - SHOWN, "remark")
    if n_dropped := report["dropped_rows"]:
        typer.echo(f"  left out: {_count(n_dropped, 'row')}")
        _print_kinds(report["dropped"], all_told=n_dropped <= len(report["dropped"]))
    _print_check(report["check"])
    typer.echo(printable(f"report: {target.name.removesuffix('.jsonl')}.report.json"))


def _print_lost(lost: list[dict[str, Any]], *, several: bool) -> None:
    """What the same number of rows of a file lost, on one line."""
    together: dict[tuple[str, int], list[str]] = {}
    for each in lost:
        together.setdefault((each["file"], each["rows"]), []).append(each["what"])
    for (file, n_rows), what in list(together.items())[:SHOWN]:
        of = f" of {file}" if several else ""
        typer.echo(printable(f"  lost in {_count(n_rows, 'row')}{of}: {', '.join(what)}"))
    _print_more(len(together) - SHOWN, "line")


def _print_kinds(problems: list[dict[str, Any]], *, all_told: bool = True) -> None:
    """Of each kind of problem the first, and how many there are."""
    from modiste.prepare.convert import kind_of, with_others
    from modiste.types import Problem

    kinds: dict[tuple[str, ...], list[Problem]] = {}
    for problem in (Problem(**each) for each in problems):
        kinds.setdefault(kind_of(problem), []).append(problem)
    for same in list(kinds.values())[:SHOWN]:
        told = with_others(same, all_told=all_told)
        typer.echo(printable(f"    {told.file} line {told.line}: {told.message}"))
        if told.hint:
            typer.echo(printable(f"      → {told.hint}"))
    _print_more(len(kinds) - SHOWN, "kind", " of problems", indent="    ")


def _print_more(n: int, noun: str, of: str = "", *, indent: str = "  ") -> None:
    if n > 0:
        typer.echo(f"{indent}… and {n:,} more {noun if n == 1 else noun + 's'}{of} in the report")


def _print_check(check: dict[str, Any]) -> None:
    problems = [problem for file in check["files"] for problem in file["problems"]]
    errors = [problem for problem in problems if problem["severity"] == "error"]
    n_warnings = len(problems) - len(errors)
    if check["ok"]:
        more = f", {_count(n_warnings, 'remark')} in the report" if n_warnings else ""
        typer.echo(f"  checks: every row may be trained on{more}")
        return
    keep = "keeps" if len(errors) == 1 else "keep"
    typer.echo(
        f"  checks: {_count(len(errors), 'problem')} {keep} rows of the output from training"
    )
    _print_kinds(errors)


def _count(n: int, noun: str) -> str:
    return f"{n:,} {noun if n == 1 else noun + 's'}"
