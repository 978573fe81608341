"""`modiste data dedup` and `decontaminate`: rows that should not be there, left out and told.

Both write the rows that stay, byte for byte, and a report beside them in which every decision can
be checked. Exit code 0 when that was done, 2 when the question was wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from modiste.cli.data_curate import Columns, Files, Forced, opened, settings_of
from modiste.cli.output import AsJson, print_json, print_table, printable, say
from modiste.prepare.formats.kinds import Format

if TYPE_CHECKING:
    from modiste.prepare.curate.embedders import Embed

app = typer.Typer(add_completion=False)
SHOWN = 5

Output = Annotated[Path, typer.Option("--output", "-o", help="File of the rows that stay.")]
Url = Annotated[
    str | None,
    typer.Option("--embeddings-url", help="Compare meanings too, by this endpoint …"),
]
Model = Annotated[str | None, typer.Option("--embeddings-model", help="… and its model,")]
Base = Annotated[
    str | None,
    typer.Option("--embeddings-base", help="or by a base on this machine: a name or a folder."),
]
Cosine = Annotated[
    float | None, typer.Option("--cosine", help="From which meanings are the same; 0.9.")
]


@app.command()
def dedup(
    files: Files,
    output: Output,
    exact: Annotated[bool, typer.Option(help="Rows that are equal when normalised.")] = True,
    near: Annotated[bool, typer.Option(help="Rows that are nearly equal.")] = True,
    threshold: Annotated[
        float | None, typer.Option(help="Share of common shingles of near-duplicates; 0.7.")
    ] = None,
    shingle: Annotated[int | None, typer.Option(help="Words in a shingle; 5.")] = None,
    keep: Annotated[
        str | None, typer.Option(help="Which one stays: first, longest or weight.")
    ] = None,
    weight: Annotated[
        str | None, typer.Option(help="Where the weight stands; with --keep weight.")
    ] = None,
    digits: Annotated[bool, typer.Option(help="Rows that differ in digits only are equal.")] = (
        False
    ),
    system: Annotated[bool, typer.Option(help="System prompts count.")] = False,
    boilerplate: Annotated[
        float | None,
        typer.Option(
            help="Words that more than this share of questions have in common do not "
            "count; 0.05, 0 counts all."
        ),
    ] = None,
    url: Url = None,
    model: Model = None,
    base: Base = None,
    cosine: Cosine = None,
    format: Forced = None,
    columns: Columns = None,
    as_json: AsJson = False,
) -> None:
    """Rows that say the same, once; rows that contradict each other are listed and stay."""
    from modiste.prepare.curate.dedup import Dedup, DedupStage
    from modiste.prepare.curate.stage import report_path, write

    settings = settings_of(
        Dedup,
        exact=exact,
        near=near,
        threshold=threshold,
        shingle=shingle,
        keep=keep,
        weight=weight,
        digits=digits,
        system=system,
        boilerplate=boilerplate,
        semantic=_meaning(url, model, base, cosine),
    )
    inputs = opened(files, format, columns)
    stage = DedupStage(local_embedder)
    outcome = stage.run(inputs, settings)
    report = write(stage, outcome, output, settings=settings, inputs=inputs)
    if as_json:
        print_json(report)
        return
    _print_kept(report, output)
    _print_clusters(report)
    _print_review(report)
    typer.echo(f"report: {report_path(output)}")


@app.command()
def decontaminate(
    files: Files,
    output: Output,
    against: Annotated[
        list[str], typer.Option(help="Eval files, folders, patterns or URLs; repeatable.")
    ],
    against_format: Annotated[
        Format | None, typer.Option(help="What the eval rows are; else told.")
    ] = None,
    against_columns: Annotated[
        list[str] | None, typer.Option(help="For eval files with other columns: 'user={prompt}'.")
    ] = None,
    n: Annotated[int | None, typer.Option("-n", help="Words in a run; 8.")] = None,
    coverage: Annotated[
        float | None, typer.Option(help="Share of an item from which it is given away; 0.5.")
    ] = None,
    common: Annotated[
        int | None, typer.Option(help="Runs that more rows have count in copies only; 10.")
    ] = None,
    min_answer: Annotated[
        int | None, typer.Option(help="Answers of fewer words are not looked for; 16.")
    ] = None,
    paraphrases: Annotated[bool, typer.Option(help="Look for light paraphrases too.")] = True,
    url: Url = None,
    model: Model = None,
    base: Base = None,
    cosine: Cosine = None,
    format: Forced = None,
    columns: Columns = None,
    as_json: AsJson = False,
) -> None:
    """Training rows that give eval items away, left out; item by item with the text they share."""
    from modiste.prepare.curate.contamination import Decontaminate, DecontaminateStage
    from modiste.prepare.curate.stage import report_path, write

    settings = settings_of(
        Decontaminate,
        against=tuple(against),
        against_format=against_format,
        against_columns=tuple(against_columns or ()),
        n=n,
        coverage=coverage,
        common=common,
        min_answer=min_answer,
        paraphrases=paraphrases,
        semantic=_meaning(url, model, base, cosine),
    )
    inputs = opened(files, format, columns)
    stage = DecontaminateStage(local_embedder)
    outcome = stage.run(inputs, settings)
    report = write(stage, outcome, output, settings=settings, inputs=inputs)
    if as_json:
        print_json(report)
        return
    _print_kept(report, output)
    _print_eval_sets(report)
    _print_items(report)
    _print_review(report)
    typer.echo(f"report: {report_path(output)}")


def local_embedder(name: str) -> Embed:
    """Vectors of an installed base, or of one in a folder.

    Raises:
        InvalidInput: no such base, or this installation cannot compute it.
    """
    from modiste.cli.tokenizers import base_folder
    from modiste.errors import InvalidInput
    from modiste.prepare import render

    folder = base_folder(name)
    try:
        from modiste.nn.embedding import TextEmbedder
    except ImportError:
        raise InvalidInput(
            "vectors of a base need PyTorch: pip install 'modiste[local]', or name an endpoint "
            "with --embeddings-url"
        ) from None
    return TextEmbedder(folder, render.load(folder).encode)


def _meaning(
    url: str | None, model: str | None, base: str | None, cosine: float | None
) -> dict[str, Any] | None:
    given = {"url": url, "model": model, "base": base, "threshold": cosine}
    return {name: value for name, value in given.items() if value is not None} or None


def _print_kept(report: Mapping[str, Any], output: Path) -> None:
    reasons = ", ".join(f"{n:,} {name}" for name, n in report["dropped_by_reason"].items() if n)
    dropped = report["rows"] - report["kept"]
    why = f"; {dropped:,} left out: {reasons}" if dropped else "; nothing left out"
    typer.echo(printable(f"{output}: {report['kept']:,} of {report['rows']:,} rows{why}"))


def _print_clusters(report: Mapping[str, Any]) -> None:
    for cluster in report["clusters"][:SHOWN]:
        kept, n = cluster["kept"], len(cluster["dropped"])
        typer.echo(f"  {_place(kept)} stands for {n:,} more: {_line(kept['asked'])}")
        for row in [row for row in cluster["dropped"] if "asked" in row][:2]:
            like = f"{row['reason']} {row['similarity']:.2f}"
            typer.echo(f"    {_place(row)} ({like}): {_line(row['asked'])}")
    if len(report["clusters"]) > SHOWN:
        typer.echo(f"  … all {len(report['clusters']):,} clusters are in the report")


def _print_eval_sets(report: Mapping[str, Any]) -> None:
    rows = [
        (
            each["file"],
            f"{each['items']:,}",
            f"{each['hit']:,}",
            f"{each['share']:.1%}",
            "scores are in doubt" if each["alert"] else "",
        )
        for each in report["against"]
    ]
    print_table(["eval set", "items", "given away", "share", ""], rows, empty="")


def _print_items(report: Mapping[str, Any]) -> None:
    for item in report["items"][:SHOWN]:
        where = ", ".join(_place(each) for each in item["items"][:3])
        typer.echo(f"  {where}, {item['side']}: {_line(item['text'])}")
        for row in item["rows"][:2]:
            share = f"{row['reason']} {row['coverage']:.0%}"
            typer.echo(f"    {_place(row)} ({share}): {_line(row['matched'])}")
        if item["n_rows"] > 2:
            typer.echo(f"    … and {item['n_rows'] - 2:,} more rows")
    if len(report["items"]) > SHOWN:
        typer.echo(f"  … all {len(report['items']):,} are in the report")


REVIEWS: Mapping[str, str] = {
    "same_question": "questions with different answers",
    "alike_answered_differently": "rows that look alike and answer differently",
    "same_meaning_answered_differently": "questions of one meaning with different answers",
    "shared_context": "rows that share an item's context, not its question",
    "same_meaning": "rows that mean what an item asks",
}


def _print_review(report: Mapping[str, Any]) -> None:
    for name, found in report["review"].items():
        if found["n"]:
            say(f"for review, kept: {found['n']:,} {REVIEWS[name]}")


def _place(entry: Mapping[str, Any]) -> str:
    return printable(f"{entry['file']} line {entry['line']}")


def _line(text: str, room: int = 120) -> str:
    """On one line. What differs is often at the end."""
    flat = printable(" ".join(text.split()))
    return flat if len(flat) <= room else f"{flat[: room // 2]} … {flat[-room // 2 :]}"
