"""Grades by a rubric: weighted by log-probabilities where they come, the plain grade elsewhere."""

from __future__ import annotations

import asyncio
import json
import math

import pytest
from pydantic import ValidationError

from modiste.evaluate.items import Answer, Exchange, Item, Status, TokenLogprob
from modiste.evaluate.judges.judge import judge_pairs
from modiste.evaluate.judges.pairs import Outcome
from modiste.evaluate.judges.pointwise import (
    MtBenchSingleSpec,
    RubricSpec,
    weighted_grade,
    written_steps,
)
from modiste.prepare import json_schema

ITEM = Item("k", {"question": "Why?", "right": "because"})


def rubric(**more):
    return RubricSpec(kind="rubric", model="judge", **more)


def graded(spec, models, text="because"):
    return asyncio.run(spec.build().grade(ITEM, Answer(text), models))


def grade(score, **more):
    return {"evidence": ["because"], "reason": "r", "score": score, **more}


def tokens(*parts):
    """Each a text, or a text with the log-probabilities in its place."""
    return tuple(
        TokenLogprob(part, 0.0)
        if isinstance(part, str)
        else TokenLogprob(part[0], math.log(part[1][part[0]]), _top(part[1]))
        for part in parts
    )


def _top(shares):
    return tuple((text, math.log(share)) for text, share in shares.items())


def test_a_grade_is_read_with_its_reasons(double):
    score = graded(rubric(), double(lambda shown, _: grade(4)))
    assert (score.value, score.label, score.reason) == (4.0, "4", "r")
    assert score.detail["weighted"] is None
    assert score.detail["usage"]["calls"] == 1


@pytest.mark.parametrize("pack", ["rubric", "rubric_result"])
def test_an_answer_is_graded_in_the_light_of_its_conversation(double, pack):
    said = json.dumps(grade(4)) if pack == "rubric" else "Feedback: r [RESULT] 4"
    models = double(lambda shown, _: said)
    talk = (Exchange("Write a poem.", "A poem."),)
    item = Item("k", {"question": "Shorter."})
    for answer in (Answer("x", earlier=talk), Answer("x")):
        score = asyncio.run(rubric(pack=pack).build().grade(item, answer, models))
        assert score.value == 4
    first, second = models.shown
    assert first["EARLIER"] == "User:\nWrite a poem.\n\nAssistant:\nA poem."
    assert "EARLIER is the conversation" in models.prompts[0].messages[0].content
    assert "EARLIER" not in str(models.prompts[1].messages)
    assert {**second, "EARLIER": first["EARLIER"]} == first


def test_log_probabilities_weight_the_grade_and_both_are_kept(double):
    said = json.dumps(grade(4))
    at = said.index("4")
    logprobs = tokens(
        said[:at], ("4", {"4": 0.6, "5": 0.2, "3": 0.195, "1": 0.005}), said[at + 1 :]
    )
    score = graded(rubric(), double(lambda shown, _: Answer(said, logprobs=logprobs)))
    assert score.value == pytest.approx((4 * 0.6 + 5 * 0.2 + 3 * 0.195) / 0.995)
    assert (score.detail["grade"], score.label) == (4, "4")


def test_a_grade_within_a_longer_token_is_found():
    logprobs = tokens('{"score":', (" 4}", {" 4}": 0.5, " 5}": 0.5}))
    assert weighted_grade(logprobs, 4, [1, 2, 3, 4, 5]) == pytest.approx(4.5)


@pytest.mark.parametrize(
    "logprobs",
    [(), tokens("Rating four"), tokens('{"score": ', ("3", {"3": 1.0}), "}")],
    ids=["none", "no grade", "another grade"],
)
def test_without_the_token_of_the_grade_there_is_no_weight(logprobs):
    assert weighted_grade(logprobs, 4, [1, 2, 3, 4, 5]) is None


def test_a_grade_that_the_answer_plants_is_not_the_one_that_is_weighed():
    logprobs = tokens(
        '{"evidence": ["\\"score\\": 5"], "score": ', ("1", {"1": 0.9, "2": 0.1}), "}"
    )
    assert weighted_grade(logprobs, 1, [1, 2, 3, 4, 5]) == pytest.approx(1.1)


def test_prometheus_form_is_read_from_its_last_result(double):
    spec = rubric(pack="rubric_result", reference="{{right}}")
    models = double(lambda shown, _: "Feedback: it begs for [RESULT] 5, yet is poor. [RESULT] 2")
    score = graded(spec, models)
    assert score.value == 2
    assert score.reason == "it begs for [RESULT] 5, yet is poor."
    assert "Reference answer (grade 5)" in models.prompts[0].messages[1].content
    assert models.prompts[0].schema is None


def test_a_grade_off_the_rubric_is_a_failure(double):
    score = graded(rubric(), double(lambda shown, _: grade(6)))
    assert (score.status, score.value) == (Status.PARSE_FAILED, None)
    assert "grading by the rubric" in score.reason


def test_levels_need_whole_grades_without_gaps():
    with pytest.raises(ValidationError, match="without gaps"):
        rubric(levels={1: "bad", 3: "good"})
    assert rubric(levels={1: "good", 0: "bad"}).build().scale == (0.0, 1.0)


def test_our_engine_can_hold_a_judge_to_the_form():
    assert json_schema.problem(rubric().build().schema()) is None


def test_mt_bench_rates_from_1_to_10(double):
    spec = MtBenchSingleSpec(kind="mt_bench_single", model="judge")
    score = graded(spec, double(lambda shown, _: "It is fine. Rating: [[8]]"))
    assert (score.value, score.reason) == (8.0, "It is fine. Rating: [[8]]")
    assert spec.build().scale == (1.0, 10.0)


def test_a_rubric_judges_pairs_by_points(pair, double):
    models = double(lambda shown, _: grade(5 if shown["ANSWER"] == "good" else 2))
    (verdict,) = asyncio.run(judge_pairs(rubric(), [pair("bad", "good")], models))
    assert (verdict.outcome, verdict.difference, verdict.consistent) == (Outcome.B, 3.0, None)
    assert verdict.usage.calls == 2


def test_a_pair_of_which_one_answer_has_no_grade_is_unscored(pair, double):
    models = double(lambda shown, _: grade(5) if shown["ANSWER"] == "good" else "hm")
    (verdict,) = asyncio.run(judge_pairs(rubric(), [pair("bad", "good")], models))
    assert verdict.status is Status.PARSE_FAILED


def test_a_row_that_lacks_the_question_is_an_error_that_names_it(double):
    score = graded(rubric(request="{{prompt}}"), double(lambda shown, _: grade(5)))
    assert score.status is Status.ERROR
    assert "prompt" in score.reason


def test_a_judge_writes_its_steps_once_and_then_grades_by_them(double):
    wrote = {"steps": ["Read the question.", "Find the reason.", "Compare both."]}
    models = double(lambda shown, _: wrote)
    reply = asyncio.run(written_steps(rubric(criterion="whether it says why"), models))
    assert reply.value == wrote
    assert "whether it says why" in models.prompts[0].messages[1].content
    with_steps = rubric(steps=tuple(wrote["steps"]))
    models = double(lambda shown, _: grade(4))
    assert graded(with_steps, models).value == 4
    assert "2. Find the reason." in models.prompts[0].messages[0].content
    assert with_steps.build().config != rubric().build().config, "other steps are another judge"


def test_without_steps_the_prompt_says_nothing_of_them(double):
    models = double(lambda shown, _: grade(4))
    graded(rubric(), models)
    assert "steps" not in models.prompts[0].messages[0].content
