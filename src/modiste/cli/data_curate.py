"""`modiste data split`, `sample` and `merge`: rows in, fewer or sorted rows out, and a report.

Every command is one stage with the settings of its schema, and every report lies beside its output.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from modiste.cli.output import AsJson, print_json, print_table, say
from modiste.prepare.formats.kinds import Format

if TYPE_CHECKING:
    from pydantic import BaseModel

    from modiste.prepare.curate.stage import Corpus

app = typer.Typer(add_completion=False)
S = TypeVar("S", bound="BaseModel")

Files = Annotated[list[str], typer.Argument(help="Files, folders, patterns or URLs of rows.")]
Forced = Annotated[Format | None, typer.Option("--format", help="What the rows are; else told.")]
Columns = Annotated[
    list[str] | None,
    typer.Option("--columns", help="For other columns: 'user={question}' 'assistant={answer}'."),
]


@app.command()
def split(
    files: Files,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder of the parts.")],
    parts: Annotated[
        str, typer.Option(help="80/20, 70/15/15, or train=0.9,validation=0.1.")
    ] = "80/20",
    group_by: Annotated[
        list[str] | None,
        typer.Option(help="What rows of one part only may share; prompt unless given; repeatable."),
    ] = None,
    near: Annotated[bool, typer.Option(help="Near-duplicates belong together too.")] = False,
    stratify: Annotated[
        str | None, typer.Option(help="Where the class stands: labels, label, metadata.topic …")
    ] = None,
    min_positives: Annotated[
        int | None, typer.Option(min=0, help="Rows of each class that a part needs; 30.")
    ] = None,
    exact: Annotated[
        bool, typer.Option(help="Exact shares; then new rows may move old ones.")
    ] = False,
    salt: Annotated[str, typer.Option(help="Another salt is another split.")] = "modiste",
    frozen_test: Annotated[
        str | None, typer.Option(help="File that is the test set, whatever is added.")
    ] = None,
    previous: Annotated[
        str | None, typer.Option(help="Folder of an earlier split: its rows stay.")
    ] = None,
    format: Forced = None,
    columns: Columns = None,
    as_json: AsJson = False,
) -> None:
    """Rows into train, validation and test; what belongs together stays together."""
    from modiste.prepare.curate.split import STAGE, Split
    from modiste.prepare.curate.stage import write_parts

    settings = settings_of(
        Split,
        parts=parts,
        group_by=group_by,
        near=near,
        stratify=stratify,
        min_positives=min_positives,
        exact=exact,
        salt=salt,
        frozen_test=frozen_test,
        previous=previous,
    )
    inputs = opened(files, format, columns)
    outcome = STAGE.run(inputs, settings)
    report = write_parts(STAGE, outcome, output, settings=settings, inputs=inputs)
    if as_json:
        print_json(report)
        return
    rows = [
        (f"{name}.jsonl", f"{part['rows']:,}", f"{part['groups']:,}", f"{part['share']:.1%}")
        for name, part in report["parts"].items()
    ]
    print_table(["part", "rows", "groups", "share"], rows, empty="")
    _print_rest(report, output / "split.report.json")


@app.command()
def sample(
    files: Files,
    output: Annotated[Path, typer.Option("--output", "-o", help="File of the rows drawn.")],
    n: Annotated[int | None, typer.Option("-n", "--rows", min=1, help="Rows to draw …")] = None,
    fraction: Annotated[float | None, typer.Option(help="… or their share.")] = None,
    stratify: Annotated[
        str | None, typer.Option(help="Where the class stands: each keeps its share.")
    ] = None,
    balance: Annotated[bool, typer.Option(help="As many rows of each class.")] = False,
    weight: Annotated[
        str | None, typer.Option(help="Where a number stands that makes a row likelier.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Another seed draws other rows.")] = 0,
    format: Forced = None,
    columns: Columns = None,
    as_json: AsJson = False,
) -> None:
    """Fewer rows, drawn by chance: the same ones from the same rows."""
    from modiste.prepare.curate.sample import STAGE, Sample
    from modiste.prepare.curate.stage import report_path, write

    settings = settings_of(
        Sample,
        n=n,
        fraction=fraction,
        stratify=stratify,
        balance=balance,
        weight=weight,
        seed=seed,
    )
    inputs = opened(files, format, columns)
    outcome = STAGE.run(inputs, settings)
    report = write(STAGE, outcome, output, settings=settings, inputs=inputs)
    if as_json:
        print_json(report)
        return
    total = report["output"]["rows"] + report["left_out"]
    typer.echo(f"{output}: {report['output']['rows']:,} of {total:,} rows")
    _print_rest(report, report_path(output))


@app.command()
def merge(
    files: Files,
    output: Annotated[Path, typer.Option("--output", "-o", help="File of all rows.")],
    weights: Annotated[
        str | None, typer.Option(help="Share of each file, in their order: 5,1.")
    ] = None,
    order: Annotated[str, typer.Option(help="files: one after the other; or interleaved.")] = (
        "files"
    ),
    repeats: Annotated[
        str, typer.Option(help="What becomes of a row that was there before: drop or keep.")
    ] = "drop",
    seed: Annotated[int, typer.Option(help="Of the drawing where there are weights.")] = 0,
    format: Forced = None,
    columns: Columns = None,
    as_json: AsJson = False,
) -> None:
    """Several files into one, without repeats, with a share for each."""
    from modiste.prepare.curate.merge import STAGE, Merge
    from modiste.prepare.curate.stage import report_path, write

    shares = None if weights is None else tuple(weights.split(","))
    settings = settings_of(Merge, weights=shares, order=order, repeats=repeats, seed=seed)
    inputs = opened(files, format, columns)
    outcome = STAGE.run(inputs, settings)
    report = write(STAGE, outcome, output, settings=settings, inputs=inputs)
    if as_json:
        print_json(report)
        return
    rows = [
        (f["file"], f"{f['kept']:,}", f"{f['share']:.1%}", f"{f['repeats']:,}", f["not_drawn"])
        for f in report["files"]
    ]
    print_table(["file", "rows", "share", "repeats", "not drawn"], rows, empty="")
    _print_rest(report, report_path(output))


def settings_of(model: type[S], **flags: Any) -> S:
    """Settings from flags; those that were not given are the schema's."""
    from modiste.prepare.curate.stage import parse_settings

    given = {name: value for name, value in flags.items() if value is not None}
    return parse_settings(model, given, where="flags")


def opened(
    files: list[str], format: Format | None, templates: list[str] | None, *, mixed: bool = False
) -> list[Corpus]:
    """The files of a command.

    Args:
        mixed: they may be of several formats, because no file comes of them.
    """
    from modiste.prepare.curate.inputs import corpora, one_shape
    from modiste.prepare.formats.columns import Columns as Parsed

    columns = Parsed.parse(templates) if templates else None
    found = corpora(files, format=format, columns=columns)
    if not mixed:
        one_shape(found)
    return found


def _print_rest(report: Mapping[str, Any], path: Path) -> None:
    for warning in report.get("warnings", ()):
        say(f"warning: {warning}")
    if dropped := report.get("dropped"):
        rows = "1 row" if len(dropped) == 1 else f"{len(dropped):,} rows"
        say(f"{rows} left out, listed in the report")
    typer.echo(f"report: {path}")
