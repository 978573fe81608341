"""What a paired comparison allows to say: better, worse, equivalent, or insufficient evidence.

The sentence always carries the difference, its interval, n, what was not scored and the smallest
difference such a sample shows; nothing is called significant. `delta` is the smallest difference
that matters, named before looking: without it there is no "equivalent".
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from math import floor, log10

from modiste.errors import InvalidInput
from modiste.evaluate.stats.estimates import Estimate
from modiste.evaluate.stats.power import items_to_decide, mde_of


class Verdict(StrEnum):
    BETTER = "better"
    WORSE = "worse"
    EQUIVALENT = "equivalent"
    INSUFFICIENT = "insufficient evidence"


@dataclass(frozen=True)
class Decision:
    verdict: Verdict
    more_items: int | None
    """How many more would decide four times in five if the difference stays as it is; 0 where it
    is decided, None where no number is known to."""
    sentence: str


@dataclass(frozen=True)
class Wording:
    """How a difference is told: whose, and in what."""

    new: str = "B"
    old: str = "A"
    factor: float = 100.0
    unit: str = "pp"


PERCENT_POINTS = Wording()


def decide(
    difference: Estimate,
    *,
    delta: float | None = None,
    higher_is_better: bool = True,
    wording: Wording = PERCENT_POINTS,
) -> Decision:
    """Is the new model better than the old one, going by new minus old over the same items?

    An interval wholly within ±delta is "equivalent", even where it leaves zero out: such a
    difference was said not to matter. Otherwise an interval on one side of zero decides. At the
    interval's own level this is the two one-sided tests of equivalence at half of its error, the
    cautious way round. Adding items until it decides, and looking each time, would break the
    interval: ask for what `more_items` says at once.

    Raises:
        InvalidInput: delta <= 0.
    """
    if delta is not None and not delta > 0:
        raise InvalidInput(f"delta = {delta}; the smallest difference that matters is above 0")
    verdict = _verdict(difference, delta, higher_is_better)
    more: int | None = 0
    if verdict is Verdict.INSUFFICIENT:
        needed = items_to_decide(difference, delta=delta)
        more = None if needed is None else max(1, needed - difference.n)
    line = f"{told(difference, wording)}: {verdict}"
    if delta is not None:
        line += f" at δ = {delta * wording.factor:.3g} {wording.unit}"
    if verdict is Verdict.INSUFFICIENT:
        line += "; " + _more(more, delta)
    return Decision(verdict, more, line)


def _verdict(difference: Estimate, delta: float | None, higher_is_better: bool) -> Verdict:
    ci = difference.ci
    if difference.se <= 0:
        return Verdict.INSUFFICIENT
    if delta is not None and -delta < ci.lo and ci.hi < delta:
        return Verdict.EQUIVALENT
    if ci.lo > 0 or ci.hi < 0:
        return Verdict.BETTER if (ci.lo > 0) is higher_is_better else Verdict.WORSE
    return Verdict.INSUFFICIENT


def told(difference: Estimate, wording: Wording = PERCENT_POINTS) -> str:
    """`B − A = +3.1 pp (95 % CI 0.4…5.8, paired, n=812, 3 unscored); MDE 3.9 pp`."""
    ci, factor = difference.ci, wording.factor
    smallest = mde_of(difference) * factor
    places = _places(ci.width * factor)

    def shown(value: float, sign: str = "") -> str:
        return f"{round(value * factor, places) + 0.0:{sign}.{places}f}".replace("-", "−")

    percent = f"{100 * ci.level:.4g}"
    parts = [f"{percent} % CI {shown(ci.lo)}…{shown(ci.hi)}", "paired", f"n={difference.n}"]
    if difference.n_clusters is not None:
        parts.append(f"{difference.n_clusters} clusters")
    if difference.n_unscored:
        parts.append(f"{difference.n_unscored} unscored")
    parts += difference.notes
    return (
        f"{wording.new} − {wording.old} = {shown(difference.value, '+')} {wording.unit} "
        f"({', '.join(parts)}); MDE {smallest:.{places}f} {wording.unit}"
    )


def _places(width: float) -> int:
    """Decimals that show a difference to about a hundredth of its interval, at least one."""
    return 1 if width <= 0 else min(6, max(1, 1 - floor(log10(width))))


def _more(more: int | None, delta: float | None) -> str:
    if more is None:
        return "no difference was seen from which to tell how many more items would decide" + (
            "" if delta else "; name the smallest difference that matters"
        )
    return f"about {_round(more):,} more items would decide if the difference stays as it is"


def _round(count: int) -> int:
    """Two digits: it is an estimate."""
    unit: int = 10 ** max(0, len(str(count)) - 2)
    return -(-count // unit) * unit
