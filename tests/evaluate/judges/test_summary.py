"""What verdicts come to: points, wins, and the signs of a judge that does not judge."""

from __future__ import annotations

import asyncio

import pytest

from modiste.evaluate.items import Failure, Item
from modiste.evaluate.judges.forms import ArenaHardSpec
from modiste.evaluate.judges.judge import judge_pairs
from modiste.evaluate.judges.pairs import Pair
from modiste.evaluate.judges.summary import summary_of


def summed(spec, pairs, models):
    verdicts = asyncio.run(judge_pairs(spec, pairs, models))
    judge = spec.judge()
    return summary_of(verdicts, scale=judge.scale, notes=judge.warnings)


@pytest.fixture
def mixed(pair):
    """b is better on 6 of 10 pairs, a on 2, and twice as long as a throughout."""
    better = "bbbbbbaatt"
    return [
        pair(
            f"{'good' if one == 'a' else 'poor'}", f"{'good' if one == 'b' else 'poor'}    ", str(n)
        )
        for n, one in enumerate(better)
    ]


@pytest.fixture
def knows(by_quality):
    return by_quality(lambda first, second: (("good" in first) * 2, ("good" in second) * 2))


def test_points_wins_and_difference(legal, mixed, knows):
    found = summed(legal(), mixed, knows)
    assert (found.wins_a, found.wins_b, found.ties, found.n) == (2, 6, 2, 10)
    assert (found.a.value, found.b.value) == (0.4, 1.2)
    assert found.difference.value == pytest.approx(0.8)
    assert found.difference.ci.lo < 0.8 < found.difference.ci.hi
    assert found.preference.half_tie.value == 0.7
    assert found.signs.consistency.value == 1.0
    assert found.signs.first_slot.value == 0.5
    assert found.length_ratio == 2.0
    assert found.usage.calls == 20
    assert found.notes == ()


def test_swapping_the_models_negates_the_difference_and_swaps_the_wins(legal, mixed, knows, pair):
    swapped = [pair(one.b, one.a, one.item.key) for one in mixed]
    one, other = summed(legal(), mixed, knows), summed(legal(), swapped, knows)
    assert one.difference.value == -other.difference.value
    assert one.difference.ci.lo == pytest.approx(-other.difference.ci.hi)
    assert (one.wins_a, one.wins_b) == (other.wins_b, other.wins_a)


def test_always_first_is_all_ties_and_told_by_its_signs(legal, mixed, by_quality):
    found = summed(legal(), mixed, by_quality(lambda first, second: (3, 0)))
    assert (found.wins_a, found.wins_b, found.ties) == (0, 0, 10)
    assert found.signs.consistency.value == 0.0
    assert found.signs.first_slot.value == 1.0
    assert found.difference.value == 0.0


def test_a_lover_of_length_is_told_by_its_signs(legal, mixed, by_quality):
    models = by_quality(
        lambda first, second: (int(len(first) > len(second)), int(len(second) > len(first)))
    )
    found = summed(legal(), mixed, models)
    assert found.wins_b == 10
    assert found.signs.longer.value == 1.0
    assert found.length_controlled.controlled is None


def test_pairs_without_a_verdict_are_counted_by_reason_and_warned_of(legal, mixed, double):
    def half_gone(shown, prompt):
        if "good" not in shown["ANSWER_1"] + shown["ANSWER_2"]:
            return Failure("timeout", "late")
        return {"justification": "", "score_answer_1": 1, "score_answer_2": 1}

    found = summed(legal(), mixed, double(half_gone))
    assert (found.n, found.n_unscored, found.unscored) == (8, 2, {"timeout": 2})
    assert found.difference.n_unscored == 2
    assert "2 of 10 pairs have no verdict" in found.notes[0]


def test_no_verdict_at_all_has_no_figures(legal, mixed, double):
    found = summed(legal(), mixed, double(lambda shown, prompt: "hm"))
    assert (found.n, found.difference, found.preference) == (0, None, None)
    assert found.signs.unreadable.value == 1.0


def test_items_of_one_source_count_as_one(legal, knows, pair):
    pairs = [
        Pair(
            Item(str(n), {"question": "?"}, cluster=str(n % 5)), "poor", "good" if n % 5 else "poor"
        )
        for n in range(20)
    ]
    found = summed(legal(), pairs, knows)
    assert (found.difference.n, found.difference.n_clusters) == (20, 5)


def test_strong_verdicts_weigh_three_times_in_the_pooled_rate(pair, double):
    spec = ArenaHardSpec(kind="arena_hard", model="judge", order="fixed")
    said = iter(["[[B>>A]]", "[[A>B]]", "[[A=B]]"])
    found = summed(spec, [pair("x", "y", str(n)) for n in range(3)], double(lambda *_: next(said)))
    assert found.pooled.value == pytest.approx((3 * 1 + 1 * 0 + 1 * 0.5) / 5)
    assert "order: both" in found.notes[0]
