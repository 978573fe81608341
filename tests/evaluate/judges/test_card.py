"""A card says which judge and which pairs it is of."""

from __future__ import annotations

import pytest

from modiste.errors import InvalidInput
from modiste.evaluate.items import Item, Status
from modiste.evaluate.judges.card import Judged, card_of, sha256_of
from modiste.evaluate.judges.experts import ExpertPair
from modiste.evaluate.judges.pairs import Look, Outcome, Pair, verdict_of

A, B, TIE = Outcome.A, Outcome.B, Outcome.TIE


def expert(key, *votes):
    return ExpertPair(Pair(Item(key, {}), "x", "yy"), votes)


def said(key, difference, status=Status.SCORED):
    points = (max(0.0, -difference), max(0.0, difference)) if status is Status.SCORED else ()
    return verdict_of(Pair(Item(key, {}), "x", "yy"), [Look(None, status, *points)])


PAIRS = [
    expert("1", A, A), expert("2", B, B), expert("3", TIE, TIE), expert("4", A, B),
    expert("5", B, B), expert("6", A, A),
]  # fmt: skip
VERDICTS = [
    said("1", -2), said("2", 1), said("3", 1), said("4", 0), said("5", -1),
    said("6", 0, Status.PARSE_FAILED),
]  # fmt: skip


def card(**more):
    return card_of(Judged("j", "id", VERDICTS), PAIRS, **more)


def test_accuracy_counts_pairs_with_a_majority_and_a_verdict():
    found = card()
    assert (found.n, found.n_unscored) == (4, 1)
    assert found.accuracy.value == 0.5  # 1 and 2 of 1, 2, 3, 5; people are split on 4
    assert found.accuracy.n_unscored == 1
    assert found.accuracy_unscored_wrong.value == 0.4
    assert found.unscored_as_tie.accuracy.value == 0.4
    assert found.decided.value == pytest.approx(2 / 3)


def test_rank_correlations_take_the_mean_vote_of_every_scored_pair():
    assert card().tau.n == 5
    assert set(card().differences) == {"1", "2", "3", "4", "5"}


def test_the_longer_answer_is_looked_at_where_people_tie():
    assert (card().longer_on_ties.value, card().longer_on_ties.n) == (1.0, 1)


def test_pairs_of_one_request_count_as_one():
    found = card(clusters={"1": "x", "2": "x", "3": "y", "4": "y", "5": "z", "6": "z"})
    assert (found.accuracy.n, found.accuracy.n_clusters) == (4, 3)


def test_a_judge_of_other_pairs_is_refused():
    with pytest.raises(InvalidInput, match=r"1 pairs that are not among .* such as '9'"):
        card_of(Judged("j", "id", [said("9", 1)]), PAIRS)
    with pytest.raises(InvalidInput, match="no verdicts"):
        card_of(Judged("j", "id", []), PAIRS)


def test_pairs_are_known_by_their_answers_and_votes():
    assert sha256_of(PAIRS) == sha256_of(list(PAIRS))
    assert sha256_of(PAIRS) != sha256_of([*PAIRS[:5], expert("6", A, B)])
