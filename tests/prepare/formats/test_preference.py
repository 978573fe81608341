"""Preference pairs in every shape the field has."""

from __future__ import annotations

from typing import Any

import pytest

from modiste.prepare.formats.preference import parse_row
from modiste.types import Example, Message, Role, SampleType

ASK, GOOD, BAD = (
    {"role": "user", "content": "q"},
    {"role": "assistant", "content": "good"},
    {"role": "assistant", "content": "bad"},
)
SHAPES = {
    "openai": {
        "input": {"messages": [ASK]},
        "preferred_output": [GOOD],
        "non_preferred_output": [BAD],
    },
    "trl": {"prompt": "q", "chosen": "good", "rejected": "bad"},
    "trl messages": {"prompt": [ASK], "chosen": [GOOD], "rejected": [BAD]},
    "trl implicit": {"chosen": [ASK, GOOD], "rejected": [ASK, BAD]},
    "ultrafeedback": {"prompt": "q", "chosen": [ASK, GOOD], "rejected": [ASK, BAD]},
    "sharegpt": {
        "conversations": [{"from": "human", "value": "q"}],
        "chosen": {"from": "gpt", "value": "good"},
        "rejected": {"from": "gpt", "value": "bad"},
    },
    "hh": {
        "chosen": "\n\nHuman: q\n\nAssistant: good",
        "rejected": "\n\nHuman: q\n\nAssistant: bad",
    },
    "hh prompt": {"prompt": "\n\nHuman: q\n\nAssistant:", "chosen": " good", "rejected": " bad"},
    "alpaca": {"instruction": "q", "input": "", "chosen": "good", "rejected": "bad"},
    "orca": {"system": "", "question": "q", "chosen": "good", "rejected": "bad"},
}


def parsed(value: Any) -> Example:
    row = parse_row(value, file="f", line=1)
    assert row.problems == ()
    assert row.example is not None
    return row.example


def codes(value: Any) -> list[tuple[str, str]]:
    row = parse_row(value, file="f", line=1)
    assert row.example is None
    return [(problem.path, problem.code) for problem in row.problems]


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_is_the_same_pair(shape: str) -> None:
    example = parsed(SHAPES[shape])
    assert example.sample_type is SampleType.PREFERENCE
    assert example.messages == (Message(Role.USER, "q"),)
    assert [(m.content or "").strip() for m in example.chosen] == ["good"]
    assert [(m.content or "").strip() for m in example.rejected] == ["bad"]


def test_what_both_answers_begin_with_is_the_prompt() -> None:
    turns = "\n\nHuman: a\n\nAssistant: b\n\nHuman: c\n\nAssistant: "
    example = parsed({"chosen": turns + "good", "rejected": turns + "bad"})
    assert [m.content for m in example.messages] == ["a", "b", "c"]


def test_a_prompt_that_ends_differently_in_both_is_part_of_the_answers() -> None:
    example = parsed(
        {
            "chosen": "\n\nHuman: a\n\nAssistant: b\n\nHuman: c\n\nAssistant: d",
            "rejected": "\n\nHuman: a\n\nAssistant: x",
        }
    )
    assert [m.content for m in example.messages] == ["a"]
    assert [m.content for m in example.chosen] == ["b", "c", "d"]
    assert [m.content for m in example.rejected] == ["x"]


def test_tools_and_system_prompts_are_kept() -> None:
    tool = {"type": "function", "function": {"name": "f"}}
    given = {"messages": [{"role": "system", "content": "s"}, ASK], "tools": [tool]}
    example = parsed({**SHAPES["openai"], "input": given})
    assert example.tools == (tool,)
    assert example.messages[0] == Message(Role.SYSTEM, "s")
    assert parsed({**SHAPES["orca"], "system": "s"}).messages[0] == Message(Role.SYSTEM, "s")


def test_equal_answers_are_still_a_pair() -> None:
    example = parsed({"prompt": "q", "chosen": "same", "rejected": "same"})
    assert example.chosen == example.rejected == (Message(Role.ASSISTANT, "same"),)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ([], [("", "row_not_object")]),
        ({"prompt": "q", "chosen": "a"}, [("rejected", "field_missing")]),
        ({"prompt": "q"}, [("chosen", "field_missing"), ("rejected", "field_missing")]),
        ({"chosen": "a", "rejected": "b"}, [("prompt", "prompt_missing")]),
        ({"prompt": "q", "chosen": 1, "rejected": "b"}, [("chosen", "field_type")]),
        ({"prompt": "q", "chosen": [ASK], "rejected": [GOOD]}, [("chosen", "answer_missing")]),
        ({"prompt": "q", "chosen": [], "rejected": [GOOD]}, [("chosen", "answer_missing")]),
        ({"input": {}, "chosen": [GOOD], "rejected": [BAD]}, [("input.messages", "messages_type")]),
        ({"prompt": {}, "chosen": "a", "rejected": "b"}, [("prompt", "field_type")]),
        ({"prompt": [1], "chosen": "a", "rejected": "b"}, [("prompt[0]", "message_type")]),
    ],
)
def test_everything_wrong_is_told(value: Any, told: list[tuple[str, str]]) -> None:
    assert codes(value) == told


def test_scores_are_named_as_left_out() -> None:
    row = parse_row({**SHAPES["trl"], "score_chosen": 9.0}, file="f", line=1)
    assert row.ignored == ("score_chosen",)
