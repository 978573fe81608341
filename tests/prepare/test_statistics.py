"""Counted apart and merged is counted whole, and no length is told shorter than it is."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modiste.prepare.statistics import Histogram, Statistics
from modiste.prepare.turns import Rendered
from modiste.types import Example, Message, Role, SampleType, ToolCall

LENGTHS = st.lists(st.integers(0, 3_000_000), max_size=60)


def histogram(values):
    made = Histogram()
    for value in values:
        made.add(value)
    return made


def sample(n_tokens, n_trained):
    return Rendered([1] * n_tokens, [at < n_trained for at in range(n_tokens)])


def chat(*pairs):
    return Example(1, SampleType.INSTRUCT, tuple(Message(role, text) for role, text in pairs))


QUESTION, ANSWER = (Role.USER, "what?"), (Role.ASSISTANT, "this")


@given(first=LENGTHS, second=LENGTHS)
def test_two_halves_merged_are_the_whole(first, second):
    merged = histogram(first)
    merged.merge(histogram(second))

    assert merged == histogram(first + second)


@given(values=LENGTHS.filter(bool), share=st.sampled_from([0.01, 0.5, 0.9, 0.99, 1.0]))
def test_a_quantile_is_never_too_small_and_at_most_a_bin_too_large(values, share):
    exact = sorted(values)[max(0, -(-int(share * 100) * len(values) // 100) - 1)]

    told = histogram(values).quantile(share)

    assert exact <= told <= exact * (1 + 1 / 64) + 1


@given(values=LENGTHS, power=st.integers(0, 20))
def test_what_fits_into_a_power_of_two_is_counted_exactly(values, power):
    assert histogram(values).at_most(1 << power) == sum(v <= 1 << power for v in values)


@given(values=LENGTHS.filter(bool))
def test_bars_hold_every_value_once_and_leave_no_gap(values):
    bars = histogram(values).bars()

    assert sum(bar.n for bar in bars) == len(values)
    assert all(after.least == before.most + 1 for before, after in pairwise(bars))
    assert bars[0].least <= min(values)
    assert bars[-1].most >= max(values)
    assert len(bars) <= 50


def test_tokens_and_trained_tokens_are_counted_for_each_sequence():
    counted = Statistics(seq_len=8)
    counted.add(chat(QUESTION, ANSWER), [sample(10, 4), sample(6, 1)])
    counted.add(chat(QUESTION, ANSWER), [sample(7, 0)])

    written = counted.to_json()

    assert (written["rows"], written["samples"]) == (2, 3)
    assert (written["tokens"], written["trained_tokens"]) == (23, 5)
    assert (written["over_length_samples"], written["over_length_tokens"]) == (1, 2)
    assert written["untrained_rows"] == 1


def test_rows_left_out_for_their_length_are_counted_apart():
    counted = Statistics(seq_len=8)
    counted.refuse(11)

    assert (counted.n_over_length, counted.n_over_length_tokens) == (1, 3)
    assert counted.n_rows == counted.n_tokens == 0


def test_an_answer_in_two_messages_is_one_turn():
    counted = Statistics()
    counted.add(chat((Role.SYSTEM, "be kind"), QUESTION, ANSWER, ANSWER, QUESTION, ANSWER))

    assert counted.turns.total == 2
    assert counted.question.total == len("be kind") + 2 * len("what?")
    assert counted.answer.total == 3 * len("this")
    assert counted.n_with_system == 1
    assert dict(counted.roles) == {"system": 1, "user": 2, "assistant": 3}


def test_of_a_preference_pair_the_preferred_answer_is_measured():
    pair = Example(
        1,
        SampleType.PREFERENCE,
        (Message(*QUESTION),),
        chosen=(Message(*ANSWER),),
        rejected=(Message(Role.ASSISTANT, "something longer"),),
    )
    counted = Statistics()
    counted.add(pair)

    assert (counted.turns.total, counted.answer.total) == (1, len("this"))


def test_tool_calls_are_part_of_the_answer():
    call = Message(Role.ASSISTANT, tool_calls=(ToolCall("123456789", "look", "{}"),))
    tool = {"type": "function", "function": {"name": "look", "parameters": {}}}
    counted = Statistics()
    counted.add(Example(1, SampleType.INSTRUCT, (Message(Role.USER, "?"), call), tools=(tool,)))

    assert (counted.n_tool_calls, counted.n_with_tools) == (1, 1)
    assert counted.answer.total == len("look{}")


def test_without_a_tokenizer_nothing_is_said_about_tokens():
    counted = Statistics()
    counted.add(Example(1, SampleType.PRETRAIN, text="words"))

    written = counted.to_json()

    assert "tokens" not in written
    assert written["lengths"]["text"]["total"] == 5


def test_lengths_to_choose_from_end_with_the_first_that_fits_all():
    counted = Statistics()
    for n_tokens in (256, 257, 1024):
        counted.add(chat(QUESTION, ANSWER), [sample(n_tokens, 1)])

    assert counted.fits() == {256: pytest.approx(1 / 3), 512: pytest.approx(2 / 3), 1024: 1.0}


def test_merged_statistics_equal_those_of_the_whole():
    whole, first, second = Statistics(), Statistics(), Statistics()
    rows = [(chat(QUESTION, ANSWER), [sample(n, n // 2)]) for n in (5, 300, 70)]
    for at, row in enumerate(rows):
        whole.add(*row)
        (first if at else second).add(*row)
    first.merge(second)

    assert first.to_json() == whole.to_json()
    assert json.loads(json.dumps(first.to_json())) == first.to_json()
