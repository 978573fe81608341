"""Questions written from the answer are compared with the one that was asked."""

from __future__ import annotations

import asyncio
import math

import pytest

from modiste.errors import Unavailable
from modiste.evaluate.items import Answer, Item, Status
from modiste.evaluate.rag.relevancy import AnswerRelevancySpec


def scorer(**more):
    return AnswerRelevancySpec(
        kind="answer_relevancy", model="judge", embedding_model="vectors", **more
    ).build()


def models_that(reader, questions, noncommittal=0):
    questions = iter(questions)
    return reader(
        question=lambda shown, nth: {"question": next(questions)},
        reason=lambda shown, nth: {"reason": "it asks back", "noncommittal": noncommittal},
    )


def score(models, answer="In Ulm.", one=None):
    item = Item("k", {"question": "Where was he born?"})
    return asyncio.run((one or scorer()).grade(item, Answer(answer), models))


def test_the_same_question_three_times_is_one(reader):
    found = score(models_that(reader, ["Where was he born?"] * 3))
    assert found.value == pytest.approx(1.0)
    assert found.detail["distinct_questions"] == 1


def test_the_value_is_the_mean_of_the_cosines(reader):
    found = score(models_that(reader, ["born?", "who won?", "born?"]))
    other = 0.01 / (1.01)  # (1, 0, .1) and (0, 1, .1)
    assert found.value == pytest.approx((1 + other + 1) / 3)
    assert math.isclose(found.detail["cosines"][1], other, abs_tol=1e-6)


def test_an_evasive_answer_is_zero(reader):
    found = score(models_that(reader, ["born?"] * 3, noncommittal=1))
    assert (found.value, found.label, found.reason) == (0.0, "noncommittal", "it asks back")


def test_questions_are_drawn_with_seeds_of_their_own_and_evasion_at_zero(reader):
    models = models_that(reader, ["born?"] * 3)
    score(models)
    drawn = [(prompt.temperature, prompt.seed) for prompt in models.prompts]
    assert sorted(drawn) == [(0.0, 0), (0.7, 0), (0.7, 1), (0.7, 2)]


def test_the_judge_does_not_see_the_question(reader):
    models = models_that(reader, ["born?"] * 3)
    score(models)
    assert all("Where was he born?" not in p.messages[1].content for p in models.prompts)


def test_an_empty_answer_is_skipped_and_nobody_asked(reader):
    models = models_that(reader, [])
    assert score(models, answer=" ").status is Status.SKIPPED
    assert models.prompts == []


def test_one_unreadable_question_is_a_failure(reader):
    models = reader(
        question=lambda shown, nth: "hm",
        reason=lambda shown, nth: {"reason": "r", "noncommittal": 0},
    )
    assert score(models).status is Status.PARSE_FAILED


def test_vectors_that_cannot_be_had_are_an_error(reader):
    models = models_that(reader, ["born?"] * 3)

    async def gone(model, texts):
        raise Unavailable("no such model")

    models.embed = gone
    found = score(models)
    assert (found.status, found.reason) == (
        Status.ERROR,
        "embedding the questions: no such model",
    )


def test_another_embedding_model_is_another_scorer():
    assert scorer().identity != scorer(questions=2).identity
    other = AnswerRelevancySpec(kind="answer_relevancy", model="judge", embedding_model="other")
    assert scorer().identity != other.build().identity
