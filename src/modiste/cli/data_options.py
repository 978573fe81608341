"""What the commands on data files have in common: how files, bases and formats are named."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from modiste.cli.output import printable, size
from modiste.errors import InvalidInput
from modiste.prepare.formats.kinds import Format

if TYPE_CHECKING:
    from modiste.cli.tokenizers import Tokens
    from modiste.prepare.checks.findings import Input, Progress
    from modiste.prepare.formats.columns import Columns

WORTH_WATCHING_BYTES = 20_000_000

Files = Annotated[
    list[str] | None, typer.Argument(help="Files, folders, patterns, s3:// or hf:// addresses.")
]
Model = Annotated[
    str | None,
    typer.Option("--model", "-m", help="The base: a name, a folder or a tokenizer file."),
]
Length = Annotated[
    int | None, typer.Option("--seq-len", min=16, help="Tokens of the longest sample.")
]
Forced = Annotated[
    Format | None, typer.Option("--format", help="What the rows are; else told from them.")
]
Templates = Annotated[
    list[str] | None,
    typer.Option("--columns", help="A template, such as 'user={question}'; one for each role."),
]


class Named(NamedTuple):
    """Files, and how their rows are to be read."""

    files: list[Input]
    format: Format | None
    columns: Columns | None


def named(files: list[str] | None, format: Format | None, columns: list[str] | None) -> Named:
    """
    Raises:
        InvalidInput: no file is named, a name stands for nothing, a template is wrong.
    """
    from modiste.cli.data_convert import apart
    from modiste.prepare.formats.columns import Columns

    if not files:
        raise InvalidInput("name at least one file")
    places, templates = apart(files, columns or [])
    return Named(inputs(places), format, Columns.parse(templates) if templates else None)


def inputs(places: list[str]) -> list[Input]:
    """Every file that a name stands for, in order."""
    from modiste.prepare.checks.findings import Input
    from modiste.prepare.sources.locate import locate

    return [Input(path, filename) for path, filename in locate(places)]


def length_for(tokens: Tokens | None, asked: int | None) -> int | None:
    """As a job would choose: what was asked, else what the base reads, up to the plan's bound."""
    from modiste.tune.sizing import DEFAULT_LONGEST

    if asked is not None or tokens is None or tokens.base is None:
        return asked
    return min(tokens.base.max_context_length, DEFAULT_LONGEST)


def whose(tokens: Tokens, seq_len: int | None) -> str:
    """The line that says which tokenizer counted, and up to what length."""
    length = f"; sequences of at most {seq_len:,}" if seq_len else ""
    return printable(f"tokens: {tokens.said}{length}")


def progress() -> Callable[[Progress], None] | None:
    """A line that tells how far a large file is read, where a person watches."""
    if not sys.stderr.isatty():
        return None

    def show(done: Progress) -> None:
        if done.total_bytes < WORTH_WATCHING_BYTES:
            return
        share = done.done_bytes / done.total_bytes
        text = f"{done.filename}: {share:.0%} of {size(done.total_bytes)}" if share < 1 else ""
        typer.echo(f"\r\x1b[K{printable(text)}", nl=False, err=True)

    return show


def processors() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1
