"""Cards of judges for people: a row for each figure, a column for each judge."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import typer

from modiste.cli.output import print_fields, print_table, say
from modiste.evaluate.judges.calibration import Calibration
from modiste.evaluate.judges.card import JudgeCard
from modiste.evaluate.judges.corrected import Corrected
from modiste.evaluate.judges.experts import Experts
from modiste.evaluate.judges.ratings import Level
from modiste.evaluate.stats.estimates import Estimate

UNKNOWN = "–"
Row = tuple[str, Callable[[JudgeCard], str]]


def print_calibration(found: Calibration) -> None:
    _print_experts(found.experts)
    rows = [(name, *(figure(card) for card in found.cards)) for name, figure in ROWS]
    told = [row for row in rows if any(cell != UNKNOWN for cell in row[1:])]
    print_table(["figure", *(card.name for card in found.cards)], told, empty="")
    for card in found.cards:
        for note in card.notes:
            say(f"{card.name}: {note}")
    _print_choice(found)


def print_corrected(found: Corrected) -> None:
    print_table(
        ["win rate of b", "value", "n"],
        [
            ("judge alone", estimate(found.judge), found.judge.n),
            ("people alone", estimate(found.people), found.people.n),
            ("corrected (PPI++)", estimate(found.corrected), found.corrected.n),
        ],
        empty="",
        numbers=("n",),
    )
    if found.n_unscored:
        say(f"{found.n_unscored} pairs have no verdict of the judge")


def print_levels(levels: Sequence[Level]) -> None:
    print_table(
        ["level", "Pearson r", "Spearman ρ", "Kendall τ-b", "n"],
        [
            (
                level.name,
                estimate(level.pearson),
                estimate(level.spearman),
                estimate(level.kendall_b),
                f"{level.n:,}",
            )
            for level in levels
        ],
        empty="",
        numbers=("n",),
    )
    for level in levels:
        if level.n_left_out:
            say(f"{level.name}: {level.n_left_out} left out, in which nothing varies")


def estimate(value: Estimate | None, digits: int = 3) -> str:
    """`0.712 [0.683, 0.740]`"""
    if value is None:
        return UNKNOWN
    lo, hi = value.ci.lo, value.ci.hi
    return f"{value.value:.{digits}f} [{lo:.{digits}f}, {hi:.{digits}f}]"


def _print_experts(experts: Experts) -> None:
    undecided = f", {experts.n_undecided} without a majority" if experts.n_undecided else ""
    fields: list[tuple[str, object]] = [
        ("pairs", f"{experts.n_pairs:,}{undecided}"),
        ("experts", ", ".join(experts.names)),
    ]
    if experts.agreement is not None:
        fields.append(("agreement", f"{estimate(experts.agreement)} between two experts"))
    fields += [
        (f"  κ {between.first}, {between.second}", estimate(between.kappa, 4))
        for between in experts.between
        if between.kappa is not None
    ]
    for name, figure in (
        ("Fleiss κ", experts.fleiss),
        ("Krippendorff α", experts.alpha),
        ("Gwet AC1", experts.ac1),
    ):
        if figure is not None:
            fields.append((name, estimate(figure, 4)))
    if experts.ceiling is not None:
        said = f"{estimate(experts.ceiling)} one expert against the others' majority"
        fields.append(("human ceiling", said))
    print_fields(fields)
    typer.echo()


def _print_choice(found: Calibration) -> None:
    choice = found.choice
    for refused in choice.refused:
        say(f"refused: {refused.judge}: {refused.reason}")
    if choice.judge is None:
        say(f"no judge can be taken: {choice.reason}")
        return
    typer.echo(f"take {choice.judge}: {choice.reason}")
    for rival in choice.rivals:
        cost = {True: "cheaper", False: "not cheaper", None: "costs not comparable"}[rival.cheaper]
        typer.echo(f"  τ-b of {choice.best} − {rival.judge}: {estimate(rival.difference)} ({cost})")
    for warning in choice.warnings:
        say(f"warning: {warning}")


def _of_ties(card: JudgeCard, figure: str) -> str:
    if card.unscored_as_tie is None:
        return UNKNOWN
    value: Any = getattr(card.unscored_as_tie.macro, figure)
    return UNKNOWN if value is None else f"{value:.4f}"


def _accuracy_as_tie(card: JudgeCard) -> str:
    report = card.unscored_as_tie
    return UNKNOWN if report is None else f"{report.accuracy.value:.4f}"


def _calibrated(card: JudgeCard) -> str:
    found = card.tie_calibrated
    if found is None:
        return UNKNOWN
    lo, hi = found.ci_test.lo, found.ci_test.hi
    return f"{found.acc_test:.3f} [{lo:.3f}, {hi:.3f}] at ε = {found.eps:g}"


def _money(card: JudgeCard) -> str:
    cost = card.costs.per_1000
    return UNKNOWN if cost is None else f"{cost.value / 1e6:.3f}"


def _count(value: Estimate | None) -> str:
    return UNKNOWN if value is None else f"{value.value:,.0f}"


def _seconds(card: JudgeCard) -> str:
    p50, p95 = card.costs.p50_s, card.costs.p95_s
    return UNKNOWN if p50 is None or p95 is None else f"{p50.value:.2f} / {p95.value:.2f} s"


ROWS: tuple[Row, ...] = (
    ("pairs with a verdict", lambda card: f"{card.n:,}"),
    ("pairs without", lambda card: f"{card.n_unscored:,}"),
    ("Kendall τ-b", lambda card: estimate(card.tau)),
    ("Spearman ρ", lambda card: estimate(card.rho)),
    ("accuracy, three ways", lambda card: estimate(card.accuracy)),
    ("  no verdict is wrong", lambda card: estimate(card.accuracy_unscored_wrong)),
    ("  no verdict is a tie", _accuracy_as_tie),
    ("    macro precision", lambda card: _of_ties(card, "precision")),
    ("    macro recall", lambda card: _of_ties(card, "recall")),
    ("    macro F1", lambda card: _of_ties(card, "f1")),
    ("  ties calibrated", _calibrated),
    ("agreement without ties", lambda card: estimate(card.decided)),
    ("Cohen κ, linear", lambda card: estimate(card.kappa)),
    ("position consistency", lambda card: estimate(card.signs.consistency)),
    ("prefers the first slot", lambda card: estimate(card.signs.first_slot)),
    ("longer answer wins", lambda card: estimate(card.signs.longer)),
    ("  where experts tie", lambda card: estimate(card.longer_on_ties)),
    ("own family's excess", lambda card: estimate(card.own_excess)),
    ("same verdict when asked again", lambda card: estimate(card.retest)),
    ("unreadable replies", lambda card: estimate(card.signs.unreadable)),
    ("cost of 1,000 pairs", _money),
    ("tokens a pair", lambda card: _count(card.costs.tokens)),
    ("latency, p50 / p95", _seconds),
)
