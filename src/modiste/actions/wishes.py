"""What a request wishes of the form of its answer: calls of tools, JSON by a schema, or thoughts.

A wish becomes a grammar that the engine holds the answer to, or is refused with what the base
cannot do. Nothing is promised that only the model's good will could keep: a forced call is one
whatever the model would rather say, and a `strict` function's arguments follow their schema.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from modiste.errors import InvalidInput
from modiste.prepare import answer_grammar, json_schema
from modiste.prepare.answer_grammar import AnswerGrammar, Function
from modiste.prepare.manner import CallStyle, Manner
from modiste.serve.sequence import Grammar, GrammarKind

ANY_OBJECT: Mapping[str, Any] = {"type": "object"}


class ToolChoice(StrEnum):
    AUTO = "auto"
    ANY = "any"
    """At least one call."""
    NAMED = "named"
    """One call of the function that is named."""


@dataclass(frozen=True)
class Tool:
    defined: Mapping[str, Any]
    """As the API writes it: `{"type": "function", "function": {…}}`."""
    strict: bool = False

    @property
    def name(self) -> str:
        name: str = self.defined["function"]["name"]
        return name

    @property
    def arguments(self) -> Mapping[str, Any]:
        """The schema that arguments are held to. One that cannot be enforced is the model's to
        follow, unless the function is strict: then the door has refused it."""
        schema: Mapping[str, Any] = self.defined["function"].get("parameters") or {"properties": {}}
        schema = {"type": "object", **schema}
        return schema if json_schema.problem(schema) is None else ANY_OBJECT


@dataclass(frozen=True)
class Tools:
    """What may be called. A request that may call nothing has none."""

    tools: tuple[Tool, ...] = ()
    choice: ToolChoice = ToolChoice.AUTO
    named: str | None = None
    parallel: bool = True

    @property
    def one_call(self) -> bool:
        return not self.parallel or self.choice is ToolChoice.NAMED


def grammar(
    manner: Manner,
    tools: Tools,
    schema: Mapping[str, Any] | None,
    *,
    thinks_first: bool,
    begun: str = "",
) -> Grammar | None:
    """What the engine holds the answer to; None where it is free.

    Args:
        begun: what the prompt has of the answer already.

    Raises:
        InvalidInput: the base cannot be held to it.
    """
    found = _grammar(manner, tools, schema, thinks_first=thinks_first)
    if found is None:
        return None
    alone = schema is not None and not (tools.tools or thinks_first or begun)
    return Grammar(
        GrammarKind.LARK,
        found.lark,
        found.after,
        json.dumps(schema) if alone else None,
        begun if found.after is None else "",
    )


def _grammar(
    manner: Manner, tools: Tools, schema: Mapping[str, Any] | None, *, thinks_first: bool
) -> AnswerGrammar | None:
    if not tools.tools:
        if schema is None:
            return None
        return answer_grammar.json_answer(manner, schema, thinks_first=thinks_first)
    named = [tool for tool in tools.tools if tools.named in (None, tool.name)]
    functions = [Function(tool.name, tool.arguments) for tool in named]
    several = not tools.one_call
    if tools.choice is not ToolChoice.AUTO:
        return answer_grammar.calls(manner, functions, several=several, thinks_first=thinks_first)
    if schema is not None:
        if manner.calls is CallStyle.BARE:
            raise InvalidInput(
                "response_format and tools are both set, and this base writes calls as JSON "
                "without a mark, so that one cannot be told from the other; set one of them",
                param="response_format",
            )
        return answer_grammar.calls(
            manner, functions, several=several, schema=schema, thinks_first=thinks_first
        )
    strict = next((at for at, tool in enumerate(tools.tools) if tool.strict), None)
    if strict is None:
        return None
    watched = answer_grammar.calls_if_any(manner, functions, several=several)
    if watched is None:
        raise InvalidInput(
            f"tools[{strict}].function.strict is set, and no token tells where a call of this base "
            "begins; set tool_choice to any, or leave strict out",
            param="tools",
        )
    return watched
