"""Several judges grade single answers, as one scorer of a suite."""

from __future__ import annotations

import asyncio

import pytest

from modiste.evaluate.items import SAMPLES, Answer, Failure, Item, Sample, Status, line_of
from modiste.evaluate.scorers.registry import parse


class Graders:
    """Each model grades as it is told; what it is told of a model may be a failure."""

    def __init__(self, **grades):
        self.grades = grades

    async def chat(self, model, prompt):
        grade = self.grades[model]
        if isinstance(grade, Failure):
            return Answer(failure=grade)
        if "[[" in prompt.messages[-1].content:
            return Answer(f"Rating: [[{grade}]]", prompt_tokens=9, cost_micro=1)
        return Answer(f'{{"evidence": [], "reason": "so", "score": {grade}}}', cost_micro=1)


def panel(**more):
    judges = [{"kind": "rubric", "model": name} for name in ("ada", "bob", "cyd")]
    return parse([{"kind": "panel", "judges": judges, **more}])[0]


def score_of(scorer, models, key="k"):
    item = Item(key, {"question": "why?"})
    return asyncio.run(scorer.grade(item, Answer("because"), models))


def test_the_mean_of_the_grades_and_each_of_them():
    score = score_of(panel(), Graders(ada=5, bob=4, cyd=1))
    assert score.value == pytest.approx(10 / 3)
    assert score.detail["judges"] == {"ada": 5, "bob": 4, "cyd": 1}
    assert score.detail["spread"] == 4
    assert score.detail["usage"]["calls"] == 3
    assert score.detail["replies"]["cyd"]["reason"] == "so"


def test_the_median_is_the_majority_of_a_scale():
    assert score_of(panel(combine="median"), Graders(ada=5, bob=4, cyd=1)).value == 4


def test_too_few_grades_are_no_score_and_one_missing_is_told():
    away = Failure("unavailable", "away")
    score = score_of(panel(), Graders(ada=5, bob=3, cyd=away))
    assert (score.value, score.detail["judges"]) == (4, {"ada": 5, "bob": 3})
    assert "no grade of cyd" in score.reason
    none = score_of(panel(), Graders(ada=5, bob=away, cyd=away))
    assert (none.status, none.value) == (Status.ERROR, None)
    assert "2 of 3 judges gave no grade" in none.reason


def test_judges_on_other_scales_are_brought_to_shares():
    judges = [{"kind": "rubric", "model": "ada"}, {"kind": "mt_bench_single", "model": "bob"}]
    scorer = panel(judges=judges)
    assert (scorer.scale, scorer.unit) == ((0.0, 1.0), "share")
    score = score_of(scorer, Graders(ada=5, bob=1))
    assert (score.value, score.detail["judges"]) == (0.5, {"ada": 1.0, "bob": 0.0})


def test_figures_are_of_the_panel_of_each_judge_and_of_their_spread():
    scorer, samples = panel(), []
    for at in range(12):
        models = Graders(ada=1 + at % 5, bob=1 + at % 5, cyd=max(1, at % 5))
        item = Item(str(at), {"question": "why?"})
        answer = Answer("because")
        score = asyncio.run(scorer.grade(item, answer, models))
        sample = Sample(item, 0, (), answer, {"panel": score})
        samples.append(SAMPLES.validate_json(line_of(sample)))
    found = {metric.name: metric for metric in scorer.metrics(samples)}
    assert list(found) == ["mean", "judge.ada", "judge.bob", "judge.cyd", "spread"]
    assert found["judge.ada"].estimate.value > found["judge.cyd"].estimate.value
    assert found["spread"].estimate.value == pytest.approx(9 / 12)
    assert not found["spread"].higher_is_better
    assert any("α = 0." in note for note in found["mean"].notes)
    assert not any("families" in note for note in found["mean"].notes)


def test_the_models_it_asks_are_known_and_a_name_does_not_change_what_it_is():
    spec = panel()
    assert spec.identity == panel(name="other").identity
    assert spec.identity != panel(combine="median").identity
