"""Rows that hold a right answer and one that was given, graded as the answers of a run are.

Only what reads a text beside the right one grades rows: what asks a model, runs code, or looks at
how an answer was made (its time, its likelihoods) is refused by name. Items are put in the order of
their keys, so that the same rows in another order are the same dataset.
"""

from __future__ import annotations

import asyncio
import difflib
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time
from typing import Any, NamedTuple

from modiste.errors import InvalidInput
from modiste.evaluate.dataset import row_hash
from modiste.evaluate.items import Answer, Failure, Item, Sample
from modiste.evaluate.metric import Metric
from modiste.evaluate.scorer import Scorer
from modiste.evaluate.scorers.references import as_text
from modiste.evaluate.scorers.registry import parse

KINDS = (
    "exact", "includes", "regex", "numeric", "json_match", "json_schema", "classification",
    "text_similarity", "refusal",
)  # fmt: skip
ALSO = {
    "accuracy": "exact",
    "accuracy_score": "exact",
    "balanced_accuracy_score": "classification.balanced_accuracy",
}
"""What other programs call them."""
RIGHT = "actual"
KEY = "id"
MOST_INTEGER = 2**63
AT_A_STRETCH = 20


class Wanted(NamedTuple):
    """A scorer, and which of its figures is asked for; None is its first."""

    scorer: Scorer
    figure: str | None


def wanted(metric: str, options: Mapping[str, Any]) -> Wanted:
    """
    Args:
        metric: `SCORER` or `SCORER.METRIC`, or what another program calls one.
        options: the scorer's, as in a suite.

    Raises:
        InvalidInput: no scorer of this name grades rows, or options it does not have.
    """
    kind, _, figure = ALSO.get(metric.lower(), metric).partition(".")
    if kind not in KINDS:
        near = difflib.get_close_matches(kind, (*KINDS, *ALSO), n=1)
        hint = f", did you mean {near[0]}?" if near else ";"
        raise InvalidInput(
            f"metric is {metric!r:.80}{hint} rows are graded by {', '.join((*KINDS, *ALSO))}. "
            "Others ask a model or read how an answer was made: `modiste eval run` has them all",
            param="metric",
        )
    (scorer,) = parse([{**options, "kind": kind}], file=kind)
    return Wanted(scorer, figure or None)


def items_of(rows: Sequence[Mapping[str, Any]]) -> list[Item]:
    """Rows as items: `actual` is what is right, `id`, where there is one, the key.

    Raises:
        InvalidInput: an id that is NULL, or comes twice.
    """
    found: list[Item] = []
    seen: Counter[str] = Counter()
    for row in rows:
        plain = {name: _plain(value) for name, value in row.items()}
        if KEY in plain and plain[KEY] is None:
            raise InvalidInput("a row has the id NULL; leave the column out, or fill it", param=KEY)
        key = as_text(plain[KEY]) if KEY in plain else row_hash(plain)
        seen[key] += 1
        if seen[key] > 1 and KEY in plain:
            raise InvalidInput(f"two rows have the id {key!r:.60}", param=KEY)
        key = key if seen[key] == 1 else f"{key}#{seen[key]}"
        found.append(Item(key, plain, plain[RIGHT]))
    return found


async def samples_of(
    scorer: Scorer, items: Sequence[Item], answers: Sequence[object]
) -> tuple[Scorer, list[Sample]]:
    """Every answer graded; NULL is no answer, and no zero. Others have their turn meanwhile, and
    whoever cancels it is heard within a few rows.

    Returns:
        The scorer as it is for these items, and the samples by key.

    Raises:
        InvalidInput: the scorer cannot grade these items, whatever was answered.
    """
    fitted = scorer.fitted(items)
    nobody: Any = None  # A scorer that only looks asks nobody.
    found: list[Sample] = []
    try:
        for item, said in sorted(zip(items, answers, strict=True), key=lambda pair: pair[0].key):
            answer = _answer(said)
            score = await fitted.grade(item, answer, nobody)
            found.append(Sample(item, 0, (), answer, {fitted.name: score}))
            if len(found) % AT_A_STRETCH == 0:
                await asyncio.sleep(0)
    finally:
        fitted.close()
    return fitted, found


def chosen(metrics: Sequence[Metric], figure: str | None) -> Metric:
    """Of one scorer's metrics the one asked for.

    Raises:
        InvalidInput: it has none of this name.
    """
    if figure is None:
        return metrics[0]
    for metric in metrics:
        if metric.name == figure:
            return metric
    there = ", ".join(metric.id for metric in metrics)
    raise InvalidInput(
        f"metric is {metrics[0].scorer}.{figure}; on these rows there are {there}", param="metric"
    )


def _answer(said: object) -> Answer:
    if said is None:
        return Answer(failure=Failure("no_answer", "there is no answer: it is NULL"))
    return Answer(as_text(_plain(said)))


def _plain(value: object) -> Any:
    """As JSON has it; what it has no word for is text."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, int) and not -MOST_INTEGER <= value < MOST_INTEGER:
        return str(value)
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    if isinstance(value, datetime):
        return value.isoformat(sep=" ")
    if isinstance(value, (date, time)):
        return value.isoformat()
    return value.hex() if isinstance(value, (bytes, bytearray)) else str(value)
