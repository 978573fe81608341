"""Rows that hold a right answer and one that was given."""

from __future__ import annotations

import asyncio
import math
from datetime import datetime
from typing import Any

import pytest

from modiste.errors import InvalidInput
from modiste.evaluate import graded_rows
from modiste.evaluate.dataset import sha256_of
from modiste.evaluate.graded_rows import chosen, items_of, samples_of, wanted
from modiste.evaluate.items import Status


def run_of(*given: Any) -> Any:
    return asyncio.run(samples_of(*given))


def graded(metric: str, pairs: list[tuple[Any, Any]], **options: Any) -> Any:
    asked = wanted(metric, options)
    items = items_of([{"n": n, "actual": right} for n, (right, _) in enumerate(pairs)])
    scorer, samples = run_of(asked.scorer, items, [said for _, said in pairs])
    return chosen(scorer.metrics(samples), asked.figure)


def test_a_share_has_its_n_and_interval_and_null_is_no_zero() -> None:
    metric = graded("accuracy", [("a", "a"), ("b", "b"), ("c", "x"), ("d", None), (None, "e")])
    assert metric.id == "exact.mean"
    assert (metric.estimate.value, metric.estimate.n, metric.n_unscored) == (2 / 3, 3, 2)
    # Wilson, z = 1.959964: (2/3 + z²/6 ± z·sqrt(2/27 + z²/36)) / (1 + z²/3)
    assert metric.estimate.ci.lo == pytest.approx(0.2077, abs=1e-4)
    assert metric.estimate.ci.hi == pytest.approx(0.9385, abs=1e-4)


def test_values_of_any_type_are_compared_as_text() -> None:
    at = datetime(2026, 11, 30, 12)
    pairs = [(1, "1"), (2**70, str(2**70)), (at, "2026-11-30 12:00:00"), (b"\xff", "ff"),
             (math.inf, "inf"), (True, "true")]  # fmt: skip
    assert graded("exact", pairs).estimate.value == 1


def test_a_figure_of_all_rows_is_asked_for_by_its_name() -> None:
    # Recall of a is 3/4, of b 1/2: their mean is what balanced accuracy is.
    pairs = [("a", "a")] * 3 + [("a", "b"), ("b", "b"), ("b", "a")]
    metric = graded("balanced_accuracy_score", pairs)
    assert metric.id == "classification.balanced_accuracy"
    assert metric.estimate.value == pytest.approx(0.625)
    with pytest.raises(InvalidInput, match=r"classification.auc; on these rows there are .*mcc"):
        graded("classification.auc", pairs)


def test_options_are_the_scorers() -> None:
    assert graded("numeric", [(10, "about 10.4")], abs=0.5).estimate is not None
    with pytest.raises(InvalidInput, match=r"numeric: .*abz.*abs"):
        wanted("numeric", {"abz": 1})


@pytest.mark.parametrize("metric", ["rubric", "python", "latency", "perplexity", "acuracy", "f"])
def test_what_rows_do_not_tell_is_refused_by_name(metric: str) -> None:
    with pytest.raises(InvalidInput, match=rf"metric is '{metric}'.*exact, includes"):
        wanted(metric, {})


def test_the_order_of_rows_makes_no_other_dataset() -> None:
    rows = [{"q": "x", "actual": "1"}, {"q": "y", "actual": "2"}, {"q": "x", "actual": "1"}]
    scorer = wanted("exact", {}).scorer

    def sha(order: list[int]) -> str:
        picked = [rows[at] for at in order]
        _, samples = run_of(scorer, items_of(picked), ["1"] * 3)
        assert len({sample.item.key for sample in samples}) == 3
        return sha256_of([sample.item for sample in samples])

    assert sha([0, 1, 2]) == sha([2, 1, 0]) == sha([1, 2, 0])


def test_an_id_is_the_key_and_comes_once() -> None:
    assert [item.key for item in items_of([{"id": 7, "actual": "a"}])] == ["7"]
    for ids in ((7, 7), (7, None)):
        with pytest.raises(InvalidInput, match="id"):
            items_of([{"id": each, "actual": "a"} for each in ids])


def test_a_scorer_that_cannot_read_a_row_says_so_in_its_score() -> None:
    scorer = wanted("json_match", {}).scorer
    _, samples = run_of(scorer, items_of([{"actual": '{"a": 1}'}]), ['{"a": 1}'])
    assert samples[0].scores["json_match"].status is Status.SCORED
    _, samples = run_of(wanted("numeric", {}).scorer, items_of([{"actual": "none"}]), ["1"])
    assert samples[0].scores["numeric"].status is Status.ERROR
    assert set(graded_rows.KINDS).isdisjoint({"sql_match", "python", "rubric"})


def test_others_have_their_turn_and_a_cancelled_grading_ends() -> None:
    async def cancelled() -> int:
        items = items_of([{"n": n, "actual": "a"} for n in range(1000)])
        scorer: Any = wanted("exact", {}).scorer
        looked, look = [], scorer.look

        def counted(*given: Any) -> Any:
            looked.append(1)
            return look(*given)

        scorer.look = counted
        task = asyncio.create_task(samples_of(scorer, items, ["a"] * 1000))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return len(looked)

    assert asyncio.run(cancelled()) == graded_rows.AT_A_STRETCH
