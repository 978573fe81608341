"""Figures over several attempts at each item."""

import pytest

from modiste.evaluate.items import Answer, Failure, Item
from modiste.evaluate.scorer import arranged

CAPITALS = ["Paris", "Rome", "Bern", "Oslo"]


def question(key: str) -> Item:
    return Item(key, {"question": "Capital of Switzerland?", "choices": CAPITALS}, 2)


def letter_of(item: Item, choice: str) -> str:
    return item.arranged["letters"][item.arranged["choices"].index(choice)]


def test_figures_of_attempts_are_over_items(bench) -> None:
    """Item a: right, right, wrong; item b: wrong three times, twice the same; c: right always."""
    choice = bench("multiple_choice")
    picks = {"a": ("Bern", "Bern", "Oslo"), "b": ("Rome", "Rome", "Paris"), "c": ("Bern",) * 3}
    samples = []
    for key, said in picks.items():
        for attempt, city in enumerate(said):
            item = arranged([choice.scorer], question(key), attempt)
            samples.append(choice.sample(item, f"ANSWER: {letter_of(item, city)}", attempt))
    metrics = choice.metrics(samples)
    values = {name: metric.estimate.value for name, metric in metrics.items()}
    assert values == pytest.approx(
        {
            "mean": (2 / 3 + 0 + 1) / 3,
            "attempt_1": 2 / 3,
            "attempt_2": 2 / 3,
            "attempt_3": 1 / 3,
            "pass_at_1": (2 / 3 + 0 + 1) / 3,
            "all_correct": 1 / 3,
            "any_correct": 2 / 3,
            "majority": 2 / 3,
            "within_variance": (1 / 3 + 0 + 0) / 3,
        }
    )
    assert metrics["mean"].estimate.n == 3
    assert metrics["within_variance"].higher_is_better is False


def test_an_item_with_a_failed_attempt_counts_in_the_mean_and_not_in_what_needs_all(bench) -> None:
    choice = bench("multiple_choice", shuffle=False)
    failed = Answer(failure=Failure("timeout", "too late"))
    samples = [
        choice.sample(arranged([choice.scorer], question(key), attempt), answer, attempt)
        for key, answers in {"a": ["C", "C"], "b": ["C", failed], "c": ["A", "C"]}.items()
        for attempt, answer in enumerate(answers)
    ]
    metrics = choice.metrics(samples)
    assert metrics["mean"].estimate.value == pytest.approx((1 + 1 + 0.5) / 3)
    assert (metrics["mean"].estimate.n, metrics["mean"].n_unscored) == (3, 1)
    assert metrics["all_correct"].estimate.value == pytest.approx(1 / 2)
    assert (metrics["all_correct"].estimate.n, metrics["all_correct"].n_unscored) == (2, 1)
    assert metrics["majority"].estimate.value == pytest.approx((1 + 0.5) / 2)
