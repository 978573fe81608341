"""`modiste data variety`: how various rows are, and what they lack."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from modiste.cli.data_curate import Columns, Files, Forced, opened, settings_of
from modiste.cli.data_dedup import Base, Model, local_embedder
from modiste.cli.output import AsJson, print_fields, print_json, print_table, say

app = typer.Typer(add_completion=False)

BAR = 24
TOPICS_SHOWN = 12


@app.command()
def variety(
    files: Files,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the whole report here, as JSON.")
    ] = None,
    policy: Annotated[
        str | None, typer.Option(help="YAML of categories that rows should cover.")
    ] = None,
    reference: Annotated[
        str | None, typer.Option(help="Rows as they come in production: what do ours leave out?")
    ] = None,
    rows: Annotated[int, typer.Option("--rows", min=100, help="Rows looked at.")] = 20_000,
    clusters: Annotated[int | None, typer.Option(min=1, help="Topics to tell apart.")] = None,
    thin: Annotated[float, typer.Option(help="Share below which a value is thin.")] = 0.01,
    url: Annotated[
        str | None,
        typer.Option("--embeddings-url", help="Vectors of an endpoint instead of words …"),
    ] = None,
    model: Model = None,
    base: Base = None,
    seed: Annotated[int, typer.Option(help="Of the draw and of the topics.")] = 0,
    format: Forced = None,
    columns: Columns = None,
    as_json: AsJson = False,
) -> None:
    """Length, structure, tone, language, topics, a policy's cells; and where rows are thin."""
    from modiste.prepare.curate.stage import head
    from modiste.prepare.curate.variety import Variety, VarietyStage
    from modiste.prepare.curate.whole import write_json

    given = {"url": url, "model": model, "base": base}
    embeddings = {name: value for name, value in given.items() if value is not None}
    settings = settings_of(
        Variety,
        sample=rows,
        clusters=clusters,
        thin=thin,
        policy=policy,
        reference=reference,
        embeddings=embeddings or None,
        seed=seed,
    )
    inputs = opened(files, format, columns, mixed=True)
    stage = VarietyStage(local_embedder)
    found = stage.run(inputs, settings).report
    report = {**head(stage, settings, inputs), **found}
    if output:
        write_json(report, output)
    if as_json:
        print_json(report)
        return
    _print_tables(report)
    _print_topics(report)
    _print_scores(report)
    _print_thin(report)
    if output:
        typer.echo(f"report: {output}")


def _print_tables(report: Mapping[str, Any]) -> None:
    looked_at, n_rows = report["looked_at"], report["rows"]
    of = "" if looked_at == n_rows else f", {looked_at:,} of them drawn by chance"
    typer.echo(f"{n_rows:,} rows{of}")
    for name, table in report["tables"].items():
        shown = {value: n for value, n in table.items() if n}
        lines = [
            (value, f"{n:,}", f"{n / looked_at:.1%}", _bar(n, looked_at))
            for value, n in shown.items()
        ]
        print_table([name, "rows", "share", ""], lines, empty="")


def _bar(n: int, total: int) -> str:
    return "█" * round(BAR * n / total) or "▏"


def _print_topics(report: Mapping[str, Any]) -> None:
    topics = report["topics"]["clusters"]
    lines = [
        (topic["name"], f"{topic['rows']:,}", f"{topic['share']:.1%}", topic["examples"][0])
        for topic in topics[:TOPICS_SHOWN]
    ]
    print_table(["topic", "rows", "share", "such as"], lines, empty="")
    if len(topics) > TOPICS_SHOWN:
        typer.echo(f"… and {len(topics) - TOPICS_SHOWN} smaller topics\n")


def _print_scores(report: Mapping[str, Any]) -> None:
    alike, different, topics = report["likeness"], report["distinct"], report["topics"]
    fields: list[tuple[str, object]] = [
        (
            "Vendi score",
            f"{alike['vendi']:.1f} of {alike['compared']:,} prompts ({alike['vendi_share']:.2f})",
        ),
        ("mean cosine", f"{alike['mean_cosine']:.3f}"),
        ("nearest other", f"{alike['nearest_cosine']:.3f} (median cosine)"),
        (
            "topics",
            f"largest {topics['largest_share']:.0%}, evenness {topics['evenness']:.2f}",
        ),
    ]
    for side in ("prompts", "answers"):
        told = [f"{n}: {share:.3f}" for n, share in different[side].items() if share is not None]
        fields.append((f"distinct in {side}", ", ".join(told)))
    if against := report["reference"]:
        fields.append(("covers", f"{against['covered']:.0%} of {report['settings']['reference']}"))
        fields += [
            (
                f"they have {miss['dimension']}",
                f"{miss['value']} ({miss['theirs']:,}, ours {miss['rows']:,})",
            )
            for miss in against["missing"]
        ]
    print_fields(fields)
    typer.echo()


def _print_thin(report: Mapping[str, Any]) -> None:
    """One line for each dimension, what is not there at all first."""
    named: dict[str, list[str]] = {}
    for spot in report["thin"]:
        wanted = f", {spot['wanted']:,} wanted" if "wanted" in spot else ""
        named.setdefault(spot["dimension"], []).append(
            f"{spot['value']} ({spot['rows']:,}{wanted})"
        )
    if named:
        typer.echo("thin")
        print_fields([(f"  {dimension}", ", ".join(values)) for dimension, values in named.items()])
    for warning in report["warnings"]:
        say(f"warning: {warning}")
