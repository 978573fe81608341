"""Estimates use the plan that jobs are planned with, and say what is only estimated."""

from __future__ import annotations

import pytest

from modiste import settings
from modiste.cli import tokenizers
from modiste.cli.data_options import named
from modiste.cli.estimates import Wish, estimates, sample_of, shown
from modiste.prepare.statistics import Statistics
from modiste.types import Example, Message, Role, SampleType

TEXTS = ["How many orders came in last week? Forty-two, most of them from Lyon."]


@pytest.fixture
def tiny(home):
    return tokenizers.resolve(None)


@pytest.fixture
def counted(tiny):
    made = Statistics()
    for at in range(50):
        messages = (Message(Role.USER, f"{TEXTS[0]} {at}"), Message(Role.ASSISTANT, "yes"))
        row = Example(at, SampleType.INSTRUCT, messages)
        made.add(row, tiny.renderer.training_samples(row))
    return made


def of(counted, tiny, wish=Wish(), **flags):
    wanted = settings.load(flags)
    return estimates(counted, tiny, texts=TEXTS, wanted=wanted, wish=wish)


def test_the_asked_base_comes_first_with_counted_tokens(counted, tiny):
    first, *others = of(counted, tiny)

    assert (first["base"], first["tokens"]) == ("modiste-tiny", counted.n_tokens)
    assert not first["tokens_estimated"]
    assert {"open-mistral-7b", "open-mistral-nemo"} <= {each["base"] for each in others}
    assert all(each["tokens_estimated"] for each in others)


def test_a_larger_base_takes_more_of_everything(counted, tiny):
    found = {each["base"]: each for each in of(counted, tiny)}
    small, large = found["modiste-tiny"], found["mistral-large-2411"]

    assert small["memory_bytes"] < large["memory_bytes"]
    assert small["duration_s"] < large["duration_s"]


def test_steps_and_epochs_follow_from_each_other(counted, tiny):
    by_epochs, *_ = of(counted, tiny, Wish(epochs=2.0))
    by_steps, *_ = of(counted, tiny, Wish(max_steps=by_epochs["steps"]))

    assert by_steps["epochs"] == pytest.approx(by_epochs["epochs"])
    assert by_epochs["epochs"] == pytest.approx(2.0, rel=0.1)
    whole = by_epochs["tokens_per_step"] * by_epochs["steps_per_epoch"]
    assert counted.n_tokens <= whole < counted.n_tokens + by_epochs["tokens_per_step"]


def test_a_price_of_the_settings_becomes_a_cost(counted, tiny):
    priced, *_ = of(counted, tiny, price_micro_per_million_tokens=4_000_000)

    assert priced["cost_micro"] == -(-priced["steps"] * priced["tokens_per_step"] * 4 // 1)
    assert shown(priced)["cost"].endswith("EUR")


def test_the_same_base_is_not_told_twice(counted, home):
    named = tokenizers.resolve("mistral-7b-v0.3")

    assert "open-mistral-7b" not in [each["base"] for each in of(counted, named)]


def test_no_tokens_mean_no_estimate(tiny):
    assert of(Statistics(), tiny) == []


def test_texts_are_taken_from_rows_that_can_be_read(training_file):
    training_file.write_text(training_file.read_text() + "{broken\n")

    texts = sample_of(named([str(training_file)], None, None))

    assert texts == ["Ping?\nPong."] * 20
