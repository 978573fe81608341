"""Pairs are judged in both orders, blind, and every double is found out for what it is."""

from __future__ import annotations

import asyncio

import pytest

from modiste.evaluate.items import Failure, Status
from modiste.evaluate.judges.judge import family, judge_pairs, own_kin, with_kin
from modiste.evaluate.judges.pairs import Outcome, Side
from modiste.evaluate.judges.pointwise import RubricSpec
from modiste.evaluate.metric import Metric


def judged(spec, pairs, models, **more):
    return asyncio.run(judge_pairs(spec, pairs, models, **more))


def test_a_judge_that_always_prefers_the_first_makes_ties(legal, pair, by_quality):
    pairs = [pair(f"a{n}", f"b{n}", key=str(n)) for n in range(5)]
    verdicts = judged(legal(), pairs, by_quality(lambda first, second: (3, 0)))
    assert [verdict.outcome for verdict in verdicts] == [Outcome.TIE] * 5
    assert [verdict.consistent for verdict in verdicts] == [False] * 5
    assert [verdict.difference for verdict in verdicts] == [0.0] * 5


def test_a_judge_that_knows_wins_in_both_orders(legal, pair, by_quality):
    models = by_quality(lambda first, second: (("good" in first) * 3, ("good" in second) * 3))
    (verdict,) = judged(legal(), [pair("bad", "good")], models)
    assert (verdict.outcome, verdict.consistent, verdict.a, verdict.b) == (Outcome.B, True, 0, 3)
    assert [look.first for look in verdict.looks] == [Side.A, Side.B]
    assert verdict.usage.calls == 2


def test_the_same_pair_the_other_way_round_is_the_other_verdict(legal, pair, by_quality):
    models = by_quality(lambda first, second: (min(3, len(first)), min(3, len(second))))
    (one,) = judged(legal(), [pair("x", "yy")], models)
    (other,) = judged(legal(), [pair("yy", "x")], models)
    assert one.difference == -other.difference
    assert {one.outcome, other.outcome} == {Outcome.A, Outcome.B}


def test_fixed_order_shows_a_first_and_is_warned_of(legal, pair, by_quality):
    spec = legal(order="fixed")
    (verdict,) = judged(spec, [pair("x", "y")], by_quality(lambda first, second: (3, 0)))
    assert (verdict.outcome, verdict.consistent) == (Outcome.A, None)
    assert "order: both" in spec.judge().warnings[0]
    assert legal().judge().warnings == ()


def test_a_random_order_is_the_same_every_time_and_near_half(legal, pair, by_quality):
    spec = legal(order="random")
    pairs = [pair("x", "y", key=str(n)) for n in range(200)]
    models = by_quality(lambda first, second: (3, 0))
    runs = [[v.looks[0].first for v in judged(spec, pairs, models)] for _ in range(2)]
    assert runs[0] == runs[1]
    assert 70 < runs[0].count(Side.A) < 130  # The seed is fixed; 4 standard deviations.


def test_several_looks_per_order_get_seeds_of_their_own(legal, pair, by_quality):
    models = by_quality(lambda first, second: (1, 2))
    (verdict,) = judged(legal(per_order=3, temperature=0.7, seed=5), [pair("x", "y")], models)
    assert len(verdict.looks) == 6
    assert sorted(prompt.seed for prompt in models.prompts) == [5, 5, 6, 6, 7, 7]


def test_a_judge_that_is_gone_leaves_pairs_unscored(legal, pair, double):
    models = double(lambda shown, prompt: Failure("timeout", "late"))
    (verdict,) = judged(legal(), [pair("x", "y")], models)
    assert (verdict.status, verdict.outcome) == (Status.TIMEOUT, None)


def test_a_row_without_the_question_is_an_error_that_names_it(legal, pair, by_quality):
    models = by_quality(lambda first, second: (1, 1))
    spec = legal(request="{{instruction}}")
    (verdict,) = judged(spec, [pair("x", "y")], models)
    assert verdict.status is Status.ERROR
    assert "instruction" in verdict.reason
    assert models.prompts == []


def test_verdicts_come_in_order_and_are_told_as_they_come(legal, pair, by_quality):
    told = []
    pairs = [pair("x", "y", key=str(n)) for n in range(20)]
    models = by_quality(lambda first, second: (1, 1))
    verdicts = judged(legal(), pairs, models, concurrency=3, on_verdict=told.append)
    assert [verdict.key for verdict in verdicts] == [str(n) for n in range(20)]
    assert len(told) == 20


@pytest.mark.parametrize(
    ("name", "kin"),
    [
        ("mistralai/mistral-small", "mistral"),
        ("gpt-4o", "gpt"),
        ("ft:llama-3:acme:20260101:x", "llama"),
    ],
)
def test_whose_model_it_is(name, kin):
    assert family(name) == kin


def test_candidates_of_the_judges_family_are_named():
    assert own_kin("mistral-large", ["ft:mistral-7b:a:b", "llama-3"]) == ("ft:mistral-7b:a:b",)


def test_a_judge_of_the_models_family_is_told_beside_the_first_figure_it_made():
    metrics = [Metric(scorer, name, None) for scorer in ("rubric", "exact") for name in "ab"]
    specs = [RubricSpec(kind="rubric", model="mistral-large")]
    noted = with_kin(metrics, specs, "ft:mistral-small:org:20260101:x")
    assert [bool(metric.notes) for metric in noted] == [True, False, False, False]
    assert "mistral-large" in noted[0].notes[0]
    assert not any(metric.notes for metric in with_kin(metrics, specs, "qwen-7b"))
