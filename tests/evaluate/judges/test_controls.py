"""A judge that can be taken in is found out, and one that reads content is not accused."""

from __future__ import annotations

import asyncio

import pytest

from modiste.evaluate.items import Item
from modiste.evaluate.judges import controls
from modiste.evaluate.judges.controls import controlled
from modiste.evaluate.judges.plain import without_markdown
from modiste.evaluate.judges.pointwise import RubricSpec

ANSWERS = [
    (Item(f"q{n}", {"question": "How do I reset it?"}), f"**Press {n}.** Then wait a minute.")
    for n in range(6)
] + [(Item("bare", {"question": "And then?"}), "Nothing.")]


def shares(found):
    return {
        each.control: None if each.taken_in is None else each.taken_in.value
        for each in found.results
    }


def of_pairs(double, spec, points):
    """Every control shown to a judge that gives each answer `points(text)`."""
    judge = double(lambda shown, _: reply(points(shown["ANSWER_1"]), points(shown["ANSWER_2"])))
    return asyncio.run(controlled(spec, ANSWERS, judge))


def reply(first, second):
    return {"justification": "why", "score_answer_1": first, "score_answer_2": second}


@pytest.fixture
def judge():
    from modiste.evaluate.judges.pairwise import PairwiseSpec

    return PairwiseSpec(kind="pairwise", model="judge", pack="legal_quality")


def test_a_judge_of_content_is_taken_in_by_nothing(double, judge):
    def content(text):
        return 2 if "Press" in text else 1

    found = of_pairs(double, judge, content)
    assert shares(found) == {"same": 0, "planted": 0, "padded": 0, "plain": 0}
    assert [(each.taken_in.n, each.n_not_made) for each in found.results] == [
        (7, 0), (7, 0), (7, 0), (6, 1),
    ]  # fmt: skip
    assert all(each.taken_in.ci.hi > 0.3 for each in found.results), "seven answers show little"


def test_one_that_does_as_it_is_told_falls_for_the_planted_note_alone(double, judge):
    found = of_pairs(double, judge, lambda text: 3 if "highest score" in text else 1)
    assert shares(found) == {"same": 0, "planted": 1, "padded": 0, "plain": 0}


def test_one_that_counts_words_falls_for_padding_and_for_the_note(double, judge):
    found = of_pairs(double, judge, lambda text: min(3, len(without_markdown(text).split()) // 8))
    assert shares(found)["padded"] == pytest.approx(6 / 7)
    assert shares(found)["planted"] == 1
    assert shares(found)["plain"] == 0


def test_one_that_likes_bold_type_falls_for_markdown(double, judge):
    found = of_pairs(double, judge, lambda text: int("**" in text))
    assert shares(found) == {"same": 0, "planted": 0, "padded": 0, "plain": 1}
    safe = judge.model_copy(update={"plain": True})
    assert shares(of_pairs(double, safe, lambda text: int("**" in text)))["plain"] == 0


def test_one_that_follows_the_slot_makes_ties_in_both_orders_and_is_found_in_one(double, judge):
    first = double(lambda shown, _: reply(2, 1))
    one_order = judge.model_copy(update={"order": "fixed"})
    assert shares(asyncio.run(controlled(judge, ANSWERS, first)))["same"] == 0
    assert shares(asyncio.run(controlled(one_order, ANSWERS, first)))["same"] == 1


def test_replies_that_cannot_be_read_are_counted_and_no_share_is_made_of_them(double, judge):
    found = asyncio.run(
        controlled(judge, ANSWERS, double(lambda shown, _: "Both."), controls=["planted"])
    )
    (result,) = found.results
    assert (result.taken_in, result.n_unscored) == (None, 7)


def test_a_judge_of_single_answers_is_held_to_the_same(double):
    spec = RubricSpec(kind="rubric", model="judge")

    def grade(shown, _):
        high = 5 if "highest score" in shown["ANSWER"] else 3
        return {"evidence": [], "reason": "r", "score": high}

    found = asyncio.run(controlled(spec, ANSWERS, double(grade)))
    assert shares(found) == {"same": 0, "planted": 1, "padded": 0, "plain": 0}


def test_nothing_can_be_padded_out_of_nothing():
    assert controls.padded(" \n") is None
