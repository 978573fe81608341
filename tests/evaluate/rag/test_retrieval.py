"""Useful passages first, and enough of them."""

from __future__ import annotations

import asyncio

import pytest
from pydantic import ValidationError

from modiste.evaluate.items import Answer, Item, Status
from modiste.evaluate.rag.retrieval import (
    ContextPrecisionSpec,
    ContextRecallSpec,
    precision_at_ranks,
)


def precision(row, models, answer="A is one.", **more):
    spec = ContextPrecisionSpec(**{"kind": "context_precision", "model": "judge"} | more)
    item = Item("k", {"question": "?", **row}, reference=row.get("reference"))
    return asyncio.run(spec.build().grade(item, Answer(answer), models))


def recall(reference, contexts, models):
    spec = ContextRecallSpec(kind="context_recall", model="judge")
    item = Item("k", {"question": "?", "contexts": contexts}, reference=reference)
    return asyncio.run(spec.build().grade(item, Answer("any"), models))


@pytest.fixture
def useful(reader):
    """Passages that hold the answer are useful."""
    return reader(
        reason=lambda shown, nth: {
            "reason": "r",
            "useful": int(shown["ANSWER"] in shown["PASSAGE"]),
        }
    )


# Vectors of the reference's appendix B.
@pytest.mark.parametrize(
    ("ranks", "value"),
    [([0, 1], 0.5), ([1, 0, 1], 0.8333333), ([1, 1, 0, 0], 1.0), ([0, 0], 0.0)],
)
def test_precision_at_ranks(ranks, value):
    assert precision_at_ranks([bool(v) for v in ranks]) == pytest.approx(value, abs=1e-6)


def test_a_useful_passage_in_second_place_is_half(useful):
    found = precision({"contexts": ["B is two.", "We know: A is one."]}, useful)
    assert (found.value, found.reason) == (0.5, "1 of 2 passages useful")


def test_passages_may_be_judged_against_the_reference(useful):
    row = {"contexts": ["B is two.", "A is one."], "reference": "B is two."}
    assert precision(row, useful, against="reference").value == 1.0


def test_without_what_to_judge_against_it_is_skipped(useful):
    assert precision({"contexts": ["x"]}, useful, answer="").status is Status.SKIPPED
    assert precision({"contexts": ["x"]}, useful, against="reference").status is Status.SKIPPED
    assert precision({"contexts": []}, useful).status is Status.SKIPPED


def test_a_passage_without_a_verdict_is_a_failure(reader):
    found = precision({"contexts": ["x"]}, reader(reason=lambda shown, nth: "hm"))
    assert found.status is Status.PARSE_FAILED
    assert "passage 1" in found.reason


def test_ids_are_exact_and_ask_nobody(reader):
    models = reader()
    more = {"model": "", "retrieved": "{{got}}", "relevant": "{{gold}}"}
    found = precision({"got": ["7", "3", "9"], "gold": ["7", "9"]}, models, **more)
    assert found.value == pytest.approx(0.8333333, abs=1e-6)
    assert precision({"got": [7, 3], "gold": [3]}, models, **more).value == 0.5
    assert precision({"got": [], "gold": ["3"]}, models, **more).status is Status.SKIPPED
    assert models.prompts == []


def test_a_judge_or_ids_are_needed():
    with pytest.raises(ValidationError, match="model is missing"):
        ContextPrecisionSpec(kind="context_precision")
    with pytest.raises(ValidationError, match="go together"):
        ContextPrecisionSpec(kind="context_precision", model="j", retrieved="{{got}}")


# RAGAS' few-shot examples of recall, as in the reference: one of two, all, none.
@pytest.mark.parametrize(
    ("reference", "contexts", "value"),
    [
        (
            "Einstein was born on 14 March 1879. He moved to Mars in 1895.",
            ["Einstein was born on 14 March 1879. He was a physicist."],
            0.5,
        ),
        (
            "India won the 2011 World Cup.",
            ["The final was in Mumbai.", "India won the 2011 World Cup."],
            1.0,
        ),
        ("Everest is the tallest mountain.", ["The Andes are the longest range."], 0.0),
    ],
    ids=["Einstein", "cricket", "Everest"],
)
def test_recall_is_the_share_of_the_references_claims(reader, reference, contexts, value):
    assert recall(reference, contexts, reader()).value == value


def test_recall_without_reference_or_contexts_is_skipped(reader):
    assert recall(None, ["x"], reader()).reason == "the item has no reference"
    assert recall("A is one.", [], reader()).reason == "the item has no contexts"
