"""Tools, the choice among them, and the form of the answer."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from modiste.actions.wishes import ToolChoice, Tools
from modiste.api.chat_tools import Choice, ResponseFormat, ToolIn, schema_of, tools_of
from modiste.errors import InvalidInput, NotYetSupported

DAY = {"type": "object", "properties": {"day": {"type": "string", "format": "date"}}}
UNSURE = {"type": "object", "properties": {"a": {"type": "array", "uniqueItems": True}}}
CHOICE: TypeAdapter[Choice] = TypeAdapter(Choice)


def function(name: str, parameters: Any = DAY, **more: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "parameters": parameters, **more}}


def tools(*given: Any, choice: Any = None, parallel: bool | None = None) -> Tools:
    read = [ToolIn.model_validate(tool) for tool in given]
    chosen = None if choice is None else CHOICE.validate_python(choice)
    return tools_of(read, chosen, parallel=parallel)


@pytest.mark.parametrize(
    ("choice", "kind", "named"),
    [
        (None, ToolChoice.AUTO, None),
        ("auto", ToolChoice.AUTO, None),
        ("any", ToolChoice.ANY, None),
        ("required", ToolChoice.ANY, None),
        ({"type": "function", "function": {"name": "f"}}, ToolChoice.NAMED, "f"),
        ({"function": {"name": "g"}}, ToolChoice.NAMED, "g"),
    ],
)
def test_every_choice_is_read(choice: Any, kind: ToolChoice, named: str | None) -> None:
    found = tools(function("f"), function("g"), choice=choice)
    assert (found.choice, found.named) == (kind, named)
    assert [tool.name for tool in found.tools] == ["f", "g"]
    assert found.one_call == (kind is ToolChoice.NAMED)


def test_none_is_as_if_there_were_no_tools() -> None:
    assert tools(function("f"), choice="none") == tools() == Tools()


def test_one_call_at_a_time_may_be_wished() -> None:
    assert tools(function("f"), parallel=False).one_call
    assert not tools(function("f"), parallel=True).one_call


@pytest.mark.parametrize(
    ("given", "choice", "param"),
    [
        ([], "any", "tool_choice"),
        ([function("f")], {"function": {"name": "g"}}, "tool_choice"),
        ([function("f"), function("f")], None, "tools"),
        ([function("f", UNSURE, strict=True)], None,
         "tools[0].function.parameters.properties.a.uniqueItems"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_where_it_stands(
    given: list[Any], choice: Any, param: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        tools(*given, choice=choice)
    assert caught.value.param == param


def test_what_a_vendor_would_run_itself_is_refused() -> None:
    with pytest.raises(NotYetSupported, match="web_search"):
        tools({"type": "web_search"})
    with pytest.raises(ValidationError):
        tools({"type": "custom", "custom": {"name": "x"}})


def test_a_schema_that_cannot_be_enforced_is_the_models_to_follow_unless_strict() -> None:
    found = tools(function("f", UNSURE), function("g"))
    assert found.tools[0].arguments == {"type": "object"}
    assert found.tools[0].defined["function"]["parameters"] == UNSURE
    assert found.tools[1].arguments == DAY


def test_a_function_without_parameters_is_rendered_as_the_vendors_do() -> None:
    found = tools({"function": {"name": "f"}}).tools[0]
    assert found.defined == {"type": "function", "function": {"name": "f", "description": ""}}
    assert found.arguments == {"type": "object", "properties": {}}


def wished(**given: Any) -> Any:
    return schema_of(ResponseFormat.model_validate(given))


@pytest.mark.parametrize("strict", [True, False, None])
def test_the_schema_of_an_answer_is_held_strict_or_not(strict: bool | None) -> None:
    named = {"name": "d", "schema": DAY, "strict": strict}
    assert wished(type="json_schema", json_schema=named) == DAY
    assert wished(type="json_object") == {"type": "object"}
    assert wished(type="text") is None
    assert schema_of(None) is None


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ({}, "response_format.json_schema.schema"),
        ({"json_schema": {"name": "d"}}, "response_format.json_schema.schema"),
        (
            {"json_schema": {"name": "d", "schema": UNSURE}},
            "response_format.json_schema.schema.properties.a.uniqueItems",
        ),
    ],
)
def test_a_missing_or_unenforceable_schema_is_refused_with_its_path(
    given: dict[str, Any], param: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        wished(type="json_schema", **given)
    assert caught.value.param == param
    assert param in caught.value.message
