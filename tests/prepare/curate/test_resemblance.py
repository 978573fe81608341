"""Rows that mean what an eval item asks are listed, closest first."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from modiste.prepare.curate.embedders import Meaning, Vectors
from modiste.prepare.curate.eval_items import EvalItems
from modiste.prepare.curate.resemblance import resembling
from modiste.prepare.curate.stage import Corpus

Rows = Callable[..., Corpus]
Chat = Callable[..., dict[str, Any]]


def angles(texts: Sequence[str]) -> Vectors:
    """A text's number is its direction in degrees."""
    radians = np.radians([float(text) for text in texts])
    return np.stack([np.cos(radians), np.sin(radians)], axis=1).astype(np.float32)


def test_close_rows_are_listed_with_the_item_they_are_closest_to(corpus: Rows, chat: Chat) -> None:
    evals = corpus([chat("0"), chat("90")], "eval.jsonl")
    rows = corpus([chat("10"), chat("45"), chat("88")])
    items = EvalItems(evals, n=8, min_answer=16)
    settings = Meaning(url="http://localhost/v1", model="m", threshold=0.95)
    found = resembling([rows], items, settings, angles)
    assert [(row["line"], row["item"]["line"]) for row in found["rows"]] == [(3, 2), (1, 1)]
    assert found["n"] == 2
