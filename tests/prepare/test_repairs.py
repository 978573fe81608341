"""Safe repairs of chat rows."""

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modiste.prepare.conversation import CallIds, Rules, Use, violations
from modiste.prepare.formats.chat import parse_row
from modiste.prepare.repairs import ROLES, fix_row

RULES = Rules(call_ids=CallIds.SHORT, results_name_their_call=True)


def chat(*messages: Any, **more: Any) -> dict[str, Any]:
    return {"messages": list(messages), **more}


def said(role: str, content: Any = "hi", **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


def trains(value: Any) -> bool:
    row = parse_row(value, file="f", line=1)
    if row.example is None:
        return False
    example = row.example
    return not violations(example.messages, tools=example.tools, rules=RULES, use=Use.TRAINING)


def codes(value: Any) -> list[str]:
    return [change.code for change in fix_row(value).changes]


GOOD = chat(said("user"), said("assistant"))


def test_a_good_row_comes_back_as_the_same_object() -> None:
    assert fix_row(GOOD).value is GOOD
    assert fix_row(GOOD).changes == ()


@pytest.mark.parametrize(
    ("value", "fixed"),
    [
        ({"interactions": GOOD["messages"]}, GOOD),
        (chat({"role": "user", "text": "hi"}, {"role": "assistant", "text": "hi"}), GOOD),
        (chat({"from": "human", "value": "hi"}, {"from": "gpt", "value": "hi"}), GOOD),
        (chat(said("Human"), said(" bot ")), GOOD),
        (chat(said("user"), said("assistant"), said("user", "thanks")), GOOD),
        (chat(said("user"), said("assistant"), said("assistant", ""), said("user")), GOOD),
        (chat(said("system", " "), said("user"), said("assistant")), GOOD),
        (chat(said("user"), said("assistant", [])), chat(said("user"), said("assistant", []))),
        (chat(said("user"), said("assistant", weight=True)),
         chat(said("user"), said("assistant", weight=1))),
        (chat(said("user"), said("assistant", weight="0")),
         chat(said("user"), said("assistant", weight=0))),
        ({"available_tools": [], **GOOD}, {"tools": [], **GOOD}),
        ({**GOOD, "tools": '[{"name": "f"}]'},
         {**GOOD, "tools": [{"type": "function", "function": {"name": "f"}}]}),
        ({**GOOD, "functions": [{"name": "f", "parameters": {}}]},
         {**GOOD, "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}]}),
    ],
)  # fmt: skip
def test_each_repair_does_what_it_says(value: Any, fixed: Any) -> None:
    assert fix_row(value).value == fixed


@pytest.mark.parametrize(
    "value",
    [
        None, 3, "text", [], {"text": "plain"}, {"messages": None}, {"messages": []},
        chat(said("user")), chat(said("wizard"), said("assistant")), chat("not a message"),
        {"messages": [said("user")], "interactions": [said("assistant")]},
        chat({"role": "user", "content": "a", "text": "b"}, said("assistant")),
    ],
)  # fmt: skip
def test_what_is_not_certain_stays_as_it_is(value: Any) -> None:
    before = copy.deepcopy(value)
    assert fix_row(value).value is value
    assert value == before


def test_functions_of_the_first_api_become_tools_with_ids_and_results() -> None:
    old = chat(
        said("user", "Weather in Rome?"),
        said("assistant", None, function_call={"name": "weather", "arguments": {"city": "Rome"}}),
        {"role": "function", "name": "weather", "content": "20"},
        said("assistant", "20 degrees."),
        functions=[{"name": "weather", "parameters": {"type": "object"}}],
    )
    fixed = fix_row(old).value
    call = fixed["messages"][1]["tool_calls"][0]
    assert json.loads(call["function"]["arguments"]) == {"city": "Rome"}
    assert fixed["messages"][2]["tool_call_id"] == call["id"]
    assert "functions" not in fixed
    assert not trains(old)
    assert trains(fixed)


def test_long_ids_become_short_ones_and_results_follow_even_out_of_order() -> None:
    calls = [
        {"id": f"call_{name}_0123456789", "type": "function",
         "function": {"name": name, "arguments": "{}"}}
        for name in ("one", "two")
    ]  # fmt: skip
    results = [
        {"role": "tool", "content": c["function"]["name"], "tool_call_id": c["id"]} for c in calls
    ]
    row = chat(
        said("user"), said("assistant", None, tool_calls=calls), *results[::-1], said("assistant")
    )
    messages = fix_row(row).value["messages"]
    ids = [call["id"] for call in messages[1]["tool_calls"]]
    assert [message["tool_call_id"] for message in messages[2:4]] == ids[::-1]
    assert trains(fix_row(row).value)
    assert fix_row(row) == fix_row(copy.deepcopy(row))


def test_two_calls_with_one_id_get_two() -> None:
    call = {"id": "abcdefghi", "function": {"name": "f", "arguments": "{}"}}
    result = {"role": "tool", "content": "1", "tool_call_id": "abcdefghi"}
    row = chat(
        said("user"),
        said("assistant", "", tool_calls=[call, call]),
        result,
        result,
        said("assistant"),
    )
    assert not trains(row)
    assert trains(fix_row(row).value)


def test_a_result_of_an_unknown_call_among_several_is_left() -> None:
    calls = [{"id": f"abcdefgh{n}", "function": {"name": f"f{n}", "arguments": "{}"}} for n in "12"]
    result = {"role": "tool", "content": "1", "tool_call_id": "zzzzzzzzz"}
    row = chat(said("user"), said("assistant", "", tool_calls=calls), result, said("assistant"))
    assert fix_row(row).changes == ()


def test_arguments_that_python_printed_become_json() -> None:
    call = {"id": "abcdefghi", "function": {"name": "f", "arguments": "{'a': True, 'b': None}"}}
    row = chat(said("user"), said("assistant", None, tool_calls=[call]))
    fixed = fix_row(row).value["messages"][1]["tool_calls"][0]["function"]["arguments"]
    assert json.loads(fixed) == {"a": True, "b": None}


def test_tool_call_rows_survive_every_repair() -> None:
    call = {"function": {"name": "f", "arguments": {"a": 1}}}
    row = chat(said("human", "go"), said("gpt", "", tool_calls=[call]))
    fixed = fix_row(row)
    assert len(fixed.value["messages"]) == 2
    assert trains(fixed.value)
    assert [c.code for c in fixed.changes] == [
        "role_renamed", "role_renamed", "arguments_written", "call_id_replaced",
    ]  # fmt: skip


def test_a_row_without_any_answer_is_not_emptied() -> None:
    row = chat(said("user", ""), said("assistant", ""))
    assert fix_row(row).value is row


CONTENT = st.sampled_from(["hi", "", " ", None, []])
ROLE = st.sampled_from([*ROLES, "User", "wizard", 3])
ARGUMENTS = st.sampled_from(["{}", {"a": 1}, "{'a': 1}", None, "", "not json", '{"a": 1}'])
CALL = st.fixed_dictionaries(
    {
        "function": st.fixed_dictionaries(
            {"name": st.sampled_from(["f", "g"]), "arguments": ARGUMENTS}
        )
    },
    optional={"id": st.sampled_from(["abcdefghi", "call_1", None, "call_2", 7])},
)
MESSAGE = st.fixed_dictionaries(
    {"role": ROLE},
    optional={
        "content": CONTENT,
        "text": CONTENT,
        "tool_calls": st.lists(CALL, max_size=2) | st.none(),
        "function_call": st.fixed_dictionaries({"name": st.just("f"), "arguments": ARGUMENTS}),
        "tool_call_id": st.sampled_from(["abcdefghi", "call_1", "call_2", None]),
        "name": st.sampled_from(["f", "g"]),
        "weight": st.sampled_from([0, 1, True, "1", 2, 1.0]),
    },
)
ROW = st.fixed_dictionaries(
    {},
    optional={
        "messages": st.lists(MESSAGE, max_size=6),
        "interactions": st.lists(MESSAGE, max_size=3),
        "tools": st.sampled_from([[], "[]", [{"name": "f"}], None]),
        "functions": st.sampled_from([[], [{"name": "f"}]]),
        "available_tools": st.sampled_from([[], None]),
    },
)


@settings(max_examples=400, deadline=None)
@given(ROW)
def test_repairing_twice_changes_nothing_more(row: Any) -> None:
    before = copy.deepcopy(row)
    once = fix_row(row)
    assert row == before
    assert fix_row(once.value).changes == ()


@settings(max_examples=400, deadline=None)
@given(ROW)
def test_a_row_that_trains_still_does(row: Any) -> None:
    if trains(row):
        assert trains(fix_row(row).value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda v: (
        st.lists(v, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["messages", "role", "content", "tool_calls", "function", "id", "x", "text"]
            ),
            v,
            max_size=4,
        )
    ),
    max_leaves=20,
)


@settings(max_examples=300, deadline=None)
@given(JSON)
def test_any_json_is_repaired_without_a_traceback(value: Any) -> None:
    once = fix_row({"messages": value, "tools": value})
    assert fix_row(once.value).changes == ()
    assert fix_row(value).changes == () or isinstance(value, dict)
