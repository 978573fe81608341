"""What a chat request says of tools and of the form of its answer, read into our own words.

Schemas that an answer is to be held to are checked here, and what cannot be enforced is refused
with its path in the request: `response_format.json_schema.schema.properties.day.format`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import Field

from modiste.actions.wishes import ANY_OBJECT, Tool, ToolChoice, Tools
from modiste.api.door import Body
from modiste.errors import InvalidInput, NotYetSupported
from modiste.prepare import json_schema


class FunctionIn(Body):
    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class ToolIn(Body):
    """A function. Mistral's clients may add fields that name their own connectors; those are
    refused."""

    type: str = "function"
    function: FunctionIn | None = None


class NamedFunction(Body):
    name: str


class NamedTool(Body):
    type: Literal["function"] = "function"
    function: NamedFunction


class JsonSchema(Body):
    name: str
    description: str | None = None
    schema_: dict[str, Any] | None = Field(default=None, alias="schema")
    strict: bool | None = None


class ResponseFormat(Body):
    type: Literal["text", "json_object", "json_schema"] = "text"
    json_schema: JsonSchema | None = None


Choice = Literal["auto", "none", "any", "required"] | NamedTool


def tools_of(
    tools: Sequence[ToolIn] | None, choice: Choice | None, *, parallel: bool | None
) -> Tools:
    """What may be called; nothing under `none`, and then the prompt does not speak of tools.

    Raises:
        InvalidInput: a choice without tools or of one that is not there, a name twice, or a strict
            function whose schema cannot be enforced.
        NotYetSupported: a tool that is no function.
    """
    found = [_tool(at, tool) for at, tool in enumerate(tools or ())]
    names = [tool.name for tool in found]
    repeated = next((name for name in names if names.count(name) > 1), None)
    if repeated is not None:
        raise InvalidInput(f"tools holds {repeated!r} twice; names tell them apart", param="tools")
    named = choice.function.name if isinstance(choice, NamedTool) else None
    if named is not None and named not in names:
        raise InvalidInput(
            f"tool_choice names {named!r}, which is not among the tools {names}",
            param="tool_choice",
        )
    if choice in ("any", "required") and not found:
        raise InvalidInput(f"tool_choice is {choice!r} and there are no tools", param="tool_choice")
    if choice == "none" or not found:
        return Tools()
    kind = ToolChoice.AUTO if choice in (None, "auto") else ToolChoice.ANY
    return Tools(
        tuple(found),
        ToolChoice.NAMED if named is not None else kind,
        named,
        parallel=parallel is not False,
    )


def _tool(at: int, tool: ToolIn) -> Tool:
    if tool.type != "function" or tool.function is None:
        raise NotYetSupported(
            f"tools[{at}] is of type {tool.type!r}; functions are called here, and nothing that a "
            "vendor runs on its own machines",
            param=f"tools[{at}]",
        )
    function = tool.function
    defined: dict[str, Any] = {"name": function.name, "description": function.description or ""}
    if function.parameters is not None:
        defined["parameters"] = function.parameters
    if function.strict and function.parameters is not None:
        _check(function.parameters, f"tools[{at}].function.parameters")
    return Tool({"type": "function", "function": defined}, strict=bool(function.strict))


def schema_of(wished: ResponseFormat | None) -> Mapping[str, Any] | None:
    """The schema that the answer follows, strict or not; None where it is free text.

    Raises:
        InvalidInput: no schema where one is announced, or one that cannot be enforced.
    """
    if wished is None or wished.type == "text":
        return None
    if wished.type == "json_object":
        return ANY_OBJECT
    where = "response_format.json_schema"
    if wished.json_schema is None or wished.json_schema.schema_ is None:
        raise InvalidInput(
            f"{where}.schema is missing; type json_schema asks for one, json_object for none",
            param=f"{where}.schema",
        )
    _check(wished.json_schema.schema_, f"{where}.schema")
    return wished.json_schema.schema_


def _check(schema: Mapping[str, Any], where: str) -> None:
    found = json_schema.problem(schema)
    if found is not None:
        path = f"{where}.{found.path}" if found.path else where
        raise InvalidInput(f"{path}: {found.message}", param=path, code="schema_unsupported")
