"""One call after the other, letter by letter. Whole answers are read in `test_answer.py`."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modiste.prepare.calls import Broken, Call, CallReader, JsonObject, Over, Told, read_object
from modiste.prepare.manner import CallStyle
from modiste.prepare.marks import Mark

MARK = Mark("[TOOL_CALLS]", spelt=False)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=6,
)


def steps(reader: CallReader, text: str) -> list[Told]:
    return [told for letter in text if (told := reader.step(letter)) is not None]


def test_a_call_is_given_with_its_last_letter() -> None:
    reader = CallReader(CallStyle.LIST, MARK)
    assert steps(reader, '[{"name": "f", "arguments": {"a": 1}') == []
    assert reader.step("}") == Call("f", '{"a": 1}')
    assert steps(reader, "]\n") == []
    assert reader.step("x") == Over()
    assert reader.end() is None


def test_what_breaks_off_is_given_back() -> None:
    reader = CallReader(CallStyle.LIST, MARK)
    steps(reader, '[{"name": "f"')
    assert reader.end() == Broken('[TOOL_CALLS][{"name": "f"')


@given(st.dictionaries(st.text(max_size=4), JSON))
def test_any_arguments_come_back_as_they_are_rendered(arguments: dict[str, object]) -> None:
    written = json.dumps({"name": "f", "arguments": arguments})
    told = steps(CallReader(CallStyle.TAGGED, Mark("<tool_call>", spelt=True)), written)
    assert told == [Call("f", json.dumps(arguments, ensure_ascii=False))]


@given(JSON.filter(lambda value: isinstance(value, dict)))
def test_the_end_of_an_object_is_its_last_letter(value: object) -> None:
    written = json.dumps(value, ensure_ascii=False)
    scanning = JsonObject()
    assert [scanning.push(letter) for letter in written].index(True) == len(written) - 1
    assert scanning.text == written


@pytest.mark.parametrize("text", ["[1]", '{"a": Infinity}', "{", "{'a': 1}", "[" * 100_000, "3"])
def test_what_is_no_object_is_told(text: str) -> None:
    assert read_object(text) is None
    assert read_object('{"a": ' + "[" * 70 + "]" * 70 + "}") is None
