"""What a runner calls of every scorer, in order."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from modiste.errors import InvalidInput, NotYetSupported
from modiste.evaluate.items import Answer, Failure, Item, Likelihood, Prompt, Score, Status, scored
from modiste.evaluate.scorer import Check, Scorer, Wonder, arranged, fitted, shaped, told
from modiste.types import Message, Role

PROMPT = Prompt((Message(Role.USER, "Well?"),))


class Wants(Check):
    """Has a say in everything."""

    def __init__(self, name: str, shows: Mapping[str, Any], *, against: str = "") -> None:
        super().__init__(name, {"kind": "wants", "shows": dict(shows)})
        self._shows, self._against = shows, against

    def fitted(self, items: Sequence[Item]) -> Scorer:
        if self._against:
            raise InvalidInput(self._against)
        return self

    def arrange(self, item: Item, attempt: int) -> Mapping[str, Any]:
        return self._shows

    def shape(self, prompt: Prompt) -> Prompt:
        return replace(prompt, stream=True)

    def wonders(self, item: Item, prompt: Prompt) -> Wonder | None:
        return Wonder("Well?", (" yes", " no"))

    def look(self, item: Item, answer: Answer) -> Score:
        if answer.text == "odd":
            raise InvalidInput("this cannot be graded")
        return scored(1)


class Silent:
    async def likelihoods(
        self, model: str, text: str, texts: Sequence[str]
    ) -> tuple[Likelihood, ...]:
        if model == "none":
            raise NotYetSupported("no likelihoods here")
        return tuple(Likelihood(-1.0, 1, False) for _ in texts)


def test_an_item_is_shown_as_all_scorers_want_it_and_they_must_agree() -> None:
    item = Item("k", {"question": "Well?"})
    shown = arranged([Wants("a", {"x": 1}), Wants("b", {"x": 1, "y": 2})], item, 0)
    assert shown.arranged == {"x": 1, "y": 2}
    assert item.arranged == {}
    with pytest.raises(InvalidInput, match="scorer 'b' gives templates another 'x'"):
        arranged([Wants("a", {"x": 1}), Wants("b", {"x": 2})], item, 0)
    assert shaped([Wants("a", {})], PROMPT).stream


def test_all_that_scorers_have_against_a_dataset_is_said_at_once() -> None:
    against = [
        Wants("a", {}, against="no labels"),
        Wants("b", {}),
        Wants("c", {}, against="no rows"),
    ]
    with pytest.raises(InvalidInput, match="scorer 'a': no labels; scorer 'c': no rows"):
        fitted(against, [])


def test_likelihoods_are_kept_by_scorer_and_a_refusal_too() -> None:
    scorers, item = [Wants("a", {})], Item("k", {})
    found = asyncio.run(told(scorers, item, PROMPT, "m", Silent()))
    assert [each.logprob for each in found["a"].likelihoods] == [-1.0, -1.0]
    refused = asyncio.run(told(scorers, item, PROMPT, "none", Silent()))
    assert refused["a"].failure == Failure("not_supported", "no likelihoods here")


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (Answer("fine"), Status.SCORED),
        (Answer("odd"), Status.ERROR),
        (Answer(failure=Failure("timeout", "late")), Status.TIMEOUT),
        (Answer(failure=Failure("unavailable", "down")), Status.ERROR),
    ],
)
def test_a_failure_is_a_status_and_never_a_zero(answer: Answer, status: Status) -> None:
    score = asyncio.run(Wants("a", {}).grade(Item("k", {}), answer, Silent()))
    assert score.status is status
    assert (score.value is None) == (status is not Status.SCORED)


def test_identity_is_of_the_config() -> None:
    assert Wants("a", {"x": 1}).identity == Wants("b", {"x": 1}).identity
    assert Wants("a", {"x": 1}).identity != Wants("a", {"x": 2}).identity
