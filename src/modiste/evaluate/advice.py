"""Is a system prompt enough? Ways to the same answers, side by side: how good, how dear, how fast.

Quality is compared item by item with the way that costs least to set up. Costs are counted from
what the runs took: tokens of hosted models at their price, seconds of the machine at the price of
its hour. What cannot be priced is told as such, never as free.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from statistics import fmean, median
from typing import NamedTuple

from modiste.errors import InvalidInput
from modiste.evaluate.comparison import Comparison, compare
from modiste.evaluate.metric import Metric
from modiste.evaluate.record import Run
from modiste.evaluate.suite import Subject
from modiste.evaluate.verdict import Verdict

PER = 1000
"""Requests that costs are told for."""


class Way(StrEnum):
    """How a model is brought to the task, by what it takes to set up."""

    BASE = "base"
    PROMPTED = "system prompt"
    FEW_SHOT = "examples in the prompt"
    LARGER = "larger model"
    TUNED = "tuned model"


EFFORT = (Way.BASE, Way.PROMPTED, Way.FEW_SHOT, Way.LARGER, Way.TUNED)


def way_of(subject: Subject, *, tuned: bool, hosted: bool) -> Way:
    """What a subject of a suite is, from what it says and what its model is."""
    if tuned:
        return Way.TUNED
    if hosted:
        return Way.LARGER
    if subject.shots is not None:
        return Way.FEW_SHOT
    return Way.PROMPTED if subject.system is not None else Way.BASE


@dataclass(frozen=True)
class Prices:
    """What is known of costs; None where it is not."""

    hour_micro: int | None = None
    """Of the machine that computes local models."""
    tuning_micro: int | None = None
    """Of making the tuned model, once."""
    currency: str = "USD"


class Taken(NamedTuple):
    """What a request took on the average of a run; None where nothing answered."""

    prompt_tokens: float
    completion_tokens: float
    latency_s: float
    """Median, at the load of the run."""
    machine_s: float
    """Of the machine, its parallel work counted."""
    cost_micro: float | None
    """Of one request."""


@dataclass(frozen=True)
class Option:
    """One way, measured."""

    subject: str
    way: Way
    run: Run
    primary: Metric
    taken: Taken | None
    against: Comparison | None
    """With the way that costs least to set up; None of that way itself."""


@dataclass(frozen=True)
class Advice:
    options: tuple[Option, ...]
    """Least effort first."""
    recommended: Option | None
    sentence: str
    break_even: tuple[str, ...]
    """When the tuned model has paid for itself, against each dearer way."""
    prices: Prices


def advise(
    runs: Mapping[str, Run], ways: Mapping[str, Way], *, prices: Prices, delta: float
) -> Advice:
    """
    Args:
        runs: by subject, all of one suite.
        delta: the smallest difference that matters, in the primary metric's unit: between ways that
            are not proven to differ by more, the one that takes less effort is recommended.

    Raises:
        InvalidInput: fewer than two ways, or runs that cannot be compared.
    """
    if len(runs) < 2:
        raise InvalidInput(
            f"there is only {', '.join(runs) or 'nothing'} to look at; give the suite at least two "
            "models: a base and one with a system prompt, examples or a tuning",
            param="models",
        )
    order = sorted(runs, key=lambda name: EFFORT.index(ways[name]))
    first = runs[order[0]]
    options = tuple(
        Option(
            subject=name,
            way=ways[name],
            run=runs[name],
            primary=runs[name].metric(runs[name].record.primary),
            taken=taken(runs[name], prices),
            against=None if name == order[0] else compare(first, runs[name], delta=delta),
        )
        for name in order
    )
    best, sentence = _recommended(options, delta)
    return Advice(options, best, sentence, _break_even(options, prices), prices)


def taken(run: Run, prices: Prices) -> Taken | None:
    """What its requests took, failed ones left out."""
    answers = [sample.answer for sample in run.samples if sample.answer.failure is None]
    if not answers:
        return None
    record = run.record
    wall_s = 0.0
    if record.finished_at is not None:
        wall_s = (record.finished_at - record.started_at).total_seconds()
    machine_s = wall_s / len(answers)
    billed = [answer.cost_micro for answer in answers if answer.cost_micro is not None]
    cost: float | None = fmean(billed) if len(billed) == len(answers) else None
    if cost is None and not billed and prices.hour_micro is not None:
        cost = machine_s / 3600 * prices.hour_micro
    return Taken(
        prompt_tokens=fmean(answer.prompt_tokens for answer in answers),
        completion_tokens=fmean(answer.completion_tokens for answer in answers),
        latency_s=median(answer.latency_s for answer in answers),
        machine_s=machine_s,
        cost_micro=cost,
    )


def _recommended(options: Sequence[Option], delta: float) -> tuple[Option | None, str]:
    """The least effort that nothing else is proven to beat by more than δ."""
    undecided: list[str] = []
    for at, option in enumerate(options):
        later = [
            (other, compare(option.run, other.run, delta=delta)) for other in options[at + 1 :]
        ]
        better = [other for other, found in later if found.primary.verdict is Verdict.BETTER]
        if better:
            continue
        undecided = [
            f"{other.way} ({other.subject}): {found.primary.decision.sentence}"
            for other, found in later
            if found.primary.verdict is Verdict.INSUFFICIENT
        ]
        said = f"{option.way.capitalize()} ({option.subject}) is enough: nothing that takes more "
        said += f"effort is shown to be better by what matters (δ = {delta:g})."
        if at == len(options) - 1:
            said = f"{option.way.capitalize()} ({option.subject}) is better than every way that "
            said += "takes less effort."
        if undecided:
            said += " Not decided by these items: " + "; ".join(undecided)
        return option, said
    return None, "Nothing can be recommended: every way is beaten by another."


def _break_even(options: Sequence[Option], prices: Prices) -> tuple[str, ...]:
    tuned = next((o for o in options if o.way is Way.TUNED), None)
    if tuned is None or tuned.taken is None:
        return ()
    mine = tuned.taken.cost_micro
    if mine is None or prices.tuning_micro is None:
        return (
            "Break-even is not known: give --hour-price (the machine's) and, for a model that was "
            "not tuned here, --tuning-cost.",
        )
    lines = []
    for option in options:
        theirs = option.taken.cost_micro if option.taken is not None else None
        if option is tuned or theirs is None:
            continue
        named = f"{option.way} ({option.subject})"
        if theirs <= mine:
            lines.append(f"Against {named}, tuning never pays by cost: a request costs no less.")
        else:
            n = prices.tuning_micro / (theirs - mine)
            lines.append(f"Against {named}, tuning has paid for itself after {n:,.0f} requests.")
    return tuple(lines)
