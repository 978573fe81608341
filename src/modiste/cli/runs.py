"""Runs of evaluations: followed, fetched, and their figures as people read them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from modiste.cli.output import print_table, printable, say
from modiste.client import Client
from modiste.errors import Conflict, InvalidInput

if TYPE_CHECKING:
    from modiste.evaluate.record import Run

RUNS = "/v1/evals/runs"
FINAL = frozenset({"SUCCESS", "FAILED", "CANCELLED"})
POLL_S = 0.5
UNITS = {"share": (100.0, " %", 1), "s": (1.0, " s", 3), "tokens": (1.0, "", 1)}


def fetched(client: Client, run_id: str) -> Run:
    """A run with its samples.

    Raises:
        NotFound: there is none.
        Conflict: it did not end well, so it says nothing.
    """
    from modiste.evaluate.stored import run_of

    told = client.get(f"{RUNS}/{run_id}")
    if told["status"] != "SUCCESS":
        raise Conflict(
            f"run {told['id']} is {told['status']}; only one that ended with SUCCESS says anything",
            param="run",
        )
    lines = _lines(client.content(f"{RUNS}/{run_id}/samples"))
    return run_of(told, lines, file=f"run {told['id']}")


def _lines(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Lines as they come, so that the file is never in memory beside what is made of it."""
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        yield from whole
    yield rest


def follow(client: Client, run_id: str, *, quiet: bool) -> dict[str, Any]:
    """Until it has ended."""
    said = ""
    while True:
        found = client.get(f"{RUNS}/{run_id}", patience_s=60.0)
        line = f"{found['subject']}: {found['status']}  {progress(found)}"
        if line != said and not quiet:
            say(line)
        said = line
        if found["status"] in FINAL:
            if not quiet:
                say_error(found)
            return found
        time.sleep(POLL_S)


def print_metrics(runs: list[dict[str, Any]], *, parts: bool = False) -> None:
    """One line per figure and model.

    Args:
        parts: figures of single classes and fields (`f1.billing`) too, which may be hundreds.
    """
    rows = [
        (f"{metric['scorer']}.{metric['name']}", each["subject"], *_figures(metric))
        for each in runs
        for metric in each["metrics"]
        if parts or not _is_part(metric)
    ]
    order = _order(runs)
    rows.sort(key=lambda row: order.index(str(row[0])))
    print_table(
        ["metric", "model", "value", "95 % interval", "n", "unscored"],
        rows,
        empty="No figures: the run has not ended.",
        numbers=("value", "n", "unscored"),
    )
    for each in runs:
        for metric in each["metrics"]:
            notes = [*metric["notes"], *((metric["estimate"] or {}).get("notes") or ())]
            for note in notes if parts or not _is_part(metric) else ():
                say(f"{each['subject']} {metric['scorer']}.{metric['name']}: {printable(note)}")
    hidden = sum(_is_part(metric) for metric in runs[0]["metrics"]) if runs else 0
    if hidden and not parts:
        say(f"{hidden} figures of single parts: modiste eval show {runs[-1]['id'][:8]} --parts")


def _is_part(metric: dict[str, Any]) -> bool:
    return "." in metric["name"]


def shown(value: float, unit: str) -> str:
    """A figure as people read it."""
    factor, sign, digits = UNITS.get(unit, (1.0, "", 3))
    return f"{value * factor:.{digits}f}{sign}"


def _figures(metric: dict[str, Any]) -> tuple[str, str, object, object]:
    estimate, unit = metric["estimate"], metric["unit"]
    if estimate is None:
        return ("–", "", 0, metric["n_unscored"])
    ends = [shown(estimate["ci"][end], unit) for end in ("lo", "hi")]
    return (
        shown(estimate["value"], unit),
        " … ".join(ends),
        estimate["n"],
        metric["n_unscored"] or "",
    )


def _order(runs: list[dict[str, Any]]) -> list[str]:
    found = [f"{m['scorer']}.{m['name']}" for each in runs for m in each["metrics"]]
    return list(dict.fromkeys(found))


def headline(found: dict[str, Any]) -> str:
    primary = (found["record"] or {}).get("primary")
    for metric in found["metrics"]:
        if primary == f"{metric['scorer']}.{metric['name']}":
            value, interval, n, _ = _figures(metric)
            return f"{primary} {value}  ({interval}, n={n})"
    return ""


def origin(record: dict[str, Any]) -> str | None:
    """Of a run that another program asked and graded."""
    told = (record.get("details") or {}).get("imported")
    if told is None:
        return None
    template = "on" if told["chat_template"] else "off"
    return f"{told['harness']} {told['version']}, chat template {template}"


def progress(found: dict[str, Any]) -> str:
    counts = found["counts"]
    failed = f", {counts['failed']:,} without an answer" if counts["failed"] else ""
    return f"{counts['done']:,} of {counts['total'] or '?'}{failed}"


def subjects_of(spec: dict[str, Any], wanted: list[str]) -> list[str] | None:
    """Names to run; `NAME=MODEL` puts another model under a name of the suite or a new one."""
    if not wanted:
        return None
    models = spec.setdefault("models", {})
    if not isinstance(models, dict):
        raise InvalidInput("models of the suite is no mapping of names", param="models")
    for text in wanted:
        name, equals, model = text.partition("=")
        if equals:
            known = models.get(name)
            models[name] = {**(known if isinstance(known, dict) else {}), "model": model}
    return [text.partition("=")[0] for text in wanted]


def say_error(found: dict[str, Any]) -> None:
    if found["error"]:
        say(printable(found["error"]["message"]))
