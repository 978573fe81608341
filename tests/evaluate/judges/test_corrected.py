"""A biased judge on many pairs, set right by people on a few."""

from __future__ import annotations

import random

import pytest

from modiste.errors import InvalidInput
from modiste.evaluate.items import Item, Status
from modiste.evaluate.judges.corrected import corrected
from modiste.evaluate.judges.experts import ExpertPair
from modiste.evaluate.judges.pairs import Look, Outcome, Pair, verdict_of


@pytest.fixture
def biased():
    """1,000 pairs of which b truly wins 40 %; the judge also gives it a quarter of the others."""
    rng = random.Random(3)
    truths, verdicts = {}, []
    for n in range(1000):
        wins = rng.random() < 0.4
        says = wins or rng.random() < 0.25
        truths[str(n)] = Outcome.B if wins else Outcome.A
        pair = Pair(Item(str(n), {}), "x", "y")
        look = Look(None, Status.SCORED, float(not says), float(says))
        verdicts.append(verdict_of(pair, [look]))
    return truths, verdicts


def people(truths, keys):
    return [ExpertPair(Pair(Item(key, {}), "x", "y"), (truths[key],)) for key in keys]


def test_the_judge_alone_is_sure_and_wrong_and_both_together_are_right(biased):
    truths, verdicts = biased
    keys = random.Random(5).sample(sorted(truths), 150)
    found = corrected(verdicts, people(truths, keys))
    true = sum(outcome is Outcome.B for outcome in truths.values()) / len(truths)
    assert found.judge.ci.lo > true
    assert found.corrected.ci.holds(true)
    assert found.people.ci.holds(true)
    assert found.corrected.ci.width < found.people.ci.width


def test_too_few_in_common_are_refused(biased):
    truths, verdicts = biased
    with pytest.raises(InvalidInput, match="at least 3 in common"):
        corrected(verdicts, people(truths, ["0"]))
    with pytest.raises(InvalidInput, match="the judge 0 of its own"):
        corrected(verdicts[:10], people(truths, [str(n) for n in range(10)]))
