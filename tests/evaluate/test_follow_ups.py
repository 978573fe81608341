"""Suites in which a model answers several times, as MT-Bench asks."""

from __future__ import annotations

import asyncio
import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError
from standin_models import SUITE, Scripted

from modiste.evaluate.asking import asking_of, prompt_sha256
from modiste.evaluate.dataset import items_in, items_of
from modiste.evaluate.items import SAMPLES, Answer, Failure, Prompt, Sample, line_of
from modiste.evaluate.run import Plan, run
from modiste.evaluate.suite import Suite
from modiste.prepare.sources.document import Item as RowIn

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("MODISTE_DATA", ROOT / ".." / "shared" / "data"))
TWO = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Capital of {{turns[0]}}"},
    {"role": "assistant"},
    {"role": "user", "content": "And of {{turns[1]}}"},
]


def suite(messages: list[dict[str, Any]] = TWO, **more: Any) -> Suite:
    told = {**SUITE, "messages": messages, **more}
    del told["prompt"]
    return Suite.model_validate(told)


def ran(models: Scripted, of: Suite) -> Sample:
    row = {"id": "r", "turns": ["a", "b"], "capital": "B"}
    items = items_of([RowIn(1, b"", row)], of.dataset, name="rows.jsonl")
    kept: list[Sample] = []
    scorers = [spec.build() for spec in of.scorers]
    asking = asking_of(of, next(iter(of.models.values())))
    asyncio.run(run(Plan(items, 1, asking, scorers), models, kept.append))
    return kept[0]


def told(prompt: Prompt) -> list[tuple[str, str | None]]:
    return [(each.role.value, each.content) for each in prompt.messages]


def test_the_second_question_follows_on_the_models_own_answer() -> None:
    models = Scripted(lambda prompt: (prompt.messages[-1].content or "")[-1].upper())
    sample = ran(models, suite())
    first, second = (prompt for _, prompt in models.asked)
    assert told(first) == [("system", "Be brief."), ("user", "Capital of a")]
    assert told(second) == [*told(first), ("assistant", "A"), ("user", "And of b")]
    assert first.seed == second.seed
    assert sample.prompt == second.messages
    assert (sample.answer.text, sample.answer.earlier) == ("B", (("Capital of a", "A"),))
    assert sample.scores["exact"].value == 1.0


def test_what_it_took_is_of_the_whole_conversation() -> None:
    answer = Answer("x", prompt_tokens=10, completion_tokens=2, latency_s=0.5, cost_micro=3)
    sample = ran(Scripted(lambda prompt: answer), suite())
    took = sample.answer
    assert (took.prompt_tokens, took.completion_tokens, took.latency_s) == (20, 4, 1.0)
    assert took.cost_micro == 6


def test_a_turn_without_an_answer_ends_it_and_names_the_turn() -> None:
    said = [Answer("A"), Answer(failure=Failure("upstream_error", "gone"))]
    models = Scripted(lambda prompt: said[len(models.asked) - 1])
    sample = ran(models, suite([*TWO, {"role": "assistant"}, {"role": "user", "content": "Sure?"}]))
    assert sample.answer.failure == Failure("upstream_error", "answer 2 of 3: gone")
    assert len(models.asked) == 2
    assert sample.scores["exact"].value is None


def test_a_sample_of_several_answers_is_read_back_as_it_was() -> None:
    sample = ran(Scripted(), suite())
    assert SAMPLES.validate_json(line_of(sample)) == sample


def test_what_is_asked_later_is_part_of_what_a_subject_says() -> None:
    other = suite([*TWO[:3], {"role": "user", "content": "And of all"}])
    subject = next(iter(other.models.values()))
    assert prompt_sha256(other, subject) != prompt_sha256(suite(), subject)


@pytest.mark.parametrize(
    ("messages", "more", "said"),
    [
        (TWO[:3], {}, r"messages\[2\] is the model's own answer, which stands between"),
        (TWO[2:], {}, r"messages\[0\] is the model's own answer"),
        ([{"role": "user"}], {}, "a turn of the user needs content"),
        (TWO, {"attacker": {"model": "evil"}}, "an attacker leads the conversation"),
        (
            TWO,
            {"models": {"few": {"model": "m", "shots": {"path": "x.jsonl"}}}},
            "models.few.shots",
        ),
    ],
)
def test_own_answers_that_cannot_be_asked_for_are_refused(
    messages: list[dict[str, Any]], more: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValidationError, match=said):
        suite(messages, **more)


def test_the_documented_suite_asks_mt_benchs_two_questions() -> None:
    folder = DATA / "i_mt_bench"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there; set MODISTE_DATA")
    page = (ROOT / "docs" / "judges.md").read_text()
    (written,) = re.findall(r"```yaml\n(name: mt-bench-second.*?)```", page, re.DOTALL)
    told = yaml.safe_load(written)
    told["scorers"][0]["prompts"] = str(folder / "judge_prompts.jsonl")
    of = Suite.model_validate(told)
    items = items_in(folder / "questions.jsonl", of.dataset, name="questions.jsonl")
    assert len(items) == 80
    models = Scripted(lambda prompt: "Rating: [[6]]" if "judge" in str(prompt) else "My answer.")
    kept: list[Sample] = []
    plan = Plan(items, 1, asking_of(of, of.models["base"]), [of.scorers[0].build()])
    asyncio.run(run(plan, models, kept.append))
    assert {sample.scores["mt_bench_single"].value for sample in kept} == {6.0}
    first = next(sample for sample in kept if sample.item.key == "81")
    assert (first.prompt[-1].content or "").startswith("Rewrite your previous response.")
    assert first.answer.earlier[0].question.startswith("Compose an engaging travel blog post")
