"""One model answers a suite: every sample once, kept when it is whole, failures never zeros."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Any

import pytest
from standin_models import Look, Scripted, plan_of

from modiste.errors import InvalidInput, NotYetSupported, Unavailable, UpstreamTimeout
from modiste.evaluate.items import (
    SAMPLES,
    Answer,
    Failure,
    Item,
    Models,
    Prompt,
    Sample,
    Score,
    Status,
    line_of,
    scored,
    unscored,
)
from modiste.evaluate.metric import METRICS
from modiste.evaluate.run import MOST_UNGRADED, Place, Plan, metrics_of, rescored, run
from modiste.evaluate.scorer import Scorer, Wonder


def ran(plan: Plan, models: Models, **options: Any) -> list[Sample]:
    kept: list[Sample] = []
    asyncio.run(asyncio.wait_for(run(plan, models, kept.append, **options), 30))
    return kept


def places(samples: Collection[Sample]) -> list[Place]:
    return [(sample.item.key, sample.attempt) for sample in samples]


def right(prompt: Prompt) -> str:
    """The right answer to each of the stand-in's questions."""
    return (prompt.messages[-1].content or "").removeprefix("Capital of c").join(["C", ""])[:-1]


def test_every_item_is_asked_every_attempt_and_graded() -> None:
    models = Scripted(right)
    kept = ran(plan_of(5, attempts=3), models)
    assert sorted(places(kept)) == [(f"r{i}", k) for i in range(5) for k in range(3)]
    assert len(models.asked) == 15
    assert {sample.scores["exact"].value for sample in kept} == {1.0}
    assert {model for model, _ in models.asked} == {"tiny"}


def test_attempts_are_asked_in_rounds_with_seeds_of_their_own() -> None:
    models = Scripted()
    ran(plan_of(3, attempts=4), models, at_once=1)
    asked = [prompt.messages[-1].content for _, prompt in models.asked]
    assert asked == [f"Capital of c{i}?" for i in range(3)] * 4
    assert len({prompt.seed for _, prompt in models.asked}) == 12


def test_what_is_done_is_not_asked_again() -> None:
    models = Scripted()
    done = {("r0", 0), ("r3", 1), ("r4", 0)}
    kept = ran(plan_of(5, attempts=2), models, done=done)
    assert sorted(places(kept)) == sorted({(f"r{i}", k) for i in range(5) for k in range(2)} - done)
    assert len(models.asked) == 7
    assert ran(plan_of(5), Scripted(), done={(f"r{i}", 0) for i in range(5)}) == []


class Blocked(Look):
    """Its first look lasts until the model has given so many answers."""

    takes_long = True

    def __init__(self, models: Scripted, n: int) -> None:
        super().__init__(lambda item, answer: scored(self._enough.wait(10)))
        self._enough = threading.Event()
        say = models.say

        def counted(prompt: Prompt) -> str | Answer:
            if len(models.asked) >= n:
                self._enough.set()
            return say(prompt)

        models.say = counted


def test_answers_keep_arriving_while_a_scorer_is_slow() -> None:
    models = Scripted(right)
    kept = ran(plan_of(200, scorers=[Blocked(models, 200)]), models, at_once=8)
    assert [sample.scores["look"].value for sample in kept] == [1.0] * 200


def test_answers_wait_for_a_slow_scorer_up_to_a_number() -> None:
    models, n = Scripted(right), MOST_UNGRADED + 100
    ahead: list[int] = []

    async def watched() -> None:
        scorer = Blocked(models, n)
        async with asyncio.timeout(30), asyncio.TaskGroup() as group:
            plan = plan_of(n, scorers=[scorer])
            group.create_task(run(plan, models, lambda sample: None, at_once=4))
            while len(models.asked) < MOST_UNGRADED:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.05)
            ahead.append(len(models.asked))
            scorer._enough.set()

    asyncio.run(watched())
    assert MOST_UNGRADED <= ahead[0] <= MOST_UNGRADED + 2 * 4
    assert len(models.asked) == n


def test_scorers_that_wait_for_their_child_leave_the_threads_of_requests_alone() -> None:
    class InThreads(Scripted):
        async def chat(self, model: str, prompt: Prompt) -> Answer:
            return await asyncio.to_thread(asyncio.run, super().chat(model, prompt))

    models = InThreads(right)
    blocked = [Blocked(models, 60) for _ in range(2)]
    blocked[1].name = "again"
    assert len(ran(plan_of(60, scorers=blocked), models, at_once=60)) == 60


def test_a_run_that_is_cut_anywhere_and_resumed_has_the_figures_of_one_that_was_not() -> None:
    def noisy(prompt: Prompt) -> str:
        return right(prompt) if random.Random(prompt.seed).random() < 0.6 else "wrong"

    plan = plan_of(40, attempts=3)
    whole = metrics_of(plan.scorers, ran(plan, Scripted(noisy)))
    for cut in (1, 17, 64, 119):
        kept: list[Sample] = []

        def keep(sample: Sample, kept: list[Sample] = kept, cut: int = cut) -> None:
            kept.append(sample)
            if len(kept) == cut:
                raise KeyError("killed")

        with pytest.raises(ExceptionGroup):
            asyncio.run(run(plan, Scripted(noisy), keep))
        models = Scripted(noisy)
        rest = ran(plan, models, done=set(places(kept)))
        assert len(models.asked) == 120 - len(kept) <= 120 - cut
        assert METRICS.dump_json(metrics_of(plan.scorers, [*kept, *rest])) == METRICS.dump_json(
            whole
        )


def test_figures_of_stored_samples_are_the_figures_bit_for_bit_whatever_their_order() -> None:
    def vague(item: Item, answer: Answer) -> Score:
        drawn = random.Random(f"{item.key}{len(answer.text)}")
        return (
            scored(drawn.random() / 3) if drawn.random() < 0.8 else unscored(Status.REFUSED, "no")
        )

    plan = plan_of(60, attempts=2, scorers=[Look(vague), Look(vague, name="again")])
    kept = ran(plan, Scripted())
    stored = [SAMPLES.validate_json(line_of(sample)) for sample in kept]
    assert stored == kept
    random.Random(5).shuffle(stored)
    assert metrics_of(plan.scorers, stored) == metrics_of(plan.scorers, kept)


def test_a_model_without_an_answer_is_a_failure_that_is_counted_and_no_zero() -> None:
    def half(prompt: Prompt) -> str | Answer:
        if (prompt.messages[-1].content or "") < "Capital of c2":
            return Answer(failure=Failure("timeout", "too slow"))
        return right(prompt)

    plan = plan_of(5)
    [metric] = metrics_of(plan.scorers, ran(plan, Scripted(half)))
    assert metric.estimate is not None
    assert (metric.estimate.value, metric.estimate.n, metric.n_unscored) == (1.0, 3, 2)
    assert metric.estimate.n_unscored == 2


def test_why_there_is_no_score_is_told_by_status() -> None:
    def none(code: str) -> Callable[[Prompt], Answer]:
        return lambda prompt: Answer(failure=Failure(code, "said so"))

    for code, status in (("timeout", Status.TIMEOUT), ("rate_limited", Status.ERROR)):
        [sample] = ran(plan_of(1), Scripted(none(code)))
        assert sample.scores["exact"].status is status
        assert "said so" in sample.scores["exact"].reason


def test_a_run_in_which_nothing_is_scored_has_no_figure_and_says_how_much_is_missing() -> None:
    plan = plan_of(4)
    kept = ran(plan, Scripted(lambda prompt: Answer(failure=Failure("c", "m"))))
    [metric] = metrics_of(plan.scorers, kept)
    assert (metric.estimate, metric.n_unscored) == (None, 4)


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (InvalidInput("bad reference"), Status.ERROR, "bad reference"),
        (Unavailable("judge is away"), Status.ERROR, "judge is away"),
        (UpstreamTimeout("judge is slow"), Status.TIMEOUT, "judge is slow"),
        (ZeroDivisionError("division by zero"), Status.ERROR, "broke with ZeroDivisionError"),
        (RecursionError(), Status.ERROR, "broke with RecursionError"),
    ],
)
def test_a_scorer_that_fails_on_one_answer_has_not_scored_it_and_the_run_goes_on(
    error: Exception, status: Status, said: str
) -> None:
    def look(item: Item, answer: Answer) -> Score:
        if item.key == "r1":
            raise error
        return scored(1.0)

    plan = plan_of(3, scorers=[Look(look), Look(lambda i, a: scored(0.5), name="other")])
    kept = {sample.item.key: sample.scores for sample in ran(plan, Scripted())}
    assert kept["r1"]["look"].status is status
    assert said in kept["r1"]["look"].reason
    assert kept["r1"]["other"].value == kept["r2"]["other"].value == 0.5
    assert (kept["r0"]["look"].value, kept["r2"]["look"].value) == (1.0, 1.0)


def test_a_scorer_that_gives_no_number_has_not_scored() -> None:
    plan = plan_of(1, scorers=[Look(lambda i, a: scored(float("nan")))])
    [sample] = ran(plan, Scripted())
    assert sample.scores["look"].status is Status.ERROR


def test_a_row_that_cannot_be_asked_is_a_failure_of_its_own_and_no_model_is_asked() -> None:
    plan = plan_of(3)
    items = [*plan.items[:2], replace(plan.items[2], row={"id": "r2"})]
    models = Scripted()
    kept = {s.item.key: s for s in ran(replace(plan, items=items), models)}
    failure = kept["r2"].answer.failure
    assert failure is not None
    assert (failure.code, "country" in failure.message) == ("prompt_invalid", True)
    assert len(models.asked) == 2


def test_what_breaks_a_run_comes_out_with_its_cause() -> None:
    def broken(prompt: Prompt) -> str:
        raise OSError("no space left")

    with pytest.raises(ExceptionGroup) as broke:
        ran(plan_of(50), Scripted(broken))
    assert isinstance(broke.value.exceptions[0], OSError)


def test_no_more_are_in_hand_than_allowed() -> None:
    class Counting(Scripted):
        n = most = 0

        async def chat(self, model: str, prompt: Prompt) -> Answer:
            self.n += 1
            self.most = max(self.most, self.n)
            answer = await super().chat(model, prompt)
            self.n -= 1
            return answer

    models = Counting(pause_s=0.001)
    assert len(ran(plan_of(60), models, at_once=7)) == 60
    assert models.most == 7


def test_a_cancelled_run_has_kept_what_it_finished() -> None:
    kept: list[Sample] = []

    async def work() -> None:
        task = asyncio.create_task(
            run(plan_of(200), Scripted(pause_s=0.01), kept.append, at_once=4)
        )
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(work())
    assert 4 <= len(kept) < 200
    assert all(sample.scores["exact"].value is not None for sample in kept)


def test_graded_anew_nothing_is_generated_and_old_scores_are_gone() -> None:
    plan = plan_of(6, attempts=2)
    kept = ran(plan, Scripted(right))
    models, anew = Scripted(), []
    other = Look(lambda item, answer: scored(answer.text == "C1"), name="other")
    asyncio.run(rescored([other], kept, models, anew.append))
    assert models.asked == []
    assert sorted(places(anew)) == sorted(places(kept))
    assert all(set(sample.scores) == {"other"} for sample in anew)
    answers = {(s.item.key, s.attempt): s.answer for s in kept}
    assert {(s.item.key, s.attempt): s.answer for s in anew} == answers
    asyncio.run(rescored([other], [], models, anew.append))


class Likely(Scorer):
    """Asks for likelihoods alone."""

    reads_answer = False

    def wonders(self, item: Item, prompt: Prompt) -> Wonder | None:
        return Wonder("So: ", ("yes", ""))

    async def score(self, item: Item, answer: Answer, models: Models) -> Score:
        told = answer.told[self.name]
        if told.failure is not None:
            return unscored(Status.ERROR, told.failure.message)
        return scored(told.likelihoods[0].logprob > told.likelihoods[1].logprob)


def test_where_likelihoods_suffice_nothing_is_generated() -> None:
    models = Scripted()
    kept = ran(plan_of(2, scorers=[Likely("likely", {})]), models)
    assert models.asked == []
    assert models.wondered == [("So: ", ("yes", ""))] * 2
    assert [len(sample.answer.told["likely"].likelihoods) for sample in kept] == [2, 2]


def test_a_model_that_does_not_tell_likelihoods_is_unscored_with_its_reason() -> None:
    models = Scripted(silent=NotYetSupported("hosted models do not tell"))
    [sample] = ran(plan_of(1, scorers=[Likely("likely", {})]), models)
    assert sample.scores["likely"].status is Status.ERROR
    assert "do not tell" in sample.scores["likely"].reason
