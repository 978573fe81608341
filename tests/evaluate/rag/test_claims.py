"""No sentence and no claim gets lost between a text and its verdicts."""

from __future__ import annotations

import asyncio

import pytest

from modiste.evaluate.items import Status
from modiste.evaluate.rag.claims import Claim, claims_of, claims_schema, verdicts_schema, verify
from modiste.evaluate.rag.faithfulness import FaithfulnessSpec
from modiste.prepare import json_schema

SPEC = FaithfulnessSpec(kind="faithfulness", model="judge")
TEXT = "A is one. B is two. C is three."


def split(text, models):
    return asyncio.run(claims_of(text, SPEC, models))


def checked(n, models, context="Claim 1."):
    claims = [Claim(at, f"Claim {at}.", at) for at in range(1, n + 1)]
    return asyncio.run(verify(claims, context, SPEC, models))


def claim(text, sentence):
    return {"id": 7, "text": text, "source_sentence": sentence}


def test_every_sentence_gives_a_claim_and_numbers_are_ours(reader):
    found = split(TEXT, reader())
    assert [(one.id, one.sentence) for one in found.claims] == [(1, 1), (2, 2), (3, 3)]
    assert found.uncovered == ()
    assert found.usage.calls == 1


def test_sentences_passed_over_are_asked_for_once_more_alone(reader):
    replies = {
        1: {"claims": [claim("C is three.", 3)], "skipped": [1]},
        2: {"claims": [claim("B is two.", 2), claim("C is four.", 3)], "skipped": []},
    }
    models = reader(claims=lambda shown, nth: replies[nth])
    found = split(TEXT, models)
    assert [(one.id, one.text) for one in found.claims] == [(1, "B is two."), (2, "C is three.")]
    assert "only these sentences now: 2." in models.prompts[1].messages[1].content


def test_what_is_passed_over_twice_is_counted(reader):
    models = reader(claims=lambda shown, nth: {"claims": [claim("x", 1)], "skipped": []})
    found = split(TEXT, models)
    assert (len(found.claims), found.uncovered, found.usage.calls) == (1, (2, 3), 2)


def test_an_empty_text_asks_nobody(reader):
    models = reader()
    assert split(" ", models).claims == ()
    assert models.prompts == []


def test_a_judge_that_cannot_split_is_a_failure(reader):
    found = split(TEXT, reader(claims=lambda shown, nth: "no"))
    assert found.failure.status is Status.PARSE_FAILED


def test_ten_claims_a_call_at_most(reader):
    models = reader()
    found = checked(23, models)
    assert len(found.verdicts) == 23
    assert [verdict.claim.id for verdict in found.verdicts] == list(range(1, 24))
    sizes = [prompt.messages[1].content.count("<<CLAIM_") for prompt in models.prompts]
    assert sizes == [10, 10, 3]
    assert models.prompts[0].max_tokens > models.prompts[2].max_tokens


def test_only_claims_without_a_verdict_are_asked_for_again(reader):
    def forgetful(shown, nth):
        every = reader()._verdicts(shown, nth)["verdicts"]
        return {"verdicts": every[: 1 if nth == 1 else None]}

    models = reader(verdicts=forgetful)
    found = checked(3, models)
    assert [verdict.claim.id for verdict in found.verdicts] == [1, 2, 3]
    second = models.prompts[1].messages[1].content
    assert "CLAIM_1 " not in second
    assert "CLAIM_3 " in second


def test_a_claim_without_a_verdict_in_the_end_is_a_failure_with_its_number(reader):
    def forgetful(shown, nth):
        return {"verdicts": reader()._verdicts(shown, nth)["verdicts"][:1]}

    found = checked(3, reader(verdicts=forgetful))
    assert found.failure.status is Status.PARSE_FAILED
    assert "no verdict on claim 3" in found.failure.reason


@pytest.mark.parametrize(("quote", "missing"), [("Claim 1.", False), ("Claim one", True)])
def test_a_quotation_that_is_not_there_is_flagged(reader, quote, missing):
    reply = {"verdicts": [{"id": 1, "quote": quote, "reason": "r", "verdict": 1}]}
    found = checked(1, reader(verdicts=lambda shown, nth: reply))
    assert found.verdicts[0].supported
    assert found.verdicts[0].quote_missing is missing


def test_our_engine_can_hold_a_judge_to_the_forms():
    for schema in (claims_schema(3), verdicts_schema([1, 2])):
        assert json_schema.problem(schema) is None
