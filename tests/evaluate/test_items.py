"""The nouns of an evaluation: a failure is no zero, and every sample is a line that reads back."""

from __future__ import annotations

import math
from typing import Any

import pytest

from modiste.evaluate.items import (
    SAMPLES,
    Answer,
    Failure,
    Item,
    Likelihood,
    Sample,
    Score,
    Status,
    TokenLogprob,
    Told,
    line_of,
    scored,
    unscored,
)
from modiste.types import Message, Role, ToolCall

UNSCORED = [status for status in Status if status is not Status.SCORED]


def sample(text: str = "x", row: Any = None, **scores: Score) -> Sample:
    item = Item("k", row or {"a": 1}, "ref", "c", {"topic": "law"}, {"choices": ["b", "a"]})
    return Sample(item, 1, (Message(Role.USER, "hi"),), Answer(text), scores)


@pytest.mark.parametrize("status", UNSCORED)
def test_what_is_not_scored_has_no_value(status: Status) -> None:
    assert unscored(status, "why").value is None
    with pytest.raises(ValueError, match="status is"):
        Score(status, 0.0)


@pytest.mark.parametrize("value", [None, math.nan, math.inf, -math.inf])
def test_what_is_scored_has_a_figure(value: float | None) -> None:
    with pytest.raises(ValueError, match=r"status is scored|no figure"):
        Score(Status.SCORED, value)


def test_a_sample_reads_back_as_it_was() -> None:
    answer = Answer(
        "Ümläut 🤖",
        calls=(ToolCall("id", "f", '{"a": 1}'),),
        latency_s=0.1 + 0.2,
        ttft_s=1e-9,
        cost_micro=7,
        logprobs=(TokenLogprob("a", -0.5, (("a", -0.5), ("b", -1.25))),),
        told={"mc": Told((Likelihood(-3.5, 2, True),)), "ppl": Told(failure=Failure("c", "m"))},
    )
    full = Sample(
        sample().item,
        3,
        (Message(Role.SYSTEM, "be"), Message(Role.USER, "hi")),
        answer,
        {"a": scored(1 / 3, label="A", detail=[1, None]), "b": unscored(Status.REFUSED, "no")},
    )
    line = line_of(full)
    assert b"\n" not in line
    assert SAMPLES.validate_json(line) == full


def test_text_with_line_ends_stays_on_one_line() -> None:
    kept = sample("a\nb\r\n\u2028c")
    assert len(line_of(kept).splitlines()) == 1
    assert SAMPLES.validate_json(line_of(kept)) == kept


def test_half_a_character_is_replaced_and_nothing_else() -> None:
    broken = sample("a\ud83d", {"q": "\udc00é"}, e=scored(1.0, label="\ud800", said="ok\ud800"))
    read = SAMPLES.validate_json(line_of(broken))
    assert read.answer.text == "a\ufffd"
    assert read.item.row == {"q": "\ufffdé"}
    assert (read.scores["e"].label, read.scores["e"].detail) == ("\ufffd", {"said": "ok\ufffd"})
    assert read.scores["e"].value == 1.0


def test_what_is_no_json_in_a_detail_is_its_text() -> None:
    class Odd:
        def __str__(self) -> str:
            return "odd"

    read = SAMPLES.validate_json(line_of(sample(e=scored(1.0, what=Odd(), deep=[{1: {Odd()}}]))))
    assert read.scores["e"].detail["what"] == "odd"
    assert isinstance(read.scores["e"].detail["deep"][0]["1"], (str, list))


def test_a_number_that_is_none_is_null_in_a_detail() -> None:
    read = SAMPLES.validate_json(line_of(sample(e=scored(1.0, p=math.nan))))
    assert read.scores["e"].detail == {"p": None}


def test_the_tokens_of_an_answer_are_those_of_prompt_and_text() -> None:
    assert Answer(prompt_tokens=3, completion_tokens=4).n_tokens == 7
