"""`modiste judge controls` and `steps`: what a judge falls for, and what it looks at."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
import yaml

from modiste import settings
from modiste.cli.output import AsJson, print_json, print_table, say
from modiste.errors import Conflict, InvalidInput

if TYPE_CHECKING:
    from modiste.evaluate.items import Item
    from modiste.evaluate.judges.controls import Controlled
    from modiste.evaluate.judges.specs import AnyJudgeSpec

app = typer.Typer()
AT_ONCE = 8


@app.command()
def controls(
    judges: Annotated[list[Path], typer.Argument(help="Judges as YAML: kind, model, criteria.")],
    rows: Annotated[Path, typer.Option(help="Rows with an answer, and what the judge is shown.")],
    answer: Annotated[str, typer.Option(help="Template of the answer.")] = "{{a}}",
    n: Annotated[int, typer.Option("-n", min=1, help="Answers, drawn by chance.")] = 20,
    control: Annotated[
        list[str] | None,
        typer.Option(help="Only this one: same, planted, padded, plain; several times for more."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the results here, as JSON.")
    ] = None,
    at_once: Annotated[int, typer.Option(min=1, max=64, help="Requests at a time.")] = AT_ONCE,
    seed: int = 0,
    as_json: AsJson = False,
) -> None:
    """Show judges answers beside the same ones changed in ways that must earn nothing."""
    from modiste.evaluate.judges.controls import CONTROLLED, CONTROLS
    from modiste.evaluate.judges.specs import read_judge
    from modiste.prepare.curate.whole import write_json

    wanted = tuple(control or CONTROLS)
    if unknown := [name for name in wanted if name not in CONTROLS]:
        raise InvalidInput(
            f"--control {unknown[0]!r} is none of {', '.join(CONTROLS)}", param="control"
        )
    specs = [read_judge(path) for path in judges]
    answers = _answers(rows, answer, n, seed)
    for spec in specs:
        for item, _ in answers:
            spec.material(item)
    found = _asked(specs, answers, wanted, at_once)
    told = CONTROLLED.dump_python(found, mode="json")
    if output is not None:
        write_json(told, output)
    if as_json:
        print_json(told)
    else:
        _print_controls(found)


@app.command()
def steps(
    judge: Annotated[Path, typer.Argument(help="A judge of kind rubric, as YAML.")],
    as_json: AsJson = False,
) -> None:
    """Let a rubric's judge write the steps it grades by (G-Eval); read them before use."""
    from modiste.cli.models_over_http import HttpModels
    from modiste.client import connect
    from modiste.evaluate.judges.pointwise import RubricSpec, written_steps
    from modiste.evaluate.judges.specs import read_judge

    spec = read_judge(judge)
    if not isinstance(spec, RubricSpec):
        raise InvalidInput(
            f"{judge}: kind is {spec.kind}; only judges of kind rubric have steps", param="kind"
        )
    with (
        connect(settings.load(), needs_engine=True, report=say) as client,
        HttpModels(client, at_once=1) as models,
    ):
        reply = asyncio.run(written_steps(spec, models))
    if reply.value is None:
        raise Conflict(f"{spec.model} wrote no steps ({reply.status.value}): {reply.reason}")
    if as_json:
        print_json(reply.value)
    else:
        typer.echo(yaml.safe_dump(reply.value, allow_unicode=True, width=10_000).rstrip())
        say(f"Read them, change what you like, and put them in {judge}.")


def _answers(path: Path, template: str, n: int, seed: int) -> list[tuple[Item, str]]:
    from modiste.evaluate.dataset import items_in
    from modiste.evaluate.suite import Data
    from modiste.evaluate.template import Template

    shown = Template(template, param="answer")
    items = items_in(path, Data(path=str(path), limit=n, seed=seed), name=path.name)
    return [(item, shown.render(item.row)) for item in items]


def _asked(
    specs: Sequence[AnyJudgeSpec],
    answers: Sequence[tuple[Item, str]],
    wanted: Sequence[str],
    at_once: int,
) -> list[Controlled]:
    from modiste.cli.models_over_http import HttpModels
    from modiste.client import connect
    from modiste.evaluate.judges.controls import controlled

    async def in_turn(models: HttpModels) -> list[Controlled]:
        found: list[Controlled] = []
        for spec in specs:
            say(f"{spec.name}: {len(answers)} answers, {len(wanted)} controls …")
            told = controlled(spec, answers, models, controls=wanted, concurrency=at_once)
            found.append(await told)
        return found

    with (
        connect(settings.load(), needs_engine=True, report=say) as client,
        HttpModels(client, at_once=at_once) as models,
    ):
        return asyncio.run(in_turn(models))


def _print_controls(found: Sequence[Controlled]) -> None:
    from modiste.cli.judge_text import estimate

    for judge in found:
        rows = [
            (each.control, each.means, estimate(each.taken_in), each.taken_in.n)
            if each.taken_in
            else (each.control, each.means, "–", 0)
            for each in judge.results
        ]
        typer.echo(judge.judge)
        print_table(["control", "how often it", "share", "n"], rows, empty="", numbers=("n",))
        for each in judge.results:
            if each.n_not_made:
                say(f"{each.control}: cannot be made of {each.n_not_made} of the answers")
            if each.n_unscored:
                say(f"{each.control}: {each.n_unscored} pairs have no verdict")
