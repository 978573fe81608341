"""`modiste data check`: whether files may be trained on, and everything that keeps them from it.

Exit code 0 when every row may be trained on, 1 when any may not, 2 when the question was wrong.
With `--html` the same report is one page that needs no network, with mask previews and statistics.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import typer

import modiste
from modiste.cli.data_options import (
    Files,
    Forced,
    Length,
    Model,
    Named,
    Templates,
    inputs,
    length_for,
    named,
    processors,
    progress,
    whose,
)
from modiste.cli.output import AsJson, print_json, printable, say
from modiste.errors import InvalidInput
from modiste.prepare.formats.kinds import Format

if TYPE_CHECKING:
    from modiste.cli.tokenizers import Tokens
    from modiste.cli.train_yaml import TrainYaml
    from modiste.prepare.checks.findings import Input
    from modiste.prepare.statistics import Statistics

app = typer.Typer(add_completion=False)


class Asked(NamedTuple):
    train: Named
    validation: list[Input]
    tokens: Tokens | None
    seq_len: int | None
    yaml: TrainYaml | None = None


@app.command()
def check(
    files: Files = None,
    model: Model = None,
    validation: Annotated[
        list[str] | None, typer.Option("--validation", help="Files to evaluate on; repeatable.")
    ] = None,
    format: Forced = None,
    columns: Templates = None,
    seq_len: Length = None,
    over_length: Annotated[
        Literal["refuse", "split"],
        typer.Option(help="Longer conversations: refuse them, or split at turns."),
    ] = "refuse",
    train_yaml: Annotated[
        Path | None, typer.Option("--train-yaml", help="A training file of mistral-finetune.")
    ] = None,
    fix: Annotated[
        bool, typer.Option("--fix", help="First mend what is safe, in place, with a backup.")
    ] = False,
    html: Annotated[
        Path | None, typer.Option("--html", help="Write the report as one HTML page.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes; default one for each processor.")
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Tell every problem, not the first few of a kind.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Whether files may be trained on: every problem with its line, and what to do about it."""
    from modiste.prepare.checks.findings import check_files

    if train_yaml is not None:
        if files:
            raise InvalidInput("--train-yaml names the files itself; leave the others out")
        asked = _asked_by_yaml(train_yaml, validation, model, seq_len, format)
    else:
        asked = _asked(named(files, format, columns), validation, model, seq_len)
    fixed = _fixed([*asked.train.files, *asked.validation], quiet=as_json) if fix else []
    found = check_files(
        asked.train.files,
        validation=asked.validation,
        renderer=asked.tokens.renderer if asked.tokens else None,
        seq_len=asked.seq_len,
        over_length=over_length,
        workers=workers or processors(),
        format=asked.train.format,
        columns=asked.train.columns,
        on_progress=progress(),
    )
    report: dict[str, Any] = {"modiste_version": modiste.__version__, **found.to_json()}
    if fix:
        report["fixed"] = fixed
    if asked.tokens:
        report["tokenizer"] = {"model": asked.tokens.name, "files": asked.tokens.said}
        report["seq_len"] = asked.seq_len
    if asked.yaml and asked.tokens:
        counted = [each.n_tokens for each in found.train]
        report["expected"] = _expected(asked.yaml, asked.tokens, counted)
    if html:
        planned = _planned(asked, [each.statistics for each in found.train])
        _write_html(html, report, asked, planned)
    _print(report, asked, everything=everything, as_json=as_json)
    if not found.ok:
        raise typer.Exit(1)


def _asked(
    train: Named, validation: list[str] | None, model: str | None, seq_len: int | None
) -> Asked:
    from modiste.cli import tokenizers

    evaluated = inputs(validation) if validation else []
    tokens = tokenizers.resolve(model) if model is not None else None
    return Asked(train, evaluated, tokens, length_for(tokens, seq_len))


def _asked_by_yaml(
    path: Path,
    validation: list[str] | None,
    model: str | None,
    seq_len: int | None,
    format: Format | None,
) -> Asked:
    from modiste.cli import tokenizers, train_yaml
    from modiste.prepare.checks.findings import Input

    read = train_yaml.read(path)
    for note in read.notes:
        say(f"{path}: {note}")

    def listed(sources: tuple[train_yaml.Source, ...]) -> list[Input]:
        return [Input(file, str(file)) for source in sources for file in source.files]

    train = Named(listed(read.train), format, None)
    evaluated = [*listed(read.validation), *(inputs(validation) if validation else [])]
    tokens = tokenizers.resolve(model) if model else tokenizers.of_folder_elsewhere(read.model)
    return Asked(train, evaluated, tokens, seq_len or read.seq_len, read)


def _fixed(files: list[Input], *, quiet: bool) -> list[dict[str, Any]]:
    """What was mended; a file that cannot be mended in place is said and stays as it is."""
    from modiste.cli.data_fix import print_fix
    from modiste.prepare.fix import fix_file

    told = []
    for file in files:
        try:
            if "://" in file.filename:
                raise InvalidInput(f"{file.filename} lies elsewhere: copy it here to repair it")
            report = fix_file(file.path, filename=file.filename)
        except InvalidInput as error:
            told.append({"file": file.filename, "error": error.message})
            say(f"not repaired: {printable(error.message)}")
            continue
        told.append(report.to_json())
        if not quiet:
            print_fix(report)
    return told


def _expected(asked: TrainYaml, tokens: Tokens, n_tokens: list[int]) -> dict[str, Any]:
    """`n_tokens` of each file, in the order of the sources."""
    from modiste.cli import train_yaml

    left = iter(n_tokens)
    counted = {s.name: sum(next(left) for _ in s.files) for s in asked.train}
    n_gpus = train_yaml.count_gpus()
    base = tokens.base
    pace = train_yaml.speed(
        asked.model,
        n_gpus=n_gpus,
        n_parameters=base.n_parameters if base else None,
        width=base.hidden_size if base else None,
    )
    figures = train_yaml.expected(asked, counted, n_gpus=n_gpus, tokens_per_s=pace.tokens_per_s)
    return {**figures, "eta_rests_on": pace.rests_on}


def _planned(asked: Asked, counted: list[Statistics]) -> list[dict[str, str]]:
    """What a training would take; nothing where no tokens were counted."""
    from modiste import settings
    from modiste.cli import estimates
    from modiste.prepare.statistics import Statistics

    if asked.tokens is None:
        return []
    total = Statistics(seq_len=asked.seq_len)
    for each in counted:
        total.merge(each)
    wish = estimates.Wish(seq_len=asked.seq_len)
    texts = estimates.sample_of(asked.train)
    made = estimates.estimates(total, asked.tokens, texts=texts, wanted=settings.load(), wish=wish)
    return [estimates.shown(each) for each in made]


def _write_html(
    path: Path, report: dict[str, Any], asked: Asked, planned: list[dict[str, str]]
) -> None:
    """The report as a page, with a preview of each file's rows."""
    from modiste.cli import tokenizers
    from modiste.prepare.preview import preview
    from modiste.prepare.report_html import page

    tokens = asked.tokens or tokenizers.resolve(None)

    def shown(file: dict[str, Any], source: Input) -> dict[str, Any]:
        made = preview(
            source.path,
            filename=source.filename,
            renderer=tokens.renderer,
            seq_len=asked.seq_len,
            format=asked.train.format,
            columns=asked.train.columns,
        )
        return file | {"preview": made.to_json() | {"tokens_of": tokens.said}}

    pairs = zip(report["files"], [*asked.train.files, *asked.validation], strict=True)
    files = [shown(file, source) for file, source in pairs]
    text = page(report | {"files": files}, estimates=planned)
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InvalidInput(f"{path}: cannot be written: {error.strerror}", param="html") from None
    say(f"The report is in {path}")


def _print(report: dict[str, Any], asked: Asked, *, everything: bool, as_json: bool) -> None:
    from modiste.cli.report_text import print_report

    if as_json:
        print_json(report)
        return
    if asked.tokens:
        say(whose(asked.tokens, asked.seq_len))
    print_report(report, everything=everything)
    if "expected" in report:
        typer.echo("expected:")
        print_json(report["expected"])
