"""A judge is asked, asked once more where it cannot be read, and every failure keeps its name."""

from __future__ import annotations

import asyncio

import pytest

from modiste.evaluate.items import Answer, Failure, Prompt, Status
from modiste.evaluate.judges.asking import NOTHING, Usage, ask
from modiste.evaluate.judges.reading import json_reader, object_of
from modiste.types import Message, Role

SCHEMA = object_of(score={"type": "integer"})
PROMPT = Prompt(
    (Message(Role.SYSTEM, "judge"), Message(Role.USER, "this")), max_tokens=50, schema=SCHEMA
)
READ = json_reader(SCHEMA)


def asked(double, *replies):
    replies = iter(replies)
    models = double(lambda shown, prompt: next(replies))
    return models, asyncio.run(ask(models, "judge", PROMPT, READ))


def test_a_readable_reply_takes_one_call(double):
    models, reply = asked(double, {"score": 2})
    assert (reply.status, reply.value) == (Status.SCORED, {"score": 2})
    assert reply.usage == Usage(1, 100, 20, 0.5, 30)
    assert models.prompts == [PROMPT]


def test_an_unreadable_reply_is_shown_once_more_with_what_is_wrong(double):
    models, reply = asked(double, {"score": "high"}, {"score": 2})
    assert reply.value == {"score": 2}
    assert reply.usage == Usage(2, 200, 40, 1.0, 60)
    *before, said, complaint = models.prompts[1].messages
    assert tuple(before) == PROMPT.messages
    assert said == Message(Role.ASSISTANT, '{"score": "high"}')
    assert "$.score: 'high' is not of type 'integer'" in complaint.content


def test_two_unreadable_replies_are_a_failure_and_no_number(double):
    models, reply = asked(double, "well", "well, well")
    assert (reply.status, reply.value) == (Status.PARSE_FAILED, None)
    assert "'well, well'" in reply.reason
    assert len(models.prompts) == 2


def test_a_reply_that_was_cut_off_says_so(double):
    cut = Answer('{"sco', finish="length")
    _, reply = asked(double, cut, cut)
    assert "cut off at max_tokens = 50" in reply.reason


def test_a_refusal_is_not_asked_again(double):
    models, reply = asked(double, "I'm sorry, I can't judge this.")
    assert reply.status is Status.REFUSED
    assert len(models.prompts) == 1


@pytest.mark.parametrize(
    ("code", "status"), [("timeout", Status.TIMEOUT), ("unavailable", Status.ERROR)]
)
def test_a_judge_without_an_answer_is_told_apart(double, code, status):
    _, reply = asked(double, Failure(code, "gone"))
    assert (reply.status, reply.reason) == (status, "gone")
    assert reply.no_score("grading").reason == "grading: gone"


def test_one_call_without_a_price_makes_the_sum_unknown():
    assert (Usage(1, 1, 1, 1.0, 5) + Usage(1, 1, 1, 1.0, None)).cost_micro is None
    assert (NOTHING + Usage(1, 1, 1, 1.0, 5)).cost_micro == 5
