"""How near another computation comes to what training computed on the same rows.

Three measures: log-probabilities token by token, the mean loss of the trained tokens, greedy
answers. Each kind of weights has its tolerances; `close` says every way in which they are exceeded,
or the figures of one that passes. What was not measured is None, never 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from modiste.types import CheckedForm, FormStatus, Greedy, LossPair, Parting
from modiste.work.trained_rows import Row


class Tolerance(NamedTuple):
    """How far log-probabilities may be apart."""

    mean: float
    largest: float
    least: float = 1e-4
    """Apart in the mean by this is allowed however little the adapter changes: rounding itself."""
    same_tokens: bool = False
    """Greedy answers must be equal, but where training's two best tokens are as near as two tokens
    may move (twice `largest`)."""


EXACT = Tolerance(mean=1e-4, largest=1e-3, same_tokens=True)
"""Both forwards compute in fp32, but sum in different orders: 1e-5 to 1e-4 on logprobs down to -20
is what that costs. Tighter would fail on rounding; a lost adapter or a wrong position shows as 0.01
to 10."""
ROUNDED = {"bf16": Tolerance(0.01, 0.05), "int8": Tolerance(0.1, 1.0)}
"""What weights of that kind cost, with room for models of other sizes: measured 0.002 to 0.003 and
0.013 in bf16; in int8 0.05 and 0.53 over 10,000 tokens of English on modiste-tiny, a fifth of that
on random weights. What tells a lost adapter then is GAP_SHARE."""
ELSEWHERE = Tolerance(0.01, 0.05, least=0.003)
"""Of a vLLM server, whose kind of weights is not told here: bf16's."""
GAP_SHARE = 0.1
"""Of the gap between adapter and bare base: differences must stay small beside what was learned."""
LOSS_SHARE = 0.01
"""Of the loss in training; a loss of nearly nothing may differ by what the mean may."""


class Answers(NamedTuple):
    """What a computation says of the rows."""

    logprobs: list[list[float]]
    greedy: list[list[int]]
    """Behind the prompt of each row that has one, in order."""


class Found(NamedTuple):
    n_rows: int
    n_tokens: int
    mean: float
    largest: float
    gap: float
    """Mean between adapter and bare base."""
    greedy: Greedy | None
    loss: LossPair | None
    parted: list[str]
    """Every way in which it is not within the tolerance."""
    allowed: float
    """What `mean` may be."""
    tolerance: Tolerance


def close(
    rows: Sequence[Row],
    answers: Answers,
    tolerance: Tolerance,
    token_text: Callable[[Sequence[int], int], str],
) -> Found:
    """
    Args:
        token_text: the token at a position of some ids, as a message names it.
    """
    parted, pairs, gaps = [], [], []
    n_rows = 0
    for row, found in zip(rows, answers.logprobs, strict=True):
        if len(found) != len(row.logprobs):
            told = f"row {row.number}: {len(row.logprobs)} logprobs from training, {len(found)}"
            parted.append(f"{told} served")
            continue
        n_rows += 1
        differences = [abs(a - b) for a, b in zip(row.logprobs, found, strict=True)]
        pairs += differences
        gaps += [abs(a - b) for a, b in zip(row.logprobs, row.base_logprobs, strict=True)]
        # `not <=` and not `>`: a NaN is apart from everything.
        first = next((i for i, d in enumerate(differences) if not d <= tolerance.largest), None)
        if first is not None:
            parted.append(
                f"row {row.number}: at token {first + 1} ({token_text(row.ids, first + 1)}) the "
                f"logprob is {row.logprobs[first]:.5f} in training and {found[first]:.5f} served, "
                f"{differences[first]:.2g} apart (tolerance {tolerance.largest:g})"
            )
    mean, gap = (sum(each) / max(1, len(each)) for each in (pairs, gaps))
    allowed = min(tolerance.mean, max(GAP_SHARE * gap, tolerance.least))
    whole = n_rows == len(rows)
    loss = _losses(rows, answers.logprobs, allowed) if whole else None
    greedy = _greedy(rows, answers.greedy, tolerance)
    if not parted and not mean <= allowed:
        parted.append(
            f"logprobs are {mean:.2g} apart on average, {allowed:.2g} is allowed where the adapter "
            f"moves them by {gap:.2g}"
        )
    parted += [] if parted else [*_losses_part(loss), *_answers_part(rows, greedy, tolerance)]
    largest = math.nan if any(map(math.isnan, pairs)) else max(pairs, default=0.0)
    return Found(n_rows, len(pairs), mean, largest, gap, greedy, loss, parted, allowed, tolerance)


def _losses(
    rows: Sequence[Row], logprobs: Sequence[Sequence[float]], allowed: float
) -> LossPair | None:
    """None where no token of the rows is trained: they were cut before their answers."""
    pairs = [
        (trained, found)
        for row, told in zip(rows, logprobs, strict=True)
        for on, trained, found in zip(row.mask[1:], row.logprobs, told, strict=True)
        if on
    ]
    if not pairs:
        return None
    trained, found = (-sum(side) / len(pairs) for side in zip(*pairs, strict=True))
    return LossPair(trained, found, len(pairs), max(LOSS_SHARE * trained, allowed))


def _losses_part(loss: LossPair | None) -> list[str]:
    if loss is None or abs(loss.found - loss.trained) <= loss.tolerance:
        return []
    return [
        f"the loss of the {loss.n_tokens} trained tokens is {loss.trained:.5f} in training and "
        f"{loss.found:.5f} served (tolerance {loss.tolerance:.2g})"
    ]


def _greedy(
    rows: Sequence[Row], answers: Sequence[Sequence[int]], tolerance: Tolerance
) -> Greedy | None:
    """None where the trainer left no greedy answers."""
    asked = [row for row in rows if row.greedy is not None]
    if not asked:
        return None
    partings = [
        parting
        for row, found in zip(asked, answers, strict=True)
        if (parting := _parting(row, found, tolerance)) is not None
    ]
    n_tokens = sum(len(row.greedy.ids) for row in asked if row.greedy is not None)
    return Greedy(len(asked), n_tokens, tuple(partings))


def _parting(row: Row, found: Sequence[int], tolerance: Tolerance) -> Parting | None:
    assert row.greedy is not None  # noqa: S101  # Only such rows are asked.
    trained, margins = row.greedy.ids, row.greedy.margins
    said = [*found, *[None] * (len(trained) - len(found))]
    at = next((i for i, (a, b) in enumerate(zip(trained, said, strict=False)) if a != b), None)
    if at is None:
        return None
    near = margins[at] <= 2 * tolerance.largest and said[at] is not None
    return Parting(row.number, at + 1, trained[at], said[at], margins[at], by_rounding=near)


def _answers_part(rows: Sequence[Row], greedy: Greedy | None, tolerance: Tolerance) -> list[str]:
    if greedy is None or not tolerance.same_tokens:
        return []
    return [
        f"row {p.row}: the greedy answer parts at its token {p.token}, {p.trained_id} in training "
        f"and {'nothing' if p.found_id is None else p.found_id} served, where training prefers its "
        f"own by {p.margin:.2g} (rounding explains up to {2 * tolerance.largest:g})"
        for p in greedy.partings
        if not p.by_rounding
    ]


def form_of(found: Found, name: str, *, how: str, live: bool = False) -> CheckedForm:
    """The entry of a certificate. `how` says what was compared with training."""
    status = FormStatus.APART if found.parted else FormStatus.PASSED
    told = "; ".join(found.parted) if found.parted else figures(found)
    return CheckedForm(
        name,
        status,
        f"{how}: {told}",
        live=live,
        mean_abs_logprob_diff=_number(found.mean),
        max_abs_logprob_diff=_number(found.largest),
        mean_tolerance=found.allowed,
        tolerance=found.tolerance.largest,
        greedy=found.greedy,
        loss=None if found.loss is None or _number(found.loss.found) is None else found.loss,
    )


def figures(found: Found) -> str:
    """What was found, as people read it."""
    told = [
        f"logprobs {found.mean:.1e} apart on average and {found.largest:.1e} at most "
        f"(tolerance {found.allowed:.1e} and {found.tolerance.largest:g})"
    ]
    if found.loss is not None:
        told.append(f"loss {found.loss.found:.4f}, {found.loss.trained:.4f} in training")
    if found.greedy is not None:
        told.append(_greedy_told(found.greedy))
    return ", ".join(told)


def _greedy_told(greedy: Greedy) -> str:
    equal = greedy.n_prompts - len(greedy.partings)
    told = f"{equal} of {greedy.n_prompts} greedy answers equal"
    if not greedy.partings:
        return told
    first = greedy.partings[0]
    return (
        f"{told} (row {first.row} parts at token {first.token}, where the two best are "
        f"{first.margin:.2g} apart)"
    )


def _number(value: float) -> float | None:
    """None for what is no number, which JSON cannot say."""
    return value if math.isfinite(value) else None
