"""Questions with choices in three modes, shuffled for every attempt."""

import asyncio
import math
from collections.abc import Mapping, Sequence

import pytest

from modiste.errors import InvalidInput, Unavailable
from modiste.evaluate.items import Answer, Item, Likelihood, Prompt, Sample, Status, TokenLogprob
from modiste.evaluate.scorer import arranged, shaped, told
from modiste.evaluate.template import Template
from modiste.types import Message, Role

CAPITALS = ["Paris", "Rome", "Bern", "Oslo"]


def question(key: str = "q1", reference: object = 2) -> Item:
    return Item(key, {"question": "Capital of Switzerland?", "choices": CAPITALS}, reference)


def letter_of(item: Item, choice: str) -> str:
    return item.arranged["letters"][item.arranged["choices"].index(choice)]


def test_templates_see_choices_in_the_order_of_this_attempt(bench) -> None:
    scorer = bench("multiple_choice").scorer
    item = arranged([scorer], question(), 0)
    text = Template("{{question}}\n{{choices_text}}", param="prompt").render(
        item.row, **item.arranged
    )
    lines = text.splitlines()[1:]
    assert sorted(line[3:] for line in lines) == sorted(CAPITALS)
    assert [line[:3] for line in lines] == ["A) ", "B) ", "C) ", "D) "]


def test_the_shuffle_is_of_item_and_attempt_alone(bench) -> None:
    scorer = bench("multiple_choice").scorer
    orders = {
        (key, attempt): tuple(arranged([scorer], question(key), attempt).arranged["choices_order"])
        for key in "abcdefgh"
        for attempt in range(4)
    }
    again = bench("multiple_choice", name="other").scorer
    assert tuple(arranged([again], question("a"), 3).arranged["choices_order"]) == orders["a", 3]
    assert len(set(orders.values())) > 10
    fixed = bench("multiple_choice", shuffle=False).scorer
    assert arranged([fixed], question(), 1).arranged["choices"] == CAPITALS


@pytest.mark.parametrize(
    "wrapped",
    ["Because.\nANSWER: {}", "answer: {} ", "ANSWER: A?\nno\nANSWER: {}", "**Answer:** **{}**",
     "The answer is ({}).", "{}", "{}) indeed", " ({})"],
)  # fmt: skip
def test_letters_are_read_from_answers(bench, wrapped: str) -> None:
    choice = bench("multiple_choice")
    item = arranged([choice.scorer], question(), 1)
    right = choice.grade(item, Answer(wrapped.format(letter_of(item, "Bern"))))
    wrong = choice.grade(item, Answer(wrapped.format(letter_of(item, "Oslo"))))
    assert (right.value, wrong.value) == (1, 0)
    assert wrong.detail["picked"] == 3


@pytest.mark.parametrize("text", ["", "I think Bern", "ANSWER: $LETTER", "ANSWER: J", "A cat sat"])
def test_an_answer_without_a_letter_is_wrong_and_counted(bench, text: str) -> None:
    choice = bench("multiple_choice")
    item = arranged([choice.scorer], question(), 0)
    score = choice.grade(item, Answer(text))
    assert (score.value, score.label) == (0, None)
    sample = choice.sample(item, text)
    note = choice.metrics([sample, sample])["mean"].notes[0]
    assert note == "2 of 2 answers name no choice and count as wrong"


@pytest.mark.parametrize("reference", [2, "2", "C", "c", "Bern"])
def test_the_right_choice_is_named_by_number_letter_or_text(bench, reference: object) -> None:
    choice = bench("multiple_choice")
    item = arranged([choice.scorer], question(reference=reference), 0)
    assert choice.grade(item, Answer(letter_of(item, "Bern"))).value == 1


def test_a_dataset_that_cannot_be_graded_is_refused_before_anything_is_asked(bench) -> None:
    items = [question("a", 7), Item("b", {"choices": "Paris"}, 0)]
    with pytest.raises(InvalidInput, match=r"item a: the reference is 7.*item b: choices is"):
        bench("multiple_choice").scorer.fitted(items)


def test_an_item_that_was_asked_otherwise_is_skipped(bench) -> None:
    assert bench("multiple_choice").grade(question(), Answer("A")).status is Status.SKIPPED


def prompt() -> Prompt:
    return Prompt((Message(Role.USER, "Capital?"),), max_tokens=100)


def logprobs(shares: Mapping[str, float]) -> Answer:
    top = tuple((token, math.log(share)) for token, share in shares.items())
    return Answer(top[0][0], logprobs=(TokenLogprob(*top[0], top=top),))


def test_log_probabilities_of_letters_are_added_up_and_renormalised(bench) -> None:
    choice = bench("multiple_choice", mode="logprob", shuffle=False)
    asked = shaped([choice.scorer], prompt())
    assert (asked.max_tokens, asked.top_logprobs) == (1, 20)
    item = arranged([choice.scorer], question(), 0)
    score = choice.grade(item, logprobs({"B": 0.3, "C": 0.25, " C": 0.15, "The": 0.2}))
    assert (score.value, score.label) == (1, "C")
    assert score.detail["mass"] == pytest.approx(0.7)
    assert score.detail["shares"]["C"] == pytest.approx(0.4 / 0.7)
    low = choice.sample(item, logprobs({"The": 0.7, "C": 0.2}))
    assert low.scores["multiple_choice"].value == 1
    (note,) = choice.metrics([low, low])["mean"].notes
    assert note == "in 2 of 2 answers letters have less than half of the mass"
    assert choice.grade(item, Answer("C")).status is Status.ERROR


class Likelihoods:
    """Tells one log-likelihood per character, so that short choices win unless bytes count."""

    def __init__(self, per_text: Mapping[str, float]) -> None:
        self.per_text = per_text
        self.asked: list[tuple[str, tuple[str, ...]]] = []

    async def chat(self, model: str, prompt: Prompt) -> Answer:
        raise AssertionError("likelihoods suffice")

    async def likelihoods(
        self, model: str, text: str, continuations: Sequence[str]
    ) -> tuple[Likelihood, ...]:
        self.asked.append((text, tuple(continuations)))
        if model == "none":
            raise Unavailable("this model tells none")
        return tuple(Likelihood(self.per_text[one], len(one), False) for one in continuations)

    async def embed(self, model: str, texts: Sequence[str]) -> list[list[float]]:
        raise AssertionError("likelihoods suffice")


def test_likelihoods_pick_the_choice_as_it_is_and_per_byte(bench) -> None:
    choice = bench("multiple_choice", mode="likelihood", shuffle=False)
    assert choice.scorer.reads_answer is False
    models = Likelihoods({" Paris": -9.0, " Rome": -4.0, " Bern": -6.0, " Oslo": -5.0})
    row = {"choices": ["Paris", "Rome", "Bern", "Oslo"]}
    item = arranged([choice.scorer], Item("q", row, "Rome"), 0)
    found = asyncio.run(told([choice.scorer], item, prompt(), "m", models))
    assert models.asked == [("Capital?", (" Paris", " Rome", " Bern", " Oslo"))]
    score = choice.grade(item, Answer(told=found))
    assert (score.value, score.detail["acc_norm"]) == (1, True)
    long = {" Paris": -4.5, " Rome": -4.0, " Bern": -6.0, " Oslo": -5.0}
    found = asyncio.run(told([choice.scorer], item, prompt(), "m", Likelihoods(long)))
    sample = Sample(item, 0, (), Answer(told=found))
    score = choice.grade(item, sample.answer)
    assert (score.value, score.detail["acc_norm"]) == (1, False)
    metrics = choice.metrics([choice.sample(item, sample.answer)] * 2)
    assert metrics["acc_norm"].estimate.value == 0


def test_a_model_that_tells_no_likelihoods_is_a_failure_and_not_a_wrong_answer(bench) -> None:
    choice = bench("multiple_choice", mode="likelihood")
    item = arranged([choice.scorer], question(), 0)
    found = asyncio.run(told([choice.scorer], item, prompt(), "none", Likelihoods({})))
    score = choice.grade(item, Answer(told=found))
    assert (score.status, score.reason) == (
        Status.ERROR,
        "no likelihoods: this model tells none",
    )
    assert choice.grade(item, Answer()).status is Status.SKIPPED
