"""Two runs compared: what is refused, what is told, what decides."""

from __future__ import annotations

import numpy as np
import pytest
from scripted_runs import item, run, run_of, sample, shares

from modiste.errors import InvalidInput
from modiste.evaluate.comparison import compare
from modiste.evaluate.items import Item
from modiste.evaluate.verdict import Verdict


def test_a_model_that_answers_more_items_right_is_better_and_the_sentence_says_by_how_much() -> (
    None
):
    a, b = run("a", {"exact": shares(200, 100)}), run("b", {"exact": shares(200, 130)})
    told = compare(a, b).primary
    assert told.verdict is Verdict.BETTER
    assert (told.baseline, told.candidate, told.wins, told.losses, told.ties) == (
        0.5,
        0.65,
        30,
        0,
        170,
    )
    assert told.estimate is not None
    assert told.estimate.value == pytest.approx(0.15)
    assert "B − A = +15.0 pp" in told.decision.sentence
    assert "MDE" in told.decision.sentence


def test_swapping_the_runs_negates_the_difference_and_swaps_wins_and_losses() -> None:
    rng = np.random.default_rng(1)
    left, right = rng.random(100), rng.random(100)
    a, b = run("a", {"rouge": list(left)}), run("b", {"rouge": list(right)})
    forth, back = compare(a, b).primary, compare(b, a).primary
    assert forth.estimate is not None
    assert back.estimate is not None
    assert forth.estimate.value == pytest.approx(-back.estimate.value)
    assert (forth.wins, forth.losses) == (back.losses, back.wins)


def test_few_items_are_insufficient_evidence_and_it_says_how_many_more_would_decide() -> None:
    a, b = run("a", {"exact": shares(20, 10)}), run("b", {"exact": shares(20, 12)})
    told = compare(a, b).primary
    assert told.verdict is Verdict.INSUFFICIENT
    assert told.decision.more_items
    assert "more items would decide" in told.decision.sentence


def test_runs_on_other_items_or_with_another_scorer_are_refused_with_both_reasons() -> None:
    a = run("a", {"exact": shares(10, 5)})
    b = run(
        "b",
        {"exact": shares(10, 5)},
        record={"dataset_sha256": "e" * 64},
    )
    object.__setattr__(b.record, "scorers", {"exact": "another"})
    with pytest.raises(InvalidInput) as refused:
        compare(a, b)
    assert "dataset dddddddddddd" in refused.value.message
    assert "eeeeeeeeeeee" in refused.value.message
    assert "scorer exact is not the same" in refused.value.message
    assert "rescore" in refused.value.message


def test_another_prompt_sampling_and_load_are_told_but_not_refused() -> None:
    a = run("a", {"exact": shares(10, 5)})
    b = run(
        "b",
        {"exact": shares(10, 5)},
        record={
            "prompt_sha256": "q" * 64,
            "sampling": {"temperature": 0.7, "max_tokens": 64, "seed": 0},
            "concurrency": 1,
        },
    )
    notes = " ".join(compare(a, b).notes)
    assert "the prompts differ" in notes
    assert "temperature is 0.0 in A and 0.7 in B" in notes
    assert "8 requests at a time in A, 1 in B" in notes


def test_items_scored_on_one_side_only_are_left_out_of_both_and_counted() -> None:
    a = run("a", {"exact": [1, 1, 0, 0] * 50})
    b = run("b", {"exact": [1, None, 1, 0] + [1, 1, 1, 0] * 49})
    told = compare(a, b).primary
    assert told.estimate is not None
    assert (told.estimate.n, told.n_unpaired) == (199, 1)
    assert (told.baseline_unscored.n, told.candidate_unscored.n) == (0, 1)
    assert "1 unscored" in told.decision.sentence
    assert told.verdict is Verdict.BETTER


def test_more_than_two_percent_unscored_on_either_side_block_a_win() -> None:
    a = run("a", {"exact": shares(200, 60)})
    b = run("b", {"exact": [*shares(195, 150), *[None] * 5]})
    told = compare(a, b).primary
    assert told.verdict is Verdict.INSUFFICIENT
    assert "2.5% of the attempts of B have no score" in told.decision.sentence
    assert compare(b, a).primary.verdict is Verdict.WORSE


def test_items_that_only_one_run_has_are_named() -> None:
    a = run("a", {"exact": shares(12, 6)})
    b = run("b", {"exact": shares(10, 6)})
    told = compare(a, b)
    assert told.n_both == 10
    assert (told.only_baseline, told.only_candidate) == (("item-00010", "item-00011"), ())


def test_lower_is_better_turns_the_verdict() -> None:
    a = run(
        "a", {"errors": [float(at % 5) for at in range(100)]}, higher_is_better=False, unit="points"
    )
    b = run(
        "b",
        {"errors": [0.5 * (at % 5) for at in range(100)]},
        higher_is_better=False,
        unit="points",
    )
    told = compare(a, b).primary
    assert told.verdict is Verdict.BETTER
    assert told.estimate is not None
    assert told.estimate.value == pytest.approx(-1.0)
    assert (told.wins, told.losses) == (80, 0)
    assert "points" in told.decision.sentence


def test_items_of_one_source_widen_the_interval() -> None:
    rng = np.random.default_rng(0)
    by_source = np.repeat(rng.random(20), 10)
    values = {"rouge": list(by_source)}, {"rouge": [0.5] * 200}
    alone = compare(run("a", values[1]), run("b", values[0])).primary

    def of_source(at: int) -> Item:
        return item(at, cluster=f"doc-{at // 10}")

    together = compare(
        run("a", values[1], items=of_source), run("b", values[0], items=of_source)
    ).primary
    assert alone.estimate is not None
    assert together.estimate is not None
    assert together.estimate.n_clusters == 20
    assert together.estimate.se > 2.5 * alone.estimate.se


def test_attempts_at_one_item_are_averaged_before_anything_else() -> None:
    def twice(name: str, values: list[tuple[float, float]]) -> object:
        return run_of(
            name,
            [
                sample(item(at), {"exact": value}, attempt=k)
                for at, pair in enumerate(values)
                for k, value in enumerate(pair)
            ],
            ["exact"],
        )

    told = compare(twice("a", [(0, 0)] * 30), twice("b", [(1, 0), (1, 1), (0, 0)] * 10)).primary  # type: ignore[arg-type]
    assert told.estimate is not None
    assert (told.estimate.n, told.estimate.value) == (30, pytest.approx(0.5))


def test_metrics_beside_the_primary_share_holms_correction() -> None:
    rng = np.random.default_rng(3)
    a = {f"m{at}": list((rng.random(120) < 0.5).astype(float)) for at in range(8)}
    b = dict(a)
    b["m3"] = [1.0 if at < 10 else value for at, value in enumerate(a["m3"])]
    told = compare(run("a", a), run("b", b))
    alone = compare(run("a", a), run("b", b), metrics=["m3"]).primary
    among = told.difference("m3")
    assert alone.verdict is Verdict.BETTER
    assert among.p is not None
    assert among.p_holm is not None
    assert among.p < 0.05 < among.p_holm
    assert among.verdict is Verdict.INSUFFICIENT
    assert "Holm's correction for 7 comparisons" in among.decision.sentence
    assert told.primary.p_holm is None


def test_slices_of_the_primary_metric_are_told_apart() -> None:
    def by_topic(at: int) -> Item:
        return item(at, slices={"topic": "law" if at % 2 else "tax"})

    a = run("a", {"exact": [0.0] * 200}, items=by_topic)
    b = run("b", {"exact": [float(at % 2) for at in range(200)]}, items=by_topic)
    law, tax = compare(a, b).slices
    assert (law.name, law.verdict) == ("exact.mean where topic = law", Verdict.BETTER)
    assert tax.verdict is Verdict.INSUFFICIENT
    assert law.estimate is not None
    assert law.estimate.n == 100


def test_the_items_furthest_apart_come_worst_and_best_first() -> None:
    a = run("a", {"rouge": [0.5] * 60})
    b = run("b", {"rouge": [at / 59 for at in range(60)]})
    told = compare(a, b)
    assert [delta.item.key for delta in told.worst[:2]] == ["item-00000", "item-00001"]
    assert [delta.item.key for delta in told.best[:2]] == ["item-00059", "item-00058"]
    assert (len(told.worst), len(told.best)) == (20, 20)
    assert told.worst[0].gap == pytest.approx(-0.5)


def test_what_answers_take_is_told_beside_every_comparison() -> None:
    a = run("a", {"exact": shares(50, 25)}, latency_s=1.0)
    b = run("b", {"exact": shares(50, 25)}, latency_s=0.4)
    expenses = {each.kind.metric: each for each in compare(a, b).expenses}
    assert expenses["latency"].candidate == pytest.approx(0.4)
    assert expenses["tokens"].baseline == 40
    assert expenses["cost"].kind.unit == "micro"


def test_a_metric_that_is_not_there_is_refused_with_those_that_are() -> None:
    a, b = run("a", {"exact": shares(10, 5)}), run("b", {"exact": shares(10, 5)})
    with pytest.raises(InvalidInput, match=r"metric is 'rouge'; both runs have exact\.mean"):
        compare(a, b, metrics=["rouge"])


def test_equivalent_needs_a_delta_named_before() -> None:
    values = {"exact": [float(at % 2) for at in range(2000)]}
    a, b = run("a", values), run("b", values)
    assert compare(a, b).primary.verdict is Verdict.INSUFFICIENT
    told = compare(a, b, delta=0.02).primary
    assert told.verdict is Verdict.EQUIVALENT
    assert "δ = 2 pp" in told.decision.sentence
