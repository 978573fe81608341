"""`modiste data preview` and `modiste data stats`: what a file trains, and what it amounts to.

A preview of which nothing can be shown ends with exit code 1; whether rows are right, `check` says.
Without `--model` the tokens are those of the shipped base, and that is said.
"""

from __future__ import annotations

from typing import Annotated, Any

import typer

from modiste.cli.data_options import (
    Files,
    Forced,
    Length,
    Model,
    Templates,
    length_for,
    named,
    processors,
    progress,
)
from modiste.cli.output import AsJson, print_json

app = typer.Typer(add_completion=False)


@app.command()
def preview(
    files: Files = None,
    model: Model = None,
    n: Annotated[int, typer.Option("-n", "--rows", min=1, help="Rows of each file.")] = 5,
    seq_len: Length = None,
    seed: Annotated[int, typer.Option(help="Of the draw; the longest row is always shown.")] = 0,
    most: Annotated[
        int, typer.Option("--tokens", min=16, help="Of longer sequences the middle is left out.")
    ] = 1_000,
    format: Forced = None,
    columns: Templates = None,
    as_json: AsJson = False,
) -> None:
    """A few rows as they would be trained: trained tokens coloured, control tokens visible."""
    from modiste.cli import tokenizers
    from modiste.cli.preview_text import print_preview
    from modiste.prepare.preview import preview as make

    asked = named(files, format, columns)
    tokens = tokenizers.resolve(model)
    length = length_for(tokens, seq_len)
    made = [
        make(
            file.path,
            filename=file.filename,
            renderer=tokens.renderer,
            n=n,
            seq_len=length,
            seed=seed,
            format=asked.format,
            columns=asked.columns,
            most_tokens=most,
        ).to_json()
        for file in asked.files
    ]
    if as_json:
        print_json({"model": tokens.name, "tokenizer": tokens.said, "previews": made})
    for at, each in enumerate(() if as_json else made):
        if at:
            typer.echo()
        print_preview(each, tokens_of=tokens.said)
    if not any(each["samples"] for each in made):
        raise typer.Exit(1)


@app.command()
def stats(
    files: Files = None,
    model: Model = None,
    seq_len: Length = None,
    epochs: Annotated[
        float | None, typer.Option(min=0.001, help="Plan for so many passes over the data.")
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Plan for so many steps; decides over --epochs.")
    ] = None,
    format: Forced = None,
    columns: Templates = None,
    as_json: AsJson = False,
) -> None:
    """Rows, tokens, turns and lengths; steps, memory, duration and cost on each known base."""
    from modiste import settings
    from modiste.cli import estimates, stats_text, tokenizers
    from modiste.prepare.checks.findings import check_files
    from modiste.prepare.statistics import Statistics

    asked = named(files, format, columns)
    tokens = tokenizers.resolve(model)
    length = length_for(tokens, seq_len)
    found = check_files(
        asked.files,
        renderer=tokens.renderer,
        seq_len=length,
        workers=processors(),
        format=asked.format,
        columns=asked.columns,
        inspect=False,
        near=False,
        on_progress=progress(),
    )
    total = Statistics(seq_len=length)
    for report in found.train:
        total.merge(report.statistics)
    planned = estimates.estimates(
        total,
        tokens,
        texts=estimates.sample_of(asked),
        wanted=settings.load(),
        wish=estimates.Wish(epochs, steps, seq_len),
    )
    answer = {
        "tokenizer": {"model": tokens.name, "files": tokens.said},
        "seq_len": length,
        "files": [_counted(report.to_json()) for report in found.train],
        "total": total.to_json(),
        "estimates": planned,
    }
    print_json(answer) if as_json else stats_text.print_stats(answer)


def _counted(report: dict[str, Any]) -> dict[str, Any]:
    names = ("file", "format", "why", "rows", "good_rows", "bad_rows", "statistics")
    return {name: report[name] for name in names}
