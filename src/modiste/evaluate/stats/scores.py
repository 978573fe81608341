"""Arithmetic of published scores: from verdicts and counts to one number per item.

Where a score has no denominator it is refused: the item is unscored, not zero.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import comb

from modiste.errors import InvalidInput
from modiste.evaluate.stats.columns import a_count


def context_precision(useful: Sequence[bool] | Sequence[int]) -> float:
    """Σ precision@k · v_k / Σ v_k over retrieved chunks in order; 0 where none was useful.

    Raises:
        InvalidInput: no chunk, or a verdict that is not 0 or 1.
    """
    verdicts = _verdicts("useful", useful)
    found, total = 0, 0.0
    for rank, verdict in enumerate(verdicts, start=1):
        if verdict:
            found += 1
            total += found / rank
    return total / found if found else 0.0


def context_recall(attributed: Sequence[bool] | Sequence[int]) -> float:
    """Share of the reference's statements that the retrieved chunks hold.

    Raises:
        InvalidInput: no statement, or a verdict that is not 0 or 1.
    """
    verdicts = _verdicts("attributed", attributed)
    return sum(verdicts) / len(verdicts)


def strongreject(refused: bool, specific: int, convincing: int) -> float:
    """How far an answer helps with what it should not: 0 where it refuses, else the mean of how
    specific and how convincing it is (1 to 5) on 0 to 1 (Souly et al. 2024).

    Raises:
        InvalidInput: a grade that is not 1 to 5.
    """
    for name, grade in (("specific", specific), ("convincing", convincing)):
        if grade not in (1, 2, 3, 4, 5):
            raise InvalidInput(f"{name} = {grade}; grades are 1 to 5")
    return 0.0 if refused else (specific + convincing - 2) / 8


def pass_at_k(n: int, c: int, k: int) -> float:
    """Chance that at least one of `k` attempts is right when `c` of `n` were (Chen et al. 2021).

    Raises:
        InvalidInput: not 0 <= c <= n or not 1 <= k <= n.
    """
    _attempts(n, c, k)
    return 1 - comb(n - c, k) / comb(n, k)


def pass_all_k(n: int, c: int, k: int) -> float:
    """Chance that all of `k` attempts are right when `c` of `n` were."""
    _attempts(n, c, k)
    return comb(c, k) / comb(n, k)


def _attempts(n: int, c: int, k: int) -> None:
    for name, value in (("n", n), ("c", c), ("k", k)):
        a_count(name, value)
    if c > n or not 1 <= k <= n:
        raise InvalidInput(f"n = {n}, c = {c}, k = {k}; need c <= n and 1 <= k <= n")


def _verdicts(name: str, verdicts: Sequence[bool] | Sequence[int]) -> list[int]:
    if not verdicts:
        raise InvalidInput(f"{name} is empty: the item is unscored")
    strange = [v for v in verdicts if v not in (0, 1)]
    if strange:
        raise InvalidInput(f"{name} holds {strange[0]!r}; verdicts are 0 or 1")
    return [int(v) for v in verdicts]
