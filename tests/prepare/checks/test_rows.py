from __future__ import annotations

import json
from typing import Any

import pytest

from modiste.prepare.checks.rows import Wants, check_rows
from modiste.prepare.formats.read import Read, parse_row
from modiste.prepare.over_length import OverLength
from modiste.prepare.render_mistral import MistralRenderer
from modiste.types import SampleType, Severity

from ..conftest import WHEEL


def check(*values: Any, **wants: Any):
    wanted = Wants("f", 1_000, near=False, **wants)
    rows = [
        Read(n, json.dumps(v).encode(), v, parse_row(v, file="f", line=n))
        for n, v in enumerate(values, 1)
    ]
    tally = wanted.tally()
    check_rows(rows, wanted, tally)
    return tally


def told(tally):
    return [(p.line, p.path, p.code) for p in (*tally.errors, *tally.warnings)]


def chat(*contents: str, **more: Any) -> dict[str, Any]:
    roles = ["user", "assistant"] * len(contents)
    return {
        "messages": [{"role": r, "content": c} for r, c in zip(roles, contents, strict=False)]
    } | more


def test_rows_that_cannot_be_asked_for_are_told_without_a_tokenizer():
    masked = chat("q", "a")
    masked["messages"][1]["weight"] = 0

    assert told(check(masked)) == [(1, "", "no_trained_tokens")]
    assert check(chat("q", "a"), masked).n_trainable == 1


def test_a_broken_rule_comes_with_its_value_and_what_to_do():
    (problem,) = check(chat("q", "a", "q")).errors

    assert (problem.path, problem.code, problem.value) == (
        "messages[2].role",
        "last_role",
        "'user'",
    )
    assert problem.hint
    assert problem.severity is Severity.ERROR


def test_a_tool_call_that_its_tool_refuses_makes_the_row_bad():
    tool = {"type": "function", "function": {"name": "f", "parameters": {"required": ["x"]}}}
    row = chat("q", "a", tools=[tool])
    call = {"id": "abcdefghi", "function": {"name": "f", "arguments": "{}"}}
    row["messages"][1] = {"role": "assistant", "tool_calls": [call]}

    tally = check(row, chat("q", "a"))

    assert told(tally) == [
        (1, "messages[1].tool_calls[0].function.arguments", "arguments_break_schema")
    ]
    assert (tally.n_examples, tally.bad_lines) == (1, {1})


def test_both_sides_of_a_pair_are_held_against_the_rules():
    row = {"prompt": "q", "chosen": "a", "rejected": ""}

    tally = check(row)

    assert tally.sample_type in (SampleType.PREFERENCE, None)
    assert tally.bad_lines == {1}


def test_both_sides_of_a_pair_are_counted_in_tokens(tiny):
    tally = check({"prompt": "q", "chosen": "a", "rejected": "b c d"}, renderer=tiny)

    assert tally.n_samples == 2
    assert tally.bad_lines == set()


def test_a_pair_is_never_cut(tiny):
    row = {"prompt": chat(*["word " * 20] * 5)["messages"], "chosen": "a", "rejected": "b"}

    (problem,) = check(row, renderer=tiny, seq_len=96, over_length=OverLength.SPLIT).errors

    assert problem.code == "too_long"
    assert "pairs are not cut" in problem.message


def test_an_answer_of_several_turns_is_no_answer_to_compare():
    """Mistral's v3 moves the tools to the last question, so such a row is trained in two parts."""
    renderer = MistralRenderer(WHEEL / "mistral_instruct_tokenizer_240323.model.v3")
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    call = {"id": "abcdefghi", "function": {"name": "f", "arguments": "{}"}}
    used = [
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "abcdefghi", "content": "1"},
        {"role": "assistant", "content": "a"},
    ]
    row = {"prompt": "q", "chosen": used, "rejected": "b", "tools": [tool]}

    (problem,) = check(row, renderer=renderer).errors

    assert problem.code == "answer_not_one_turn"
    assert problem.hint


def test_a_row_that_is_too_long_is_refused_or_split_as_asked(tiny):
    long = chat(*["word " * 20] * 6)

    refused = check(long, renderer=tiny, seq_len=96)
    split = check(long, renderer=tiny, seq_len=96, over_length=OverLength.SPLIT)

    assert told(refused) == [(1, "", "too_long")]
    assert told(split) == [(1, "", "split")]
    assert split.n_samples > 1
    assert split.longest_sample <= 96


def test_one_answer_that_is_too_long_is_refused_even_when_splitting(tiny):
    tally = check(chat("q", "word " * 200), renderer=tiny, seq_len=96, over_length=OverLength.SPLIT)

    assert told(tally) == [(1, "", "too_long")]
    assert "too long by itself" in tally.errors[0].message


@pytest.mark.parametrize("renderer", [None, "tiny"])
def test_good_rows_are_counted_alike_with_and_without_a_tokenizer(renderer, request):
    made = request.getfixturevalue(renderer) if renderer else None

    tally = check(chat("q", "a"), chat("q", "b"), renderer=made)

    assert (tally.n_examples, tally.n_trainable, tally.statistics.n_rows) == (2, 2, 2)


def test_what_formats_take_and_people_seldom_mean_is_a_warning():
    row = chat("", "a")
    row["messages"] = [{"role": "system", "content": s} for s in "ab"] + row["messages"]

    tally = check(row)

    assert told(tally) == [
        (1, "messages[1].role", "system_repeated"),
        (1, "messages[2].content", "content_empty"),
    ]
    assert tally.bad_lines == set()
