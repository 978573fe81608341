"""What a judge said is not asked for again: same judge, same words, same sampling."""

from __future__ import annotations

import asyncio

import pytest

from modiste.errors import NotFound
from modiste.evaluate.items import Answer, Failure, Item, Sample, Status
from modiste.evaluate.judges.kept import KeptReplies
from modiste.evaluate.judges.pointwise import RubricSpec
from modiste.evaluate.run import metrics_of

GRADE = {"evidence": [], "reason": "so", "score": 4}


class InMemory:
    def __init__(self):
        self.kept: dict[str, bytes] = {}

    async def get(self, key):
        return self.kept.get(key)

    async def put(self, key, reply):
        self.kept[key] = reply


def graded(models, replies, *, revision="weights 1", answer="because", **more):
    async def told(model):
        if revision is None:
            raise NotFound("no such model")
        return f"{model} {revision}"

    scorer = RubricSpec(kind="rubric", model="ada", **more).build()
    item = Item("k", {"question": "why?"})
    asked = KeptReplies(models, replies, revision=told)
    return asyncio.run(scorer.grade(item, Answer(answer), asked))


def test_the_same_question_is_asked_once(double):
    models, replies = double(lambda shown, _: GRADE), InMemory()
    first, second = (graded(models, replies) for _ in range(2))
    assert len(models.prompts) == 1
    assert (first.value, second.value) == (4, 4)
    assert (first.detail["usage"]["calls"], first.detail["usage"]["reused"]) == (1, 0)
    assert second.detail["usage"] == {
        "calls": 0, "prompt_tokens": 0, "completion_tokens": 0, "latency_s": 0.0,
        "cost_micro": 0, "reused": 1,
    }  # fmt: skip


@pytest.mark.parametrize(
    "other",
    [
        {"revision": "weights 2"},
        {"answer": "because of it"},
        {"seed": 1},
        {"temperature": 0.5},
        {"max_tokens": 99},
        {"criterion": "another"},
        {"role": "a kind examiner"},
        {"logprobs": False},
        {"pack": "rubric_result"},
    ],
    ids=str,
)
def test_whatever_differs_is_asked(double, other):
    models, replies = double(lambda shown, _: GRADE), InMemory()
    graded(models, replies)
    graded(models, replies, **other)
    assert len(models.prompts) >= 2


def test_it_can_be_switched_off_and_that_changes_no_identity(double):
    models, replies = double(lambda shown, _: GRADE), InMemory()
    for _ in range(2):
        graded(models, replies, reuse=False)
    assert (len(models.prompts), replies.kept) == (2, {})
    made = [RubricSpec(kind="rubric", model="ada", reuse=on).build() for on in (True, False)]
    assert made[0].identity == made[1].identity


def test_nothing_is_kept_of_a_model_that_nobody_knows(double):
    models, replies = double(lambda shown, _: GRADE), InMemory()
    graded(models, replies, revision=None)
    assert replies.kept == {}


@pytest.mark.parametrize("reply", ["no verdict at all", Failure("timeout", "late"), "I'm sorry"])
def test_a_judge_that_failed_is_asked_again(double, reply):
    models, replies = double(lambda shown, _: reply), InMemory()
    assert graded(models, replies).status is not Status.SCORED
    assert replies.kept == {}
    mended = double(lambda shown, _: GRADE)
    assert graded(mended, replies).value == 4


def test_what_was_read_at_the_second_try_leaves_the_first_to_be_asked(double):
    said = iter(["?", GRADE, "?", GRADE])
    models, replies = double(lambda shown, _: next(said)), InMemory()
    assert graded(models, replies).value == 4
    assert len(replies.kept) == 1
    again = graded(models, replies)
    assert (again.detail["usage"]["calls"], again.detail["usage"]["reused"]) == (1, 1)


def test_the_figures_say_how_much_is_of_earlier_runs(double):
    models, replies = double(lambda shown, _: GRADE), InMemory()
    scorer = RubricSpec(kind="rubric", model="ada").build()
    samples = [
        Sample(
            Item(f"k{at}", {}),
            0,
            (),
            Answer(answer),
            {"rubric": graded(models, replies, answer=answer)},
        )
        for at, answer in enumerate(("one", "two", "one"))
    ]
    [metric] = metrics_of([scorer], samples)
    assert any(note.startswith("1 of 3 replies of judges had been given") for note in metric.notes)
    assert metrics_of([scorer], samples[:2])[0].notes == ()
