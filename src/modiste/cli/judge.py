"""`modiste judge`: which model may judge others, by how it agrees with people."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from modiste import settings
from modiste.cli import judge_checks
from modiste.cli.judge_checks import AT_ONCE
from modiste.cli.output import AsJson, print_json, say
from modiste.errors import InvalidInput

if TYPE_CHECKING:
    from modiste.cli.judge_files import Judgements
    from modiste.cli.models_over_http import HttpModels
    from modiste.evaluate.judges.card import Judged
    from modiste.evaluate.judges.experts import ExpertPair
    from modiste.evaluate.judges.pairs import PairVerdict
    from modiste.evaluate.judges.specs import AnyJudgeSpec

app = typer.Typer(
    add_completion=False,
    help="Judges: calibrate, controls, steps, correct, ratings.",
    no_args_is_help=True,
)

app.add_typer(judge_checks.app)


@app.callback()
def root() -> None:
    """Judges of answers, held against experts."""


@app.command()
def calibrate(
    pairs: Annotated[
        Path,
        typer.Option(help="Pairs that experts have judged: lines {id, question, a, b, votes}."),
    ],
    judges: Annotated[
        list[Path] | None,
        typer.Argument(help="Judges as YAML: kind, model, criteria; asked through the server."),
    ] = None,
    human: Annotated[
        list[str] | None,
        typer.Option(
            "--human", help="A field with one expert's votes; may be given several times."
        ),
    ] = None,
    a: Annotated[str, typer.Option("--a", help="Field of the first answer.")] = "a",
    b: Annotated[str, typer.Option("--b", help="Field of the second answer.")] = "b",
    cluster: Annotated[
        str | None, typer.Option(help="Template: pairs with the same text share a source.")
    ] = None,
    verdicts: Annotated[
        list[Path] | None,
        typer.Option("--verdicts", help="Verdicts that were given before; no model is asked."),
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=2, help="So many pairs, drawn by chance.")
    ] = None,
    retest: Annotated[
        int, typer.Option(min=0, help="Pairs that are judged a second time, to see what changes.")
    ] = 30,
    save_verdicts: Annotated[
        Path | None, typer.Option("--save-verdicts", help="A folder for every verdict.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write the cards here, as JSON.")
    ] = None,
    at_once: Annotated[int, typer.Option(min=1, max=64, help="Requests at a time.")] = AT_ONCE,
    seed: int = 0,
    as_json: AsJson = False,
) -> None:
    """Hold judges against experts on the same pairs, and say which one to take."""
    from modiste.cli.judge_files import Layout, read_pairs
    from modiste.cli.judge_text import print_calibration
    from modiste.evaluate.judges.calibration import CALIBRATIONS, calibrated
    from modiste.prepare.curate.whole import write_json

    if not judges and not verdicts:
        raise InvalidInput("name a judge's YAML file, or --verdicts with what one said before")
    layout = Layout(a, b, tuple(human or ()), cluster=cluster)
    found = read_pairs(pairs, layout, limit=limit, seed=seed)
    judged = [_stored(path, found) for path in verdicts or ()]
    judged += _asked(judges or (), found, retest, at_once, save_verdicts)
    calibration = calibrated(judged, found.pairs, found.experts, clusters=found.clusters, seed=seed)
    told = CALIBRATIONS.dump_python(calibration, mode="json")
    if output is not None:
        write_json(told, output)
    if as_json:
        print_json(told)
    else:
        print_calibration(calibration)
        if output is not None:
            typer.echo(f"cards: {output}")


@app.command()
def correct(
    verdicts: Annotated[Path, typer.Option(help="A judge's verdicts on all pairs.")],
    labels: Annotated[
        Path, typer.Option(help="The pairs that people have judged too: {id, a, b, votes}.")
    ],
    human: Annotated[
        list[str] | None, typer.Option("--human", help="A field with one expert's votes.")
    ] = None,
    a: Annotated[str, typer.Option("--a", help="Field of the first answer.")] = "a",
    b: Annotated[str, typer.Option("--b", help="Field of the second answer.")] = "b",
    limit: Annotated[
        int | None, typer.Option(min=2, help="So many of the people's pairs, drawn by chance.")
    ] = None,
    seed: int = 0,
    as_json: AsJson = False,
) -> None:
    """The win rate of b by a judge on many pairs, set right by a few that people judged."""
    from modiste.cli.judge_files import Layout, read_pairs, read_verdicts
    from modiste.cli.judge_text import print_corrected
    from modiste.evaluate.judges.corrected import CORRECTED, corrected

    layout = Layout(a, b, tuple(human or ()))
    people = read_pairs(labels, layout, limit=limit, seed=seed)
    found = corrected(read_verdicts(verdicts), people.pairs)
    if as_json:
        print_json(CORRECTED.dump_python(found, mode="json"))
    else:
        print_corrected(found)


@app.command()
def ratings(
    file: Annotated[Path, typer.Argument(help="Rows with two ratings of the same answer.")],
    judge: Annotated[
        str, typer.Option(help="Template of the judge's rating, such as `{{scores.judge}}`.")
    ],
    human: Annotated[str, typer.Option(help="Template of people's.")],
    group: Annotated[
        str | None, typer.Option(help="Template: what the answer answers; adds that level.")
    ] = None,
    system: Annotated[
        str | None, typer.Option(help="Template: whose answer it is; adds that level.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """How a judge's ratings go with people's: over all items, within groups, between systems."""
    from modiste.cli.judge_files import read_ratings
    from modiste.cli.judge_text import print_levels
    from modiste.evaluate.judges.ratings import LEVELS, levels_of

    found = read_ratings(file, judge, human, group=group, system=system)
    levels = levels_of(found.judge, found.people, groups=found.groups, systems=found.systems)
    if as_json:
        print_json(LEVELS.dump_python(levels, mode="json"))
    else:
        print_levels(levels)


def _stored(path: Path, found: Judgements) -> Judged:
    from modiste.cli.judge_files import read_verdicts, with_lengths
    from modiste.evaluate.judges.card import Judged

    known = {pair.pair.item.key for pair in found.pairs}
    verdicts = [verdict for verdict in read_verdicts(path) if verdict.key in known]
    name = path.name.removesuffix(".gz").removesuffix(".jsonl")
    return Judged(name, f"verdicts of {path.name}", with_lengths(verdicts, found.pairs))


def _asked(
    paths: Sequence[Path], found: Judgements, retest: int, at_once: int, folder: Path | None
) -> list[Judged]:
    """Every judge on every pair, through the server."""
    if not paths:
        return []
    from modiste.cli.models_over_http import HttpModels
    from modiste.client import connect
    from modiste.evaluate.judges.specs import read_judge

    specs = [read_judge(path) for path in paths]
    names = [spec.name for spec in specs]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InvalidInput(f"two judges are called {twice[0]!r}; give one a name of its own")
    for spec in specs:
        for pair in found.pairs:
            spec.material(pair.pair.item)
    with (
        connect(settings.load(), needs_engine=True, report=say) as client,
        HttpModels(client, at_once=at_once) as models,
    ):
        return asyncio.run(_in_turn(specs, found.pairs, models, retest, at_once, folder))


async def _in_turn(
    specs: Sequence[AnyJudgeSpec],
    pairs: Sequence[ExpertPair],
    models: HttpModels,
    retest: int,
    at_once: int,
    folder: Path | None,
) -> list[Judged]:
    """One after the other; each verdict is in its file before the next is asked for."""
    from modiste.evaluate.judges.calibration import judged_by

    judged: list[Judged] = []
    for spec in specs:
        say(f"{spec.name}: {len(pairs)} pairs …")
        with _kept(folder, spec.name) as keep:
            told = judged_by(
                spec, pairs, models, retest=retest, concurrency=at_once, on_verdict=keep
            )
            judged.append(await told)
    return judged


@contextmanager
def _kept(folder: Path | None, name: str) -> Iterator[Callable[[PairVerdict], None]]:
    """What writes each verdict of a judge to its file as it comes."""
    from modiste.evaluate.judges.pairs import VERDICTS

    if folder is None:
        yield lambda verdict: None
        return
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f"{name}.jsonl").open("wb") as file:

        def keep(verdict: PairVerdict) -> None:
            file.write(VERDICTS.dump_json(verdict) + b"\n")
            file.flush()

        yield keep
