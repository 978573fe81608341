"""What decontamination found, item by item, with the text that row and item share.

A person can check each decision from the report alone: the eval item, the rows that give it away,
how much of it they cover, and in which words.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from modiste.prepare.curate.dedup_report import shortened
from modiste.prepare.curate.eval_items import EvalItems, Item
from modiste.prepare.curate.stage import Corpus, Outcome, chain
from modiste.prepare.curate.verdicts import Kind, Verdict, worst
from modiste.prepare.records import Record

ALERT_SHARE = 0.02
"""Of an eval set; from here on its scores are in doubt."""
STRICT_WORDS = 13
MOST_ROWS = 20
"""Rows shown for one item; how many there are is said."""
MOST_LISTED = 1000


class Hit(NamedTuple):
    """A row with verdicts."""

    row: int
    file: str
    line: int
    id: str
    verdicts: tuple[Verdict, ...]
    texts: tuple[str, ...]
    """For each verdict, the row's words in question."""

    @property
    def goes(self) -> bool:
        return any(verdict.kind is not Kind.SHARED_CONTEXT for verdict in self.verdicts)


class Clean:
    """The rows that stay, as often as they are asked for."""

    def __init__(self, inputs: Sequence[Corpus], dropped: frozenset[int]) -> None:
        self._inputs, self._dropped = inputs, dropped

    def __iter__(self) -> Iterator[Record]:
        for index, record in enumerate(chain(self._inputs)):
            if index not in self._dropped:
                yield record


def outcome(
    inputs: Sequence[Corpus],
    against: Sequence[Corpus],
    items: EvalItems,
    hits: Sequence[Hit],
    *,
    n_rows: int,
    similar: Mapping[str, Any] | None,
) -> Outcome:
    gone = [hit for hit in hits if hit.goes]
    kinds = [worst(hit.verdicts).kind for hit in gone]
    report: dict[str, Any] = {
        "rows": n_rows,
        "kept": n_rows - len(gone),
        "dropped_by_reason": {
            str(kind): kinds.count(kind) for kind in Kind if kind is not Kind.SHARED_CONTEXT
        },
        "rows_with_13_words_in_common": sum(
            any(verdict.longest >= STRICT_WORDS for verdict in hit.verdicts) for hit in hits
        ),
        "against": [_eval_set(corpus, items, gone) for corpus in against],
        "template_runs": int(items.template.sum()),
        "items": _items(items, gone),
        "review": {
            "shared_context": _shared_context(items, hits),
            **({} if similar is None else {"same_meaning": similar}),
        },
        "dropped": [_dropped(items, hit) for hit in gone],
    }
    return Outcome(Clean(inputs, frozenset(hit.row for hit in gone)), report)


def _eval_set(corpus: Corpus, items: EvalItems, gone: Sequence[Hit]) -> dict[str, Any]:
    own = {i for i, item in enumerate(items.items) if item.file == corpus.filename}
    hit = {
        item
        for row in gone
        for verdict in row.verdicts
        if verdict.kind is not Kind.SHARED_CONTEXT
        for item in items.units[verdict.unit].items
    } & own
    share = len(hit) / len(own) if own else 0.0
    return {
        **corpus.to_json(),
        "items": len(own),
        "hit": len(hit),
        "share": round(share, 4),
        "alert": share > ALERT_SHARE,
    }


def _items(items: EvalItems, gone: Sequence[Hit]) -> list[dict[str, Any]]:
    """Units that some row gives away, those with most rows first."""
    rows: dict[int, list[tuple[Hit, int]]] = defaultdict(list)
    for hit in gone:
        for at, verdict in enumerate(hit.verdicts):
            if verdict.kind is not Kind.SHARED_CONTEXT:
                rows[verdict.unit].append((hit, at))
    found = []
    for unit in sorted(rows, key=lambda unit: (-len(rows[unit]), unit)):
        given = items.units[unit]
        found.append(
            {
                "items": [_place(items.items[item]) for item in given.items],
                "side": str(given.side),
                "text": shortened(given.text),
                "n_rows": len(rows[unit]),
                "rows": [_row(hit, at) for hit, at in rows[unit][:MOST_ROWS]],
            }
        )
    return found


def _place(item: Item | Hit) -> dict[str, Any]:
    return {"file": item.file, "line": item.line, "id": item.id}


def _row(hit: Hit, at: int) -> dict[str, Any]:
    verdict = hit.verdicts[at]
    return {
        **_place(hit),
        "reason": str(verdict.kind),
        "coverage": round(verdict.coverage, 4),
        "longest": verdict.longest,
        "matched": shortened(hit.texts[at]),
    }


def _dropped(items: EvalItems, hit: Hit) -> dict[str, Any]:
    verdict = worst(hit.verdicts)
    unit = items.units[verdict.unit]
    return {
        **_row(hit, hit.verdicts.index(verdict)),
        "side": str(unit.side),
        "item": _place(items.items[unit.items[0]]),
    }


def _shared_context(items: EvalItems, hits: Sequence[Hit]) -> dict[str, Any]:
    shared = [
        (hit, at)
        for hit in hits
        for at, verdict in enumerate(hit.verdicts)
        if verdict.kind is Kind.SHARED_CONTEXT and not hit.goes
    ]
    listed = [
        {
            **_row(hit, at),
            "item": _place(items.items[items.units[hit.verdicts[at].unit].items[0]]),
            "text": shortened(items.units[hit.verdicts[at].unit].text),
        }
        for hit, at in shared[:MOST_LISTED]
    ]
    return {"n": len(shared), "rows": listed}
