"""OpenAI's graders at work, their models answered by a script."""

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest

from modiste.evaluate.items import Answer, Item, Prompt, Sample, Score, Status
from modiste.evaluate.scorer import Scorer
from modiste.evaluate.scorers.registry import parse


class Scripted:
    """Says what it is told to, and keeps what it was asked."""

    def __init__(self, *replies: str) -> None:
        self.replies = list(replies)
        self.asked: list[tuple[str, Prompt]] = []

    async def chat(self, model: str, prompt: Prompt) -> Answer:
        self.asked.append((model, prompt))
        return Answer(self.replies.pop(0))

    async def likelihoods(self, model: str, text: str, continuations: Sequence[str]) -> Any:
        raise AssertionError

    async def embed(self, model: str, texts: Sequence[str]) -> Any:
        raise AssertionError


def made(grader: dict[str, Any]) -> Scorer:
    (scorer,) = parse([{"kind": "openai", "grader": grader}])
    return scorer


def graded(grader: dict[str, Any], text: str, *replies: str, **row: Any) -> Score:
    scorer = made(grader)
    try:
        return asyncio.run(scorer.grade(Item("k", row), Answer(text), Scripted(*replies)))
    finally:
        scorer.close()


def check(operation: str, wanted: str = "{{item.answer}}") -> dict[str, Any]:
    return {"type": "string_check", "name": "c", "input": "{{sample.output_text}}",
            "reference": wanted, "operation": operation}  # fmt: skip


@pytest.mark.parametrize(
    ("operation", "text", "value"),
    [
        ("eq", "Bern", 1), ("eq", "bern", 0), ("ne", "bern", 1), ("ne", "Bern", 0),
        ("like", "It is Bern.", 1), ("like", "It is bern.", 0), ("ilike", "IT IS BERN.", 1),
    ],
)  # fmt: skip
def test_strings_are_checked(operation: str, text: str, value: float) -> None:
    assert graded(check(operation), text, answer="Bern").value == value


def test_fields_of_a_json_answer_are_seen_and_an_answer_that_is_none_is_wrong() -> None:
    grader = {**check("eq"), "input": "{{ sample.output_json.city }}"}
    assert graded(grader, '{"city": "Bern"}', answer="Bern").value == 1
    assert graded(grader, '```json\n{"city": "Bern"}\n```', answer="Bern").value == 1
    wrong = graded(grader, "Bern", answer="Bern")
    assert (wrong.value, wrong.reason) == (0, "the answer is no JSON")


def test_a_row_without_the_field_is_an_error_of_the_dataset() -> None:
    score = graded(check("eq"), "x", other=1)
    assert score.status is Status.ERROR
    assert "answer" in score.reason


@pytest.mark.parametrize(
    ("metric", "value"),
    [("fuzzy_match", 0.8), ("rouge_1", 0.5), ("rouge_l", 0.5), ("gleu", 1 / 3), ("bleu", 0.5)],
)
def test_texts_are_compared(metric: str, value: float) -> None:
    """Of `a b` and `a c` one word of two and no pair is common: ROUGE 1/2, GLEU 1 of 3 n-grams,
    BLEU the root of 1/2 times, smoothed, 1/2. `abcde` and `abcdx` share 4 of 5 characters."""
    grader = {"type": "text_similarity", "input": "{{sample.output_text}}",
              "reference": "{{item.r}}", "evaluation_metric": metric,
              "pass_threshold": 0.6}  # fmt: skip
    if metric == "fuzzy_match":
        assert graded(grader, "abcde", r="abcdx").value == pytest.approx(value)
    else:
        assert graded(grader, "a b", r="a c").value == pytest.approx(value)


def test_pass_thresholds_make_a_share() -> None:
    scorer = made({"type": "text_similarity", "input": "{{sample.output_text}}",
                   "reference": "abcd", "evaluation_metric": "fuzzy_match",
                   "pass_threshold": 0.75})  # fmt: skip
    samples = []
    for at, text in enumerate(["abcd", "abcx", "xxxx"]):
        item, answer = Item(f"i{at}", {}), Answer(text)
        score = asyncio.run(scorer.grade(item, answer, Scripted()))
        samples.append(Sample(item, 0, (), answer, {"openai": score}))
    first, passed = scorer.metrics(samples)
    assert first.estimate is not None
    assert passed.estimate is not None
    assert first.estimate.value == pytest.approx((1 + 0.75 + 0) / 3)
    assert (passed.name, passed.estimate.value) == ("passed", pytest.approx(2 / 3))


JUDGE = {"type": "label_model", "name": "tone", "model": "judge",
         "input": [{"role": "developer", "content": "Rate {{item.topic}}"},
                   {"role": "user", "content": {"type": "input_text",
                                                "text": "{{sample.output_text}}"}}],
         "labels": ["kind", "rude"], "passing_labels": ["kind"]}  # fmt: skip


def test_a_grading_model_labels_in_json() -> None:
    models = Scripted(json.dumps({"reason": "it thanks", "label": "kind"}))
    scorer = made(JUDGE)
    score = asyncio.run(scorer.grade(Item("k", {"topic": "mail"}), Answer("Thanks!"), models))
    assert (score.value, score.label, score.reason) == (1, "kind", "it thanks")
    ((model, prompt),) = models.asked
    assert model == "judge"
    assert [m.content for m in prompt.messages[:2]] == ["Rate mail", "Thanks!"]
    assert prompt.messages[0].role == "system"
    assert prompt.schema is not None
    assert prompt.schema["properties"]["label"] == {"enum": ["kind", "rude"]}


def test_a_grading_model_that_says_nothing_readable_is_no_zero() -> None:
    score = graded(JUDGE, "x", "kind, I think", "still kind", topic="t")
    assert (score.status, score.value) == (Status.PARSE_FAILED, None)


def test_a_score_model_answers_on_its_range() -> None:
    grader = {"type": "score_model", "name": "s", "model": "judge", "range": [1, 7],
              "input": [{"role": "user", "content": "{{sample.output_text}}"}],
              "pass_threshold": 5, "sampling_params": {"temperature": 1, "seed": None}}  # fmt: skip
    assert made(grader).scale == (1, 7)
    assert graded(grader, "x", '{"reason": "ok", "result": 6}').value == 6
    off = graded(grader, "x", '{"reason": "", "result": 9}', '{"reason": "", "result": 9}')
    assert off.status is Status.PARSE_FAILED


PYTHON = {"type": "python", "name": "p", "image_tag": "2025-05-08", "source": (
    "def grade(sample, item):\n  return len(sample['output_text']) / item['most']")}  # fmt: skip


def test_python_graders_get_sample_and_item() -> None:
    assert graded(PYTHON, "abc", most=6).value == 0.5
    failed = graded(PYTHON, "abc", most=0)
    assert failed.status is Status.ERROR
    assert "line 2: ZeroDivisionError" in failed.reason


def test_several_graders_make_one_number_or_none() -> None:
    multi = {"type": "multi", "calculate_output": "0.75 * right + 0.25 * tone",
             "graders": {"right": check("like"), "tone": JUDGE}}  # fmt: skip
    kind = '{"reason": "", "label": "kind"}'
    score = graded(multi, "Bern", kind, answer="Bern", topic="t")
    assert (score.value, score.detail["parts"]) == (1.0, {"right": 1.0, "tone": 1.0})
    assert graded(multi, "Rome", kind, answer="Bern", topic="t").value == 0.25
    lost = graded(multi, "Bern", "?", "?", answer="Bern", topic="t")
    assert (lost.status, lost.value) == (Status.PARSE_FAILED, None)
    assert lost.reason.startswith("tone: ")
