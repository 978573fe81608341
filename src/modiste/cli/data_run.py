"""`modiste data run`: many stages from one YAML file, each done once."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from modiste.cli.data_dedup import local_embedder
from modiste.cli.output import AsJson, duration, print_json, print_table, say

if TYPE_CHECKING:
    from modiste.prepare.curate.pipeline import Event
    from modiste.prepare.curate.stage import Stage

app = typer.Typer(add_completion=False)


@app.command()
def run(
    pipeline: Annotated[Path, typer.Argument(help="YAML with inputs, stages and output.")],
    clean: Annotated[
        bool, typer.Option("--clean", help="Afterwards forget stages that were not used.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Many stages from one file; what was done before is not redone, also after a crash."""
    from modiste.prepare.curate import pipeline as pipelines
    from modiste.prepare.curate.steps import read_yaml

    dataset = pipelines.run(
        read_yaml(pipeline),
        stages=_stages(),
        clean=clean,
        on_event=lambda event: None if as_json else _tell(event),
    )
    if as_json:
        known = [done.known for done in dataset.done]
        print_json({**dataset.manifest, "changed": dataset.changed, "known": known})
        return
    rows = [
        (part["file"], f"{part['rows']:,}", part["format"])
        for part in dataset.manifest["outputs"].values()
    ]
    print_table(["file", "rows", "format"], rows, empty="")
    for done in dataset.done:
        for warning in done.report.get("warnings", ()):
            say(f"{done.stage}: {warning}")
    state = "written to" if dataset.changed else "as it was in"
    typer.echo(f"{dataset.name} {dataset.manifest['version']} {state} {dataset.folder}")


def _tell(event: Event) -> None:
    place = f"[{event.number}/{event.total}] {event.stage}"
    if event.what == "start":
        say(f"{place} …")
        return
    rows = ", ".join(f"{name} {n:,}" for name, n in event.rows.items()) or "no rows changed"
    how = "done before" if event.what == "known" else duration(event.seconds)
    say(f"{place}: {rows} ({how})")


def _stages() -> dict[str, Stage]:
    """Stages that can compare meanings by a base on this machine; it is loaded when asked for."""
    from modiste.prepare.curate.contamination import DecontaminateStage
    from modiste.prepare.curate.dedup import DedupStage
    from modiste.prepare.curate.variety import VarietyStage

    made: tuple[Stage, ...] = (
        DedupStage(local_embedder),
        DecontaminateStage(local_embedder),
        VarietyStage(local_embedder),
    )
    return {stage.name: stage for stage in made}
