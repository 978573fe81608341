"""What dedup decided, as rows that are kept and a report a person can check.

The report holds every row that goes, with the one it goes in favour of, cluster by cluster, and
what people should look at: rows that ask the same and answer differently. Texts are shown shortened
and are filled in while the kept rows are read.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from modiste.prepare.curate.leaders import Like
from modiste.prepare.curate.row_marks import Marks, sides
from modiste.prepare.curate.shingles import Indexes
from modiste.prepare.curate.stage import Corpus, Outcome, chain
from modiste.prepare.records import Record

REASONS = ("exact", "near", "semantic")
SHOWN_CHARS = 160
MOST_LISTED = 1000
"""Entries in a list for review; how many there are in all is said beside it."""
MOST_IN_GROUP = 20
BORDERLINE = 20


class Drops(NamedTuple):
    """For each row in whose favour it goes (-1: it stays), and why."""

    of: Indexes
    reason: NDArray[np.int8]
    similarity: NDArray[np.float64]

    @classmethod
    def none(cls, n: int) -> Self:
        return cls(np.full(n, -1), np.full(n, -1, np.int8), np.zeros(n))

    def add(self, like: Like, reason: int) -> None:
        self.of[like.row], self.reason[like.row] = like.of, reason
        self.similarity[like.row] = like.similarity

    def settle(self) -> None:
        """Rows that go in favour of one that goes itself, go in favour of the one that stays."""
        while True:
            dropped = np.flatnonzero(self.of >= 0)
            onward = dropped[self.of[self.of[dropped]] >= 0]
            if not onward.size:
                return
            leader = self.of[onward]
            self.reason[onward] = np.maximum(self.reason[onward], self.reason[leader])
            self.similarity[onward] = np.minimum(self.similarity[onward], self.similarity[leader])
            self.of[onward] = self.of[leader]


class Kept:
    """The rows that stay, as often as they are asked for; `entries` get their texts on the way."""

    def __init__(
        self,
        inputs: Sequence[Corpus],
        keep: NDArray[np.bool_],
        entries: dict[int, list[dict[str, Any]]],
        *,
        system: bool,
    ) -> None:
        self._inputs, self._keep, self._entries, self._system = inputs, keep, entries, system

    def __iter__(self) -> Iterator[Record]:
        flags = self._keep.tolist()
        for row, (keep, record) in enumerate(zip(flags, chain(self._inputs), strict=True)):
            for entry in self._entries.get(row, ()):
                asked, answered, _ = sides(record.example, system=self._system)
                entry["asked"] = shortened(asked)
                entry["answered"] = shortened(answered)
            if keep:
                yield record


def shortened(text: str) -> str:
    """Beginning and end: where many rows begin alike, they differ at the end."""
    if len(text) <= SHOWN_CHARS:
        return text
    return f"{text[: SHOWN_CHARS // 2]} … {text[-SHOWN_CHARS // 2 :]}"


def outcome(
    inputs: Sequence[Corpus],
    marks: Marks,
    drops: Drops,
    report: dict[str, Any],
    *,
    system: bool,
) -> Outcome:
    drops.settle()
    keep = drops.of < 0
    dropped = np.flatnonzero(~keep).tolist()
    entries: dict[int, list[dict[str, Any]]] = defaultdict(list)
    _gather(report["review"], entries)
    _gather(report.get("semantic"), entries)
    counts = np.bincount(drops.reason[~keep].astype(np.int64), minlength=len(REASONS)).tolist()
    full = {
        "rows": len(marks),
        "kept": len(marks) - len(dropped),
        "dropped_by_reason": dict(zip(REASONS, counts, strict=True)),
        **report,
        "clusters": _clusters(marks, drops, dropped, entries),
        "dropped": [_dropped(marks, drops, row) for row in dropped],
    }
    return Outcome(Kept(inputs, keep, entries, system=system), full)


def _dropped(marks: Marks, drops: Drops, row: int) -> dict[str, Any]:
    kept = marks.place(int(drops.of[row]))
    return {**marks.place(row), **_why(drops, row), "of": kept}


def _why(drops: Drops, row: int) -> dict[str, Any]:
    reason = REASONS[int(drops.reason[row])]
    return {"reason": reason, "similarity": round(float(drops.similarity[row]), 4)}


def _clusters(
    marks: Marks, drops: Drops, dropped: list[int], entries: dict[int, list[dict[str, Any]]]
) -> list[dict[str, Any]]:
    """Largest first. Rows that are equal are shown once, by the one that is kept."""
    members: dict[int, list[int]] = defaultdict(list)
    for row in dropped:
        members[int(drops.of[row])].append(row)
    clusters = []
    for kept in sorted(members, key=lambda row: (-len(members[row]), row)):
        head, rest = marks.place(kept), []
        entries[kept].append(head)
        for row in members[kept]:
            entry = {**marks.place(row), **_why(drops, row)}
            if drops.reason[row]:
                entries[row].append(entry)
            rest.append(entry)
        clusters.append({"kept": head, "dropped": rest})
    return clusters


def listed(marks: Marks, likes: Sequence[Like]) -> dict[str, Any]:
    """Pairs that people should look at, the most alike first."""
    ordered = sorted(likes, key=lambda like: (-like.similarity, like.row))
    return {"n": len(likes), "pairs": [_pair(marks, like) for like in ordered[:MOST_LISTED]]}


def borderline(marks: Marks, likes: Sequence[Like]) -> list[dict[str, Any]]:
    """The least alike of the pairs that were taken for the same: here a threshold shows."""
    return [
        _pair(marks, like) for like in sorted(likes, key=lambda like: like.similarity)[:BORDERLINE]
    ]


def _pair(marks: Marks, like: Like) -> dict[str, Any]:
    rows = [_shown(marks, like.of), _shown(marks, like.row)]
    return {"similarity": like.similarity, "rows": rows}


def _shown(marks: Marks, row: int) -> dict[str, Any]:
    """A place that wants its texts; `_gather` takes the mark off again."""
    return {**marks.place(row), "row": row}


def _gather(found: Any, entries: dict[int, list[dict[str, Any]]]) -> None:
    """Find every place that wants its texts, however deep."""
    if isinstance(found, dict):
        if "row" in found:
            entries[found.pop("row")].append(found)
        _gather_all(found.values(), entries)
    elif isinstance(found, list):
        _gather_all(found, entries)


def _gather_all(found: Iterable[Any], entries: dict[int, list[dict[str, Any]]]) -> None:
    for one in found:
        _gather(one, entries)


def contradictions(marks: Marks, drops: Drops) -> dict[str, Any]:
    """Rows that stay, ask the same and answer differently, by question."""
    staying = np.flatnonzero((drops.of < 0) & (marks.questions != 0))
    staying = staying[np.lexsort((staying, marks.questions[staying]))]
    questions = marks.questions[staying]
    bounds = np.flatnonzero(np.concatenate(([True], questions[1:] != questions[:-1], [True])))
    groups = []
    for first, end in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        if end - first > 1:
            rows = staying[first:end]
            if len(set(marks.answers[rows].tolist())) > 1:
                groups.append(rows.tolist())
    groups.sort(key=lambda rows: (-len(rows), rows[0]))
    shown = [
        {"n": len(rows), "rows": [_shown(marks, row) for row in rows[:MOST_IN_GROUP]]}
        for rows in groups[:MOST_LISTED]
    ]
    return {"n": len(groups), "n_rows": sum(map(len, groups)), "groups": shown}
