"""`modiste eval advise SUITE`: is a system prompt enough?

Or do examples, a tuning or a larger model pay? One page with quality, tokens, cost and latency of
every way.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from modiste import settings
from modiste.cli import runs
from modiste.cli.output import AsJson, print_json, print_table, say
from modiste.cli.suite_file import sent, suite_in
from modiste.client import Client, connect
from modiste.errors import InvalidInput, NotFound
from modiste.evaluate.advice import PER, Advice, Option, Prices, Way, advise, way_of
from modiste.evaluate.advice_html import advice_page, cost_shown
from modiste.evaluate.suite import Suite
from modiste.prepare.checked import checked

MICRO = 1_000_000


def advise_command(
    suite: Annotated[
        Path,
        typer.Argument(help="Its models are the ways to compare: a base, prompts, examples, …"),
    ],
    model: Annotated[
        list[str] | None,
        typer.Option("--model", help="NAME=MODEL adds a way: a tuned model, a larger one."),
    ] = None,
    delta: Annotated[
        float, typer.Option(min=1e-9, help="The smallest difference that matters.")
    ] = 0.02,
    hour_price: Annotated[
        float | None, typer.Option(min=0.0, help="What an hour of this machine costs.")
    ] = None,
    tuning_cost: Annotated[
        float | None,
        typer.Option(min=0.0, help="What the tuning cost; by default its hours at --hour-price."),
    ] = None,
    html: Annotated[Path | None, typer.Option(help="Where the page goes.")] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="So many items instead of the suite's.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run every way on a suite, and say which is enough."""
    spec = suite_in(suite)
    runs.subjects_of(spec, model or [])
    if limit is not None:
        spec["dataset"] = {**spec["dataset"], "limit": limit}
    wanted = settings.load()
    with connect(wanted, needs_engine=True, report=say) as client:
        body = {"suite": sent(client, spec, folder=suite.parent)}
        queued = client.post(runs.RUNS, body)["data"]
        ended = {each["subject"]: runs.follow(client, each["id"], quiet=as_json) for each in queued}
        _refuse_failed(ended)
        parsed = checked(Suite, client.get(f"{runs.RUNS}/{queued[0]['id']}/suite"), file=str(suite))
        cards = {name: _card(client, run["model"]) for name, run in ended.items()}
        ways = {name: _way(parsed, name, cards[name]) for name in ended}
        prices = Prices(
            hour_micro=None if hour_price is None else round(hour_price * MICRO),
            tuning_micro=_tuning_micro(client, cards, ways, tuning_cost, hour_price),
            currency=wanted.currency,
        )
        whole = {name: runs.fetched(client, run["id"]) for name, run in ended.items()}
    found = advise(whole, ways, prices=prices, delta=delta)
    if html is not None:
        html.write_text(advice_page(found), encoding="utf-8")
    if as_json:
        print_json(as_data(found))
        return
    print_advice(found)
    if html is not None:
        say(f"The page: {html}")


def print_advice(found: Advice) -> None:
    print_table(
        ["way", "model", "quality", "95 % interval", "tokens in/out", "latency", f"cost/{PER}"],
        [_shown(option, found) for option in found.options],
        empty="Nothing was run.",
        numbers=("quality", "latency", f"cost/{PER}"),
    )
    for option in found.options:
        if option.against is not None:
            typer.echo(f"{option.subject}: {option.against.primary.decision.sentence}")
    typer.echo("")
    typer.echo(found.sentence)
    for line in found.break_even:
        typer.echo(line)


def as_data(found: Advice) -> dict[str, Any]:
    """What `--json` prints."""
    return {
        "recommended": None if found.recommended is None else found.recommended.subject,
        "sentence": found.sentence,
        "break_even": list(found.break_even),
        "ways": [
            {
                "subject": option.subject,
                "way": option.way,
                "run": option.run.record.run_id,
                "model": option.run.record.model,
                "metric": option.primary.id,
                "value": None if option.primary.estimate is None else option.primary.estimate.value,
                "ci": None
                if option.primary.estimate is None
                else [option.primary.estimate.ci.lo, option.primary.estimate.ci.hi],
                "n": 0 if option.primary.estimate is None else option.primary.estimate.n,
                "against_least_effort": None
                if option.against is None
                else option.against.primary.decision.sentence,
                **({} if option.taken is None else option.taken._asdict()),
            }
            for option in found.options
        ],
    }


def _shown(option: Option, found: Advice) -> tuple[str, ...]:
    estimate, unit = option.primary.estimate, option.primary.unit
    took = option.taken
    return (
        option.way.value + (" ←" if option is found.recommended else ""),
        f"{option.subject} ({option.run.record.model})",
        "–" if estimate is None else runs.shown(estimate.value, unit),
        ""
        if estimate is None
        else f"{runs.shown(estimate.ci.lo, unit)} … {runs.shown(estimate.ci.hi, unit)}",
        "–" if took is None else f"{took.prompt_tokens:.0f} / {took.completion_tokens:.0f}",
        "–" if took is None else f"{took.latency_s:.2f} s",
        cost_shown(option, found),
    )


def _refuse_failed(ended: dict[str, dict[str, Any]]) -> None:
    failed = [name for name, run in ended.items() if run["status"] != "SUCCESS"]
    if failed:
        raise InvalidInput(
            f"{', '.join(failed)} did not come to an end, so nothing can be advised; see `modiste "
            f"eval show {ended[failed[0]]['id'][:8]}`"
        )


def _card(client: Client, model: str) -> dict[str, Any]:
    return client.get(f"/v1/models/{model}")


def _way(suite: Suite, name: str, card: dict[str, Any]) -> Way:
    hosted = (card.get("upstream") or {}).get("kind") in ("openai", "mistral")
    return way_of(suite.models[name], tuned=card["type"] == "fine-tuned", hosted=hosted)


def _tuning_micro(
    client: Client,
    cards: dict[str, dict[str, Any]],
    ways: dict[str, Way],
    tuning_cost: float | None,
    hour_price: float | None,
) -> int | None:
    """What the tuning cost: as told, or its time on the machine at the price of its hour."""
    if tuning_cost is not None:
        return round(tuning_cost * MICRO)
    tuned = next((cards[name] for name, way in ways.items() if way is Way.TUNED), None)
    if tuned is None or hour_price is None or not tuned.get("job"):
        return None
    try:
        job = client.get(f"/v1/fine_tuning/jobs/{tuned['job']}")
    except NotFound:
        return None
    said = {event["data"].get("status"): event["created_at"] for event in reversed(job["events"])}
    began = said.get("RUNNING") or job["created_at"]
    return round(float(job["modified_at"] - began) / 3600 * hour_price * MICRO)
