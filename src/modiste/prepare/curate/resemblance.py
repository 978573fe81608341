"""The optional last look of decontamination: rows whose questions mean what an eval item asks.

Words in common do not show every leak. What an embedding model finds is listed, closest first, and
never dropped: it is right often, not always.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Any

import numpy as np

from modiste.prepare.curate.dedup_report import shortened
from modiste.prepare.curate.embedders import Embed, Meaning, Vectors
from modiste.prepare.curate.eval_items import EvalItems, Side
from modiste.prepare.curate.normal import said
from modiste.prepare.curate.stage import Corpus, chain

MOST_LISTED = 1000
_BATCH = 512


def resembling(
    inputs: Sequence[Corpus], items: EvalItems, settings: Meaning, embed: Embed
) -> dict[str, Any]:
    """For each training row the closest eval question, where it is close enough."""
    units = [unit for unit in items.units if unit.side is Side.QUESTION]
    if not units:
        return {"n": 0, "rows": []}
    questions = embed([unit.text for unit in units])
    middle = questions.mean(axis=0) if settings.base is not None else np.zeros(questions.shape[1])
    questions = _unit_length(questions - middle)
    found = []
    rows = iter(chain(inputs))
    while batch := list(islice(rows, _BATCH)):
        asked = [said(record.example).asked for record in batch]
        cosine = _unit_length(embed(asked) - middle) @ questions.T
        best = np.argmax(cosine, axis=1)
        closest = cosine[np.arange(len(batch)), best]
        for at in np.flatnonzero(closest >= settings.threshold).tolist():
            record, unit = batch[at], units[int(best[at])]
            item = items.items[unit.items[0]]
            found.append(
                {
                    "file": record.file,
                    "line": record.line,
                    "id": record.id,
                    "cosine": round(float(closest[at]), 4),
                    "asked": shortened(asked[at]),
                    "item": {"file": item.file, "line": item.line, "id": item.id},
                    "text": shortened(unit.text),
                }
            )
    found.sort(key=lambda row: -row["cosine"])
    return {"n": len(found), "threshold": settings.threshold, "rows": found[:MOST_LISTED]}


def _unit_length(vectors: Vectors) -> Vectors:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(norms > 0, norms, 1), dtype=np.float32)
