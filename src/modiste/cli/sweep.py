"""`modiste sweep SWEEP.yaml`: a grid of real tunings, each evaluated, one chosen and asked again.

What was made is kept in `OUT/sweep.json` as soon as it is asked for, so a sweep that was
interrupted goes on where it stopped when it is run again: no cell is tuned twice, no suite asked
twice.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from modiste import settings
from modiste.cli import follow, jobs, runs, tune, tune_inputs
from modiste.cli.eval_compare import interval
from modiste.cli.output import AsJson, print_json, print_table, say
from modiste.cli.suite_file import sent, suite_in
from modiste.client import Client, connect
from modiste.errors import InvalidInput, ModisteError, NotFound
from modiste.evaluate.comparison import compare
from modiste.evaluate.sweep import (
    Cell,
    Measured,
    Row,
    Selection,
    SweepSpec,
    cells,
    confirmed,
    select,
)
from modiste.prepare.checked import checked_yaml
from modiste.settings import Settings
from modiste.tune import config as tuning
from modiste.tune.spec import TuneSpec

app = typer.Typer(add_completion=False)

BASE = "base"
"""What the model that is tuned is called among the cells."""


@app.command()
def sweep(
    spec_file: Annotated[Path, typer.Argument(metavar="SWEEP.yaml", help="Grid and suites.")],
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder of state and page; else <name>-sweep.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Tune every cell of a grid, evaluate each, choose one that forgets nothing, confirm it."""
    spec = _spec(spec_file)
    folder = spec_file.resolve().parent
    grid = cells(spec.grid)
    specs = _tunings(folder / spec.tune, grid)
    wanted = settings.load()
    with connect(wanted, needs_engine=True, report=say) as client:
        ran = _Sweep(client, wanted, spec, folder, out or Path(f"{spec.name}-sweep"), as_json)
        measured = ran.measured(grid, specs)
        selection = select(measured, delta=spec.delta)
        told = ran.confirmation(selection)
    page = ran.write(selection, told)
    if as_json:
        print_json(_as_json(selection, told))
    else:
        _print(selection, told)
        say(f"The page with plots: {page}")
    if selection.winner is None or (told is not None and not told[0]):
        raise typer.Exit(1)


def _spec(path: Path) -> SweepSpec:
    try:
        return checked_yaml(SweepSpec, path.read_text(encoding="utf-8"), file=str(path))
    except FileNotFoundError:
        raise NotFound(f"There is no file {path}.", param="spec") from None


def _tunings(config: Path, grid: tuple[Cell, ...]) -> list[TuneSpec]:
    """The configuration of every cell.

    Raises:
        InvalidInput: what is wrong with any of them, all of it.
    """
    found: list[TuneSpec] = []
    problems: list[str] = []
    for cell in grid:
        sets = [f"{name}={json.dumps(value)}" for name, value in cell.values.items()]
        try:
            found.append(tuning.load(config, sets).spec)
            tune_inputs.refuse_undecidable(found[-1])
        except InvalidInput as error:
            problems.append(f"{cell.name}: {error.message}")
    if problems:
        raise InvalidInput("; ".join(problems), param="grid")
    return found


class _Sweep:
    """What has been asked for so far, kept on disk before it is waited for."""

    def __init__(
        self,
        client: Client,
        wanted: Settings,
        spec: SweepSpec,
        folder: Path,
        out: Path,
        quiet: bool,
    ) -> None:
        self._client, self._wanted, self._spec = client, wanted, spec
        self._folder, self._out, self._quiet = folder, out, quiet
        out.mkdir(parents=True, exist_ok=True)
        self._file = out / "sweep.json"
        self._state = self._kept(spec)

    def measured(self, grid: tuple[Cell, ...], specs: list[TuneSpec]) -> list[Measured]:
        """Every cell that was tuned and evaluated; cells that failed are said and left out."""
        suites = [self._spec.target, *self._spec.guards]
        prepared = [tune_inputs.prepared(self._client, self._wanted, each) for each in specs]
        base = {suite: self._asked(BASE, prepared[0].model, suite) for suite in suites}
        for cell, tuned in zip(grid, prepared, strict=True):
            self._job_of(cell, tuned)
        found = []
        for at, cell in enumerate(grid, start=1):
            try:
                model = self._tuned(cell, f"{at}/{len(grid)}")
                found.append(self._compared(cell, model, suites, base))
            except ModisteError as error:
                say(f"{cell.name}: {error.message}")
        return found

    def confirmation(self, selection: Selection) -> tuple[bool, str] | None:
        """The winner and its base on fresh items; None where none are given or nobody won."""
        fresh, winner = self._spec.fresh, selection.winner
        if fresh is None or winner is None:
            return None
        suites = [fresh.target, *fresh.guards]
        base_model = winner.measured.target.baseline.model
        base = {suite: self._asked(BASE, base_model, suite) for suite in suites}
        again = self._compared(winner.measured.cell, winner.measured.model, suites, base)
        return confirmed(selection, again, delta=self._spec.delta)

    def write(self, selection: Selection, told: tuple[bool, str] | None) -> Path:
        from modiste.evaluate.sweep_html import sweep_page

        target = self._out / "sweep.html"
        target.write_text(sweep_page(self._spec, selection, told), encoding="utf-8")
        return target

    def _compared(
        self, cell: Cell, model: str, suites: list[str], base: Mapping[str, str]
    ) -> Measured:
        asked = {suite: self._asked(cell.name, model, suite) for suite in suites}
        pairs = {
            suite: compare(self._ended(base[suite]), self._ended(run_id))
            for suite, run_id in asked.items()
        }
        target = pairs.pop(suites[0])
        return Measured(cell, model, target, pairs)

    def _job_of(self, cell: Cell, tuned: TuneSpec) -> str:
        known: dict[str, str] = self._state["jobs"]
        if cell.name not in known:
            body = tune.request_body(self._client, tuned, quiet=True)
            known[cell.name] = str(self._client.post(jobs.JOBS, body)["id"])
            self._keep()
        return known[cell.name]

    def _tuned(self, cell: Cell, place: str) -> str:
        job_id = self._state["jobs"][cell.name]
        if not self._quiet:
            say(f"{place} {cell.name}: job {job_id}")
        job = follow.follow(self._client, job_id, quiet=self._quiet).job
        if (failed := follow.failure(job)) is not None:
            raise failed
        return str(job["fine_tuned_model"])

    def _asked(self, name: str, model: str, suite: str) -> str:
        """The id of the run of this model on this suite."""
        known: dict[str, str] = self._state["runs"]
        key = f"{suite}: {name}"
        if key not in known:
            path = self._folder / suite
            spec = suite_in(path)
            spec["models"] = {"base" if name == BASE else "cell": {"model": model}}
            body = {"suite": sent(self._client, spec, folder=path.parent)}
            known[key] = str(self._client.post(runs.RUNS, body)["data"][0]["id"])
            self._keep()
        return known[key]

    def _ended(self, run_id: str) -> Any:
        runs.follow(self._client, run_id, quiet=True)
        return runs.fetched(self._client, run_id)

    def _kept(self, spec: SweepSpec) -> dict[str, Any]:
        """
        Raises:
            InvalidInput: the folder holds another sweep.
        """
        asked = spec.model_dump(mode="json")
        if not self._file.exists():
            return {"spec": asked, "jobs": {}, "runs": {}}
        state: dict[str, Any] = json.loads(self._file.read_text(encoding="utf-8"))
        changed = [name for name in asked if state["spec"].get(name) != asked[name]]
        if changed and set(changed) - {"grid", "fresh"}:
            raise InvalidInput(
                f"{self._file} is of another sweep ({', '.join(changed)} differs); name another "
                "folder with --out",
                param="out",
            )
        return state | {"spec": asked}

    def _keep(self) -> None:
        beside = self._file.with_suffix(".new")
        beside.write_text(json.dumps(self._state, indent=2), encoding="utf-8")
        beside.replace(self._file)


def _print(selection: Selection, told: tuple[bool, str] | None) -> None:
    print_table(
        ["cell", "target", "gain", "95 % interval", "verdict", "guards", "model"],
        [_shown(row, selection) for row in selection.rows],
        empty="No cell was tuned and evaluated.",
        numbers=("target", "gain"),
    )
    typer.echo(selection.why)
    if told is not None:
        typer.echo(told[1])
    elif selection.winner is not None:
        say("It was chosen as the best of several, which flatters it: `fresh` suites confirm it.")


def _shown(row: Row, selection: Selection) -> tuple[str, ...]:
    primary = row.measured.target.primary
    guards = "; ".join(
        f"{guard.suite}: {interval(guard.difference)[0]}, {guard.told}" for guard in row.guards
    )
    value = "–" if primary.candidate is None else runs.shown(primary.candidate, primary.kind.unit)
    chosen = " ←" if row is selection.winner else ""
    return (
        row.measured.cell.name + chosen,
        value,
        *interval(primary),
        str(primary.verdict),
        guards or "none",
        row.measured.model,
    )


def _as_json(selection: Selection, told: tuple[bool, str] | None) -> dict[str, Any]:
    winner = selection.winner
    return {
        "cells": [
            {
                "values": dict(row.measured.cell.values),
                "model": row.measured.model,
                "target": row.measured.target.primary.decision.sentence,
                "verdict": row.measured.target.primary.verdict,
                "allowed": row.allowed,
                "guards": [
                    {"suite": g.suite, "p": g.p, "passed": g.passed, "bound": g.bound}
                    for g in row.guards
                ],
            }
            for row in selection.rows
        ],
        "winner": None if winner is None else winner.measured.model,
        "why": selection.why,
        "confirmed": None if told is None else told[0],
        "confirmation": None if told is None else told[1],
    }
