"""Doubles of judges are held against experts: the one that knows is taken, the liar is refused."""

from __future__ import annotations

import asyncio
import random

import pytest

from modiste.errors import InvalidInput
from modiste.evaluate.items import Answer, Item
from modiste.evaluate.judges.calibration import (
    CALIBRATIONS,
    Calibration,
    calibrated,
    judged_by,
    outdated,
)
from modiste.evaluate.judges.experts import ExpertPair
from modiste.evaluate.judges.pairs import Outcome, Pair

N = 120


def quality(answer):
    return int(answer.split()[1])


@pytest.fixture(scope="module")
def experts_pairs():
    """Answers say their quality, 0 to 3, and are of any length; two experts know it, one errs."""
    rng = random.Random(7)
    pairs = []
    for n in range(N):
        grades = [rng.randrange(4), rng.randrange(4)]
        a, b = (f"quality {grade} {'x' * rng.randrange(1, 80)}" for grade in grades)
        truth = Outcome.of(grades[1] - grades[0])
        third = truth if rng.random() < 0.8 else rng.choice(list(Outcome))
        pairs.append(ExpertPair(Pair(Item(str(n), {"question": "?"}), a, b), (truth, truth, third)))
    return tuple(pairs)


def judge_of(double, points, *, cost=30, tokens=100):
    def reply(shown, prompt):
        first, second = points(shown["ANSWER_1"], shown["ANSWER_2"])
        said = f'{{"justification": "r", "score_answer_1": {first}, "score_answer_2": {second}}}'
        return Answer(said, prompt_tokens=tokens, latency_s=0.1, cost_micro=cost)

    return double(reply)


DOUBLES = {
    "perfect": lambda one, two: (quality(one), quality(two)),
    "anti": lambda one, two: (3 - quality(one), 3 - quality(two)),
    "first": lambda one, two: (3, 0),
    "long": lambda one, two: (int(len(one) > len(two)), int(len(two) > len(one))),
}


@pytest.fixture(scope="module")
def calibration(experts_pairs):
    """All four doubles on the same pairs; perfect is the dearest."""
    from modiste.evaluate.judges.pairwise import PairwiseSpec

    class Scripted:
        def __init__(self, reply):
            self.reply = reply

        async def chat(self, model, prompt):
            import re

            shown = re.findall(r"<<(\w+) [0-9a-f]{8}>>\n(.*?)\n<<END", prompt.messages[1].content)
            return self.reply(dict(shown), prompt)

    judged = []
    for name, points in DOUBLES.items():
        spec = PairwiseSpec(kind="pairwise", model=name, name=name, pack="legal_quality")
        models = judge_of(Scripted, points, cost=90 if name == "perfect" else 30)
        judged.append(asyncio.run(judged_by(spec, experts_pairs, models)))
    return calibrated(judged, experts_pairs, ("ann", "ben", "cat"))


def card(calibration: Calibration, name: str):
    return next(card for card in calibration.cards if card.name == name)


def test_the_one_that_knows_is_taken_though_it_is_the_dearest(calibration):
    assert calibration.choice.judge == "perfect"
    assert calibration.choice.best == "perfect"
    assert "highest" in calibration.choice.reason
    assert calibration.choice.warnings == ()


def test_the_liar_is_refused_and_why(calibration):
    refused = {one.judge: one.reason for one in calibration.choice.refused}
    assert "prefers what experts do not" in refused["anti"]
    assert card(calibration, "anti").tau.ci.hi < 0


def test_always_first_ties_everything_and_is_refused_too(calibration):
    first = card(calibration, "first")
    assert first.signs.consistency.value == 0.0
    assert first.signs.first_slot.value == 1.0
    assert set(first.differences.values()) == {0.0}
    refused = {one.judge: one.reason for one in calibration.choice.refused}
    assert "τ-b is undefined" in refused["first"]


def test_the_card_of_the_one_that_knows(calibration):
    perfect = card(calibration, "perfect")
    assert perfect.n == N
    assert perfect.accuracy.value > 0.95
    assert perfect.decided.value == 1.0
    assert perfect.kappa.value > 0.9
    assert perfect.signs.consistency.value == 1.0
    assert perfect.retest.value == 1.0
    assert perfect.signs.unreadable.value == 0.0
    assert perfect.costs.per_1000.value == 2 * 90 * 1000
    assert perfect.costs.p50_s.value == pytest.approx(0.1)


def test_the_lover_of_length_shows_it_where_experts_tie(calibration):
    long = card(calibration, "long")
    assert long.signs.longer.value == 1.0
    assert long.longer_on_ties.value == 1.0
    assert long.longer_on_ties.n > 10
    assert card(calibration, "perfect").longer_on_ties is None


def test_people_stand_beside_the_judges(calibration):
    assert calibration.experts.names == ("ann", "ben", "cat")
    assert 0.8 < calibration.experts.ceiling.value < 1.0


def test_cards_survive_json(calibration):
    told = CALIBRATIONS.dump_json(calibration)
    assert CALIBRATIONS.dump_json(CALIBRATIONS.validate_json(told)) == told


def test_a_cheaper_judge_that_may_be_as_good_is_taken(experts_pairs, legal, double):
    """Two judges that know alike, one of which costs a third."""
    judged = []
    for name, cost in (("dear", 90), ("cheap", 30)):
        models = judge_of(double, DOUBLES["perfect"], cost=cost)
        judged.append(asyncio.run(judged_by(legal(name=name), experts_pairs, models, retest=0)))
    choice = calibrated(judged, experts_pairs, ("ann", "ben", "cat")).choice
    assert choice.judge == "cheap"
    assert "which holds 0" in choice.reason
    assert [rival.cheaper for rival in choice.rivals] == [True]


def test_replies_that_cannot_be_read_stay_out_and_are_told(experts_pairs, legal, double):
    def sometimes(shown, prompt):
        one, two = shown["ANSWER_1"], shown["ANSWER_2"]
        if quality(one) == quality(two) == 3:
            return "I like both."
        first, second = DOUBLES["perfect"](one, two)
        return f'{{"justification": "", "score_answer_1": {first}, "score_answer_2": {second}}}'

    judged = asyncio.run(judged_by(legal(), experts_pairs, double(sometimes), retest=0))
    found = calibrated([judged], experts_pairs, ("ann", "ben", "cat")).cards[0]
    assert found.n_unscored > 0
    assert found.n + found.n_unscored == N
    assert found.accuracy.value > found.accuracy_unscored_wrong.value
    assert found.unscored_as_tie.accuracy.value >= found.accuracy.value
    assert f"{found.n_unscored} of {N} pairs have no verdict" in found.notes


def test_few_pairs_are_told(experts_pairs, legal, double):
    some = experts_pairs[:20]
    models = judge_of(double, DOUBLES["perfect"])
    judged = asyncio.run(judged_by(legal(), some, models, retest=5))
    found = calibrated([judged], some, ("ann", "ben", "cat")).cards[0]
    assert "20 pairs are few" in found.notes[0]
    assert found.retest.n == 5


def test_verdicts_on_other_pairs_are_refused(experts_pairs, legal, double):
    models = judge_of(double, DOUBLES["perfect"])
    judged = asyncio.run(judged_by(legal(), experts_pairs, models, retest=0))
    with pytest.raises(InvalidInput, match="not among those judged by experts"):
        calibrated([judged], experts_pairs[:50], ("ann", "ben", "cat"))


def test_own_familys_excess_is_measured_where_names_are_known(legal, double):
    """The judge prefers answers of its own family whatever the experts say."""
    pairs = [
        ExpertPair(
            Pair(Item(str(n), {"question": "?"}), "quality 0 own", "quality 0 other"),
            (Outcome.of((-1) ** n),),
            ("legal-7b", "llama-3"),
        )
        for n in range(40)
    ]
    models = judge_of(double, lambda one, two: (("own" in one) * 1, ("own" in two) * 1))
    spec = legal().model_copy(update={"model": "legal-70b"})
    judged = asyncio.run(judged_by(spec, pairs, models, retest=0))
    found = calibrated([judged], pairs, ("ann",)).cards[0]
    assert found.own_excess.value == pytest.approx(0.5)


def test_a_card_is_of_one_judge_and_one_set_of_pairs(experts_pairs, legal, double):
    models = judge_of(double, DOUBLES["perfect"])
    judged = asyncio.run(judged_by(legal(), experts_pairs, models, retest=0))
    found = calibrated([judged], experts_pairs, ("ann", "ben", "cat")).cards[0]
    assert outdated(found, legal(), experts_pairs) is None
    assert "calibrate it again" in outdated(found, legal(temperature=0.5))
    assert "other pairs" in outdated(found, legal(), experts_pairs[:100])
