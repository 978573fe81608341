"""Wishes of an answer's form: a grammar, or a refusal that says what the base cannot do."""

from __future__ import annotations

from dataclasses import replace

import pytest

from modiste.actions.wishes import Tool, ToolChoice, Tools, grammar
from modiste.errors import InvalidInput
from modiste.prepare.manner import CallStyle, Manner
from modiste.serve.sequence import GrammarKind

F = Tool({"type": "function", "function": {"name": "f"}})
G = Tool({"type": "function", "function": {"name": "g"}})
LIST = Manner(CallStyle.LIST, control={"[TOOL_CALLS]": 5})
BARE = Manner(CallStyle.BARE)
OBJECT = {"type": "object"}


def test_free_text_has_no_grammar() -> None:
    assert grammar(LIST, Tools(), None, thinks_first=False) is None
    assert grammar(LIST, Tools((F, G)), None, thinks_first=False) is None


def test_a_forced_call_names_what_may_be_called() -> None:
    found = grammar(LIST, Tools((F, G), ToolChoice.ANY), None, thinks_first=False)
    assert found is not None
    assert found.kind is GrammarKind.LARK
    assert found.after is None
    assert "f" in found.text
    assert '\\"g\\"' in found.text
    named = grammar(LIST, Tools((F, G), ToolChoice.NAMED, "g"), None, thinks_first=False)
    assert named is not None
    assert '\\"f\\"' not in named.text


def test_a_strict_function_is_watched_from_its_mark_on() -> None:
    strict = replace(G, strict=True)
    found = grammar(LIST, Tools((F, strict)), None, thinks_first=False)
    assert found is not None
    assert found.after == 5
    with pytest.raises(InvalidInput, match="strict"):
        grammar(Manner(CallStyle.TAGGED), Tools((F, strict)), None, thinks_first=False)


def test_a_schema_alone_is_told_beside_its_grammar_and_one_with_more_is_not() -> None:
    alone = grammar(LIST, Tools(), OBJECT, thinks_first=False)
    assert alone is not None
    assert alone.schema == '{"type": "object"}'
    with_calls = grammar(LIST, Tools((F,)), OBJECT, thinks_first=False)
    assert with_calls is not None
    assert with_calls.schema is None


def test_json_or_calls_need_a_mark_to_be_told_apart() -> None:
    assert grammar(LIST, Tools((F,)), OBJECT, thinks_first=False) is not None
    with pytest.raises(InvalidInput, match="response_format and tools"):
        grammar(BARE, Tools((F,)), OBJECT, thinks_first=False)
    assert grammar(BARE, Tools((F,), ToolChoice.ANY), OBJECT, thinks_first=False) is not None


def test_a_grammar_goes_on_behind_what_a_prefix_has_begun_unless_it_waits_for_a_token() -> None:
    begun = grammar(LIST, Tools(), OBJECT, thinks_first=False, begun='{"a')
    assert begun is not None
    assert (begun.begun, begun.schema) == ('{"a', None)
    watched = grammar(
        LIST, Tools((replace(G, strict=True),)), None, thinks_first=False, begun="Well"
    )
    assert watched is not None
    assert (watched.begun, watched.after) == ("", 5)
