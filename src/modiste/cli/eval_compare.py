"""`modiste eval compare`, `report`, `export`: runs against each other, on a page, in a folder.

A run is the id of one on the server, or a folder that `export` wrote: then no server is asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from modiste import settings
from modiste.cli.eval_inputs import OneRun, loaded
from modiste.cli.gate import (
    Junit,
    Markdown,
    checked,
    exit_with,
    say_gate,
    write_results,
    write_text,
)
from modiste.cli.output import AsJson, print_json, print_table, printable, say, size
from modiste.cli.runs import RUNS
from modiste.client import connect
from modiste.errors import InvalidInput

if TYPE_CHECKING:
    from modiste.evaluate.comparison import Comparison
    from modiste.evaluate.differences import Difference
    from modiste.evaluate.judges.summary import PairSummary

app = typer.Typer(add_completion=False)

Metrics = Annotated[
    list[str] | None,
    typer.Option("--metric", help="SCORER or SCORER.METRIC, the deciding one first; all if none."),
]
Delta = Annotated[
    float | None,
    typer.Option(help="Smallest difference that matters, in the metric's unit (0.02 is 2 pp)."),
]
Gate = Annotated[Path | None, typer.Option(help="gate.yaml: what B has to show against A.")]
Judge = Annotated[
    Path | None, typer.Option(help="A judge's YAML: what it prefers, beside the figures.")
]
Html = Annotated[Path | None, typer.Option(help="Write a page that is read offline.")]


@app.command()
def compare(
    a: OneRun,
    b: OneRun,
    metric: Metrics = None,
    delta: Delta = None,
    gate: Gate = None,
    junit: Junit = None,
    markdown: Markdown = None,
    html: Html = None,
    judge: Judge = None,
    parts: Annotated[
        bool, typer.Option("--parts", help="Figures of single classes and fields as well.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Is B better than A on the same items? With --gate the exit code is 0 passed, 1 failed,
    2 not enough evidence."""
    from modiste.cli.eval_judged import judged, print_judged
    from modiste.evaluate.comparison import compare as compared
    from modiste.evaluate.markdown import summary_markdown

    if junit is not None and gate is None:
        raise InvalidInput("--junit writes a gate's conditions; give --gate too", param="junit")
    baseline, candidate = loaded([a, b])
    found = compared(baseline, candidate, metrics=metric or (), delta=delta)
    result = None if gate is None else checked(gate, [candidate], [baseline], None)
    if html is not None:
        from modiste.evaluate.report_comparison import comparison_page

        write_text(html, comparison_page(found))
    write_results(result, junit=junit, markdown=markdown, before=summary_markdown(found))
    preferred = None if judge is None else judged(judge, baseline, candidate)
    if as_json:
        told = {**_json(found), "gate": None if result is None else result.to_json()}
        print_json(told | ({} if preferred is None else {"judged": _told(preferred)}))
    else:
        _print(found, parts=parts)
        if preferred is not None:
            print_judged(preferred)
        say_gate(result)
    exit_with(result)


@app.command()
def report(
    run: OneRun,
    html: Annotated[Path, typer.Option(help="The page; an existing one is replaced.")],
) -> None:
    """One run as one page that is read offline: figures, slices, the worst answers."""
    from modiste.evaluate.report_html import run_page

    (found,) = loaded([run])
    write_text(html, run_page(found))
    typer.echo(f"{html}  ({size(html.stat().st_size)})")


@app.command()
def export(
    run: Annotated[str, typer.Argument(help="Id of a run.")],
    folder: Annotated[Path, typer.Argument(help="A new folder: run.json and samples.jsonl.")],
) -> None:
    """Keep a run in a folder that compare, report and gate check read without a server."""
    from modiste.evaluate.stored import write

    with connect(settings.load()) as client:
        told = client.get(f"{RUNS}/{run}")
        written = write(folder, told, client.content(f"{RUNS}/{run}/samples"))
    typer.echo(f"{folder}  ({size(written)})")


def _told(preferred: PairSummary) -> Any:
    from modiste.evaluate.judges.summary import SUMMARIES

    return SUMMARIES.dump_python(preferred, mode="json")


def _print(found: Comparison, *, parts: bool) -> None:
    from modiste.evaluate.markdown import notes_of

    say(printable(f"A  {found.baseline.subject}: {found.baseline.model_id}"))
    say(printable(f"B  {found.candidate.subject}: {found.candidate.model_id}"))
    primary = found.primary
    shown = [d for d in found.differences if parts or d is primary or not _is_part(d.kind.metric)]
    _print_table("metric", shown)
    if hidden := len(found.differences) - len(shown):
        say(f"{hidden} figures of single parts: --parts shows them")
    if found.slices:
        _print_table("slice", found.slices)
    _print_table("what answers take", found.expenses)
    for note in notes_of(found):
        if parts or not _is_part(note.partition(" is not compared")[0]):
            say(printable(f"note: {note}"))
    typer.echo(printable(f"{primary.kind.metric}: {primary.decision.sentence}"))


def _is_part(metric: str) -> bool:
    """`intent.f1.billing`: of one class or field."""
    return " " not in metric and metric.count(".") > 1


def _print_table(head: str, differences: Sequence[Difference]) -> None:
    from modiste.evaluate.differences import mark_told
    from modiste.evaluate.markdown import amount

    print_table(
        [head, "A", "B", "B − A", "95 % interval", "won/tied/lost", "n", "verdict"],
        [
            (
                each.name,
                amount(each, each.baseline),
                amount(each, each.candidate),
                *interval(each),
                each.counts,
                each.estimate.n if each.estimate else 0,
                str(each.verdict),
            )
            for each in differences
        ],
        empty="",
        numbers=("A", "B", "B − A", "n"),
    )
    if (said := mark_told(differences)) is not None:
        say(printable(said))


def interval(each: Difference) -> tuple[str, str]:
    """A difference, and the ends of its interval."""
    if each.estimate is None:
        return "–", ""
    factor, unit = each.kind.wording.factor, each.kind.wording.unit
    value, ci = each.estimate.value, each.estimate.ci
    ends = f"{ci.lo * factor:+.3g} … {ci.hi * factor:+.3g}"
    return f"{value * factor:+.3g} {unit}", ends


def _json(found: Comparison) -> dict[str, Any]:
    """Everything but the items themselves, of which the keys are told."""
    from modiste.evaluate.gate_result import numbers_of
    from modiste.evaluate.record import RECORD

    def told(each: Difference) -> dict[str, Any]:
        part = None if each.part is None else {"name": each.part[0], "value": each.part[1]}
        sentence = each.decision.sentence
        return {**numbers_of(each), "slice": part, "p_holm": each.p_holm, "sentence": sentence}

    return {
        "baseline": RECORD.dump_python(found.baseline, mode="json"),
        "candidate": RECORD.dump_python(found.candidate, mode="json"),
        "delta": found.delta,
        "items_in_both": found.n_both,
        "only_in_baseline": list(found.only_baseline),
        "only_in_candidate": list(found.only_candidate),
        "differences": [told(each) for each in found.differences],
        "slices": [told(each) for each in found.slices],
        "expenses": [told(each) for each in found.expenses],
        "not_compared": [{"metric": each.metric, "why": each.why} for each in found.not_compared],
        "notes": list(found.notes),
        "worst": [{"item": each.item.key, "gap": each.gap} for each in found.worst],
        "best": [{"item": each.item.key, "gap": each.gap} for each in found.best],
    }
