"""Which judge is taken, by its card."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from modiste.evaluate.items import Item, Status
from modiste.evaluate.judges.asking import Usage
from modiste.evaluate.judges.card import Judged, card_of
from modiste.evaluate.judges.choice import choose
from modiste.evaluate.judges.experts import ExpertPair
from modiste.evaluate.judges.pairs import Look, Outcome, Pair, verdict_of

N = 150


@pytest.fixture(scope="module")
def pairs():
    rng = random.Random(2)
    return [
        ExpertPair(Pair(Item(str(n), {}), "x", "y"), (rng.choice(list(Outcome)),)) for n in range(N)
    ]


@pytest.fixture(scope="module")
def card(pairs):
    """A judge that is right so often, at a price, and otherwise says anything."""

    def make(name, right, *, cost=10, seed=0, sign=1):
        rng = random.Random(seed)
        verdicts = []
        for one in pairs:
            d = one.preference if rng.random() < right else rng.choice([-1, 0, 1])
            d *= sign
            usage = Usage(1, 100, 10, 0.1, cost)
            look = Look(None, Status.SCORED, max(0.0, -d), max(0.0, d), usage=usage)
            verdicts.append(verdict_of(one.pair, [look]))
        return card_of(Judged(name, name, verdicts), pairs)

    return make


def test_a_clearly_better_judge_is_taken_whatever_it_costs(card, pairs):
    found = choose([card("good", 0.95, cost=1000), card("poor", 0.4)], pairs)
    assert (found.judge, found.best) == ("good", "good")
    assert found.rivals[0].difference.ci.lo > 0


def test_of_two_that_may_be_alike_the_cheaper_is_taken(card, pairs):
    cards = [card("dear", 0.8, cost=1000, seed=1), card("cheap", 0.8, cost=10, seed=2)]
    assert choose(cards, pairs).judge == "cheap"


def test_one_without_a_price_is_not_called_cheaper(card, pairs):
    best, other = card("best", 0.9, seed=1), card("other", 0.88, cost=None, seed=2)
    found = choose([best, other], pairs)
    assert found.judge == found.best
    assert [rival.cheaper for rival in found.rivals] == [None]


@pytest.mark.parametrize("frugal", ["one", "two"])
def test_without_prices_tokens_decide(card, pairs, frugal):
    cards = [card("one", 0.8, cost=None, seed=1), card("two", 0.8, cost=None, seed=2)]
    short = replace(cards[0].costs.tokens, value=50.0)
    cards = [
        replace(one, costs=replace(one.costs, tokens=short)) if one.name == frugal else one
        for one in cards
    ]
    assert choose(cards, pairs).judge == frugal


def test_a_judge_that_may_know_nothing_is_warned_of(card, pairs):
    found = choose([card("coin", 0.0, seed=4)], pairs)
    assert found.judge == "coin"
    assert "may be zero" in found.warnings[0]


def test_when_all_prefer_the_worse_none_is_taken(card, pairs):
    found = choose([card("liar", 0.9, sign=-1)], pairs)
    assert (found.judge, found.best) == (None, None)
    assert "prefers what experts do not" in found.refused[0].reason
