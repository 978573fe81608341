"""What is listed is what was found, and how much there is in all is said."""

from collections.abc import Callable
from typing import Any

from modiste.prepare.curate.contamination_report import MOST_ROWS, Hit, outcome
from modiste.prepare.curate.eval_items import EvalItems
from modiste.prepare.curate.stage import Corpus
from modiste.prepare.curate.verdicts import Kind, Verdict

Rows = Callable[..., Corpus]
Chat = Callable[..., dict[str, Any]]


def test_rows_for_review_stay_and_long_lists_are_counted(corpus: Rows, chat: Chat) -> None:
    evals = corpus([chat("what is this about")], "eval.jsonl")
    rows = corpus([chat(str(i)) for i in range(30)])
    items = EvalItems(evals, n=8, min_answer=16)
    kinds = [Kind.COPY] * 25 + [Kind.SHARED_CONTEXT]
    hits = [
        Hit(i, "rows.jsonl", i + 1, "00", (Verdict(kind, 0, 1.0, 4, 0, 4),), ("what is",))
        for i, kind in enumerate(kinds)
    ]
    kept, report = outcome([rows], [evals], items, hits, n_rows=30, similar=None)
    assert [record.line for record in kept] == [26, 27, 28, 29, 30]  # type: ignore[union-attr]
    assert len(report["items"][0]["rows"]) == MOST_ROWS
    assert report["items"][0]["n_rows"] == 25
    assert report["review"]["shared_context"]["n"] == 1
    assert report["dropped_by_reason"] == {"copy": 25, "overlap": 0, "paraphrase": 0}
