"""A policy held against labelled rows: what it found, passed over, and found where nothing was.

A row's `labels` are the codes that it violates (a list, which says of every category whether it
does), or codes with true or false, where those that are missing are unknown and count nowhere. A
category that no detector could score is unscored, never a miss and never a pass.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

ANY = "any"
"""Whether a row violates anything, and whether anything was found."""


class Counts(NamedTuple):
    found: int = 0
    """Violating rows that were flagged."""
    missed: int = 0
    over: int = 0
    """Rows that violate nothing and were flagged."""
    passed: int = 0
    unscored: int = 0

    @property
    def precision(self) -> tuple[int, int]:
        """Right ones of all that were flagged."""
        return self.found, self.found + self.over

    @property
    def recall(self) -> tuple[int, int]:
        return self.found, self.found + self.missed

    @property
    def over_refusal(self) -> tuple[int, int]:
        """Flagged ones of all that violate nothing."""
        return self.over, self.over + self.passed


class Row(NamedTuple):
    labels: Sequence[str] | Mapping[str, bool]
    result: Mapping[str, Any]
    """One entry of `results` of `/v1/moderations`."""


def tally(codes: Sequence[str], rows: Iterable[Row]) -> dict[str, Counts]:
    """Of every category, and of all together under `any`."""
    counts = dict.fromkeys((*codes, ANY), Counts())
    for labels, result in rows:
        truths, said = _truths(codes, labels), _said(codes, result)
        for code in (*codes, ANY):
            truth = truths[code]
            if truth is not None:
                counts[code] = _counted(counts[code], truth, said[code])
    return counts


def _truths(
    codes: Sequence[str], labels: Sequence[str] | Mapping[str, bool]
) -> dict[str, bool | None]:
    known: dict[str, bool | None]
    if isinstance(labels, Mapping):
        known = {code: labels.get(code) for code in codes}
    else:
        known = {code: code in labels for code in codes}
    known[ANY] = _any(known.values())
    return known


def _said(codes: Sequence[str], result: Mapping[str, Any]) -> dict[str, bool | None]:
    failed = {each["category"] for each in result["decisions"] if each["failure"] is not None}
    said: dict[str, bool | None] = {
        code: None if code in failed else result["categories"].get(code) for code in codes
    }
    # What nobody looks for at a place is passed there; a failure leaves open what it would be.
    others = [each for code, each in said.items() if each is not None or code in failed]
    said[ANY] = _any(others)
    return said


def _any(values: Iterable[bool | None]) -> bool | None:
    """True if one is; unknown if none is and one is unknown."""
    known = list(values)
    if True in known:
        return True
    return None if None in known else False


def _counted(counts: Counts, truth: bool, said: bool | None) -> Counts:
    if said is None:
        return counts._replace(unscored=counts.unscored + 1)
    name = ("found" if said else "missed") if truth else ("over" if said else "passed")
    return counts._replace(**{name: getattr(counts, name) + 1})
