"""Looks at a pair become one verdict."""

from __future__ import annotations

from modiste.evaluate.items import Answer, Exchange, Failure, Item, Sample, Status
from modiste.evaluate.judges.pairs import VERDICTS, Look, Outcome, Side, pairs_of, verdict_of


def look(first, a, b):
    return Look(first, Status.SCORED, a, b)


def test_both_orders_agree(pair):
    verdict = verdict_of(pair("x", "yy"), [look(Side.A, 1, 3), look(Side.B, 2, 3)])
    assert (verdict.outcome, verdict.consistent) == (Outcome.B, True)
    assert (verdict.a, verdict.b, verdict.difference) == (1.5, 3.0, 1.5)
    assert (verdict.length_a, verdict.length_b) == (1, 2)


def test_orders_that_disagree_are_a_tie_whatever_the_mean_is(pair):
    verdict = verdict_of(pair("x", "y"), [look(Side.A, 0, 3), look(Side.B, 2, 1)])
    assert (verdict.outcome, verdict.consistent, verdict.difference) == (Outcome.TIE, False, 1.0)


def test_a_tie_and_a_win_disagree(pair):
    verdict = verdict_of(pair("x", "y"), [look(Side.A, 1, 1), look(Side.B, 1, 2)])
    assert (verdict.outcome, verdict.consistent) == (Outcome.TIE, False)


def test_two_ties_agree(pair):
    verdict = verdict_of(pair("x", "y"), [look(Side.A, 1, 1), look(Side.B, 2, 2)])
    assert (verdict.outcome, verdict.consistent) == (Outcome.TIE, True)


def test_one_order_alone_has_no_consistency(pair):
    verdict = verdict_of(pair("x", "y"), [look(Side.A, 3, 1)])
    assert (verdict.outcome, verdict.consistent) == (Outcome.A, None)


def test_an_order_that_failed_makes_the_pair_unscored(pair):
    failed = Look(Side.B, Status.PARSE_FAILED, reason="nonsense")
    verdict = verdict_of(pair("x", "y"), [look(Side.A, 3, 1), failed])
    assert (verdict.status, verdict.outcome, verdict.difference) == (
        Status.PARSE_FAILED,
        None,
        None,
    )
    assert verdict.reason == "nonsense"


def test_one_failed_look_of_several_in_an_order_leaves_the_others(pair):
    failed = Look(Side.B, Status.PARSE_FAILED, reason="nonsense")
    looks = [look(Side.A, 1, 2), look(Side.A, 0, 3), look(Side.B, 0, 1), failed]
    verdict = verdict_of(pair("x", "y"), looks)
    assert (verdict.status, verdict.outcome) == (Status.SCORED, Outcome.B)
    assert verdict.difference == ((1 + 3) / 2 + 1) / 2


def test_verdicts_survive_json(pair):
    verdict = verdict_of(pair("x", "y"), [look(Side.A, 1, 3), look(Side.B, 2, 3)])
    assert VERDICTS.validate_json(VERDICTS.dump_json(verdict)) == verdict


def test_a_pair_carries_what_was_said_before_each_answer():
    talks = [(Exchange("Why?", said),) for said in ("so", "thus")]
    a, b = ([Sample(Item("1", {}), 0, (), Answer("x", earlier=talk))] for talk in talks)
    (one,) = pairs_of(a, b).pairs
    assert [one.earlier_a, one.earlier_b] == talks


def test_samples_are_paired_by_item_and_attempt_and_the_rest_is_told():
    def sample(key, attempt=0, text="x", failure=None):
        return Sample(Item(key, {}), attempt, (), Answer(text, failure=failure))

    gone = Failure("timeout", "late")
    a = [sample("1"), sample("1", 1), sample("2"), sample("3", failure=gone)]
    b = [sample("1", text="y"), sample("1", 1), sample("3"), sample("4")]

    found = pairs_of(a, b)

    assert [(one.item.key, one.attempt, one.a, one.b) for one in found.pairs] == [
        ("1", 0, "x", "y"),
        ("1", 1, "x", "x"),
    ]
    assert [(left.key, left.reason) for left in found.left_out] == [
        ("2", "only a was asked"),
        ("3", "a gave no answer: late"),
        ("4", "only b was asked"),
    ]
