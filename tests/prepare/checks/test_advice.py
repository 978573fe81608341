from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modiste.prepare.checks.advice import value_at

ROW = {
    "messages": [
        {"role": "bot", "content": "secret words"},
        {"role": "assistant", "tool_calls": [{"id": "call_1", "function": {"name": "a b"}}]},
    ],
    "tools": [{"function": {"name": "x", "parameters": {"type": "nonsense"}}}],
}


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("messages[0].role", "'bot'"),
        ("messages[1].tool_calls[0].id", "'call_1'"),
        ("messages[1].tool_calls[0].function.name", "'a b'"),
        ("messages[7].role", None),
        ("messages[0].nothing", None),
        ("messages[0]", None),
        ("", None),
    ],
)
def test_the_value_at_a_path_is_shown(path, shown):
    assert value_at(ROW, path) == shown


def test_what_people_say_is_not_repeated():
    assert value_at(ROW, "messages[0].content") is None


def test_other_names_of_a_field_lead_to_it():
    assert value_at({"interactions": ROW["messages"]}, "messages[0].role") == "'bot'"


@given(st.text(alphabet="ab.[]01", max_size=12))
def test_any_path_may_be_asked(path):
    value_at({"a": [{"b": 1}], "b": "x"}, path)
    value_at("x", path)
