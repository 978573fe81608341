"""Claims that the contexts support, of all claims; the examples are those of the reference."""

from __future__ import annotations

import asyncio

import pytest

from modiste.evaluate.items import Answer, Item, Sample, Status
from modiste.evaluate.rag.faithfulness import FaithfulnessSpec

EINSTEIN = (
    "Albert Einstein was born in Germany. Albert Einstein was born on 14 March 1879. "
    "He was a physicist."
)


def scorer(**more):
    return FaithfulnessSpec(kind="faithfulness", model="judge", **more).build()


def score(answer, contexts, models, question="Where and when was Einstein born?"):
    item = Item("k", {"question": question, "contexts": contexts})
    return asyncio.run(scorer().grade(item, Answer(answer), models))


def test_one_of_two_claims_is_half(reader):
    answer = "Albert Einstein was born in Germany. Albert Einstein was born on 20 March 1879."
    found = score(answer, [EINSTEIN], reader())
    assert found.value == 0.5
    assert "20 March" in found.reason
    assert [claim["supported"] for claim in found.detail["claims"]] == [True, False]


def test_a_claim_that_is_there_is_one(reader):
    said = "The first Super Bowl was held on January 15, 1967."
    assert score(said, [f"{said} It was in Los Angeles."], reader()).value == 1.0


def test_claims_may_rest_on_different_passages(reader):
    assert score("A is one. B is two.", ["A is one.", "B is two."], reader()).value == 1.0


def test_nothing_supported_is_zero_and_scored(reader):
    assert score("A is one.", ["B is two."], reader()).value == 0.0


@pytest.mark.parametrize(
    ("answer", "contexts", "reason"),
    [
        ("A is one.", [], "the item has no contexts"),
        ("A is one.", [" "], "the item has no contexts"),
        ("", ["A is one."], "the answer makes no claim"),
    ],
)
def test_what_cannot_be_judged_is_skipped_with_the_reason(reader, answer, contexts, reason):
    found = score(answer, contexts, reader())
    assert (found.status, found.value, found.reason) == (Status.SKIPPED, None, reason)


def test_an_answer_of_small_talk_is_skipped(reader):
    models = reader(claims=lambda shown, nth: {"claims": [], "skipped": [1]})
    assert score("Hello!", ["A is one."], models).status is Status.SKIPPED


def test_a_judge_that_cannot_be_read_is_a_failure(reader):
    found = score("A is one.", ["A is one."], reader(verdicts=lambda shown, nth: "hm"))
    assert (found.status, found.value) == (Status.PARSE_FAILED, None)


def test_made_up_quotations_are_a_figure_beside_the_mean(reader):
    def liar(shown, nth):
        quotes = ["A is one.", "I read it there."]
        return {
            "verdicts": [
                {"id": at + 1, "quote": quotes[at], "reason": "r", "verdict": 1} for at in (0, 1)
            ]
        }

    item = Item("k", {"question": "?", "contexts": ["A is one."]})
    answer = Answer("A is one. B is two.")
    one = scorer()
    found = asyncio.run(one.grade(item, answer, reader(verdicts=liar)))
    samples = [Sample(Item(str(n), {}), 0, (), answer, {"faithfulness": found}) for n in range(3)]
    mean, missing = one.metrics(samples)
    assert (mean.id, mean.estimate.value, mean.estimate.n) == ("faithfulness.mean", 1.0, 3)
    assert (missing.id, missing.estimate.value) == ("faithfulness.quote_missing", 0.5)
