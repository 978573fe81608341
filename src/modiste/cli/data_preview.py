"""`modiste data preview` and `modiste data stats`: what a file trains, and what it amounts to."""

from __future__ import annotations

from typing import Annotated

import typer

from modiste.cli.data_check import Files, Forced, Length, Model, inputs, length_for
from modiste.cli.output import AsJson, print_json

app = typer.Typer(add_completion=False)


@app.command()
def preview(
    files: Files = None,
    model: Model = None,
    n: Annotated[int, typer.Option("-n", "--rows", min=1, help="Rows of each file.")] = 5,
    seq_len: Length = None,
    seed: Annotated[int, typer.Option(help="Of the draw; the longest row is always shown.")] = 0,
    format: Forced = None,
    as_json: AsJson = False,
) -> None:
    """A few rows as they would be trained: trained tokens coloured, control tokens visible."""
    from modiste.cli import tokenizers
    from modiste.cli.preview_text import print_preview
    from modiste.errors import InvalidInput
    from modiste.prepare.preview import preview as make

    if not files:
        raise InvalidInput("name at least one file")
    found = inputs(files)
    tokens = tokenizers.resolve(model)
    length = length_for(tokens, seq_len)
    made = [
        make(
            path,
            filename=name,
            renderer=tokens.renderer,
            n=n,
            seq_len=length,
            seed=seed,
            format=format,
        ).to_json()
        for path, name in found
    ]
    if as_json:
        print_json({"model": tokens.name, "tokenizer": tokens.said, "previews": made})
        return
    for at, each in enumerate(made):
        if at:
            typer.echo()
        print_preview(each, tokens_of=tokens.said)
