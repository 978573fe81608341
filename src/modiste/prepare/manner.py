"""How a base writes what is not plain text: calls of tools, and thoughts before an answer.

A base was taught one way of each, by its tokenizer's version or by its chat template. A template is
asked by letting it write a call with names that nobody uses: what comes out is its way, or one that
this file does not know, and then tools are refused for it by name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from modiste.types import Message, Role, ToolCall


class Effort(StrEnum):
    """How much a base is to think, where it can be told."""

    NONE = "none"
    MINIMAL = "minimal"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    XHIGH = "xhigh"
    MAX = "max"


class CallStyle(StrEnum):
    LIST = "list"
    """`[TOOL_CALLS]` and one JSON list of all calls: Mistral's v2 to v7."""
    NAMED = "named"
    """`[TOOL_CALLS]name[ARGS]{…}` for each call, in v11 with `[CALL_ID]id` between."""
    TAGGED = "tagged"
    """`<tool_call>{"name": …, "arguments": …}</tool_call>` for each call: Hermes, Qwen."""
    BARE = "bare"
    """The answer itself is `{"name": …, "parameters": …}`: Llama 3."""


CALLS, CALL_ID, ARGS = "[TOOL_CALLS]", "[CALL_ID]", "[ARGS]"
TAG, END_TAG = "<tool_call>", "</tool_call>"
PYTHON_TAG = "<|python_tag|>"
THINKS = (("[THINK]", "[/THINK]"), ("<think>", "</think>"))

MARKS_OF_CALLS = {
    CallStyle.LIST: (CALLS,),
    CallStyle.NAMED: (CALLS, CALL_ID, ARGS),
    CallStyle.TAGGED: (TAG, END_TAG),
    CallStyle.BARE: (PYTHON_TAG,),
}


@dataclass(frozen=True)
class Thinking:
    """The marks around a thought."""

    begin: str
    end: str

    @property
    def framed(self) -> bool:
        """Line breaks around the marks belong to them and not to the text: Qwen's way."""
        return self.begin == "<think>"


@dataclass(frozen=True)
class Manner:
    calls: CallStyle | None = None
    """None: the base knows no tools, or writes calls in a way that is not read here."""
    thinking: Thinking | None = None
    control: Mapping[str, int] = field(default_factory=dict)
    """Ids of the marks that are control tokens."""
    single: Mapping[str, int] = field(default_factory=dict)
    """Ids of the marks that are text, where the text is one token."""
    efforts: frozenset[Effort] = frozenset()
    """What the base can be told of how much to think."""
    words_begin_spaced: bool = False
    """The vocabulary opens every text with a space of its own, behind a mark too."""


NAME, KEY, VALUE = "probe_name", "probe_key", "probe_value"
PROBE = (
    Message(Role.USER, "probe"),
    Message(Role.ASSISTANT, tool_calls=(ToolCall("Xq7Zw9Kv3", NAME, f'{{"{KEY}": "{VALUE}"}}'),)),
)
"""A conversation that ends in a call nobody else makes."""
PROBE_TOOLS = (
    {
        "type": "function",
        "function": {
            "name": NAME,
            "description": "probe",
            "parameters": {"type": "object", "properties": {KEY: {"type": "string"}}},
        },
    },
)

_VALUES = rf'\{{\s*"{KEY}":\s*"{VALUE}"\s*\}}'
_TOLD_BY = {
    CallStyle.LIST: rf'\[TOOL_CALLS\]\s*\[\s*\{{"name":\s*"{NAME}",\s*"arguments":\s*{_VALUES}',
    CallStyle.NAMED: rf"\[TOOL_CALLS\]{NAME}(\[CALL_ID\]\w+)?\[ARGS\]{_VALUES}",
    CallStyle.TAGGED: (
        rf'<tool_call>\s*\{{"name":\s*"{NAME}",\s*"arguments":\s*{_VALUES}\s*\}}\s*</tool_call>'
    ),
    CallStyle.BARE: rf'^\s*(<\|python_tag\|>)?\{{"name":\s*"{NAME}",\s*"parameters":\s*{_VALUES}',
}


def style_of(opening: str, whole: str) -> CallStyle | None:
    """How a template wrote the call of `PROBE`; None for a way that is not known.

    Args:
        opening: the question of `PROBE`, up to where the answer begins.
        whole: question and answer.
    """
    written = whole.removeprefix(opening)
    return next((s for s, told_by in _TOLD_BY.items() if re.search(told_by, written)), None)


def manner(
    calls: CallStyle | None,
    *,
    thinks: tuple[str, str] | None,
    controls: Mapping[str, int],
    id_of: Callable[[str], int | None],
    efforts: Iterable[Effort] = (),
    words_begin_spaced: bool,
) -> Manner:
    """
    Args:
        thinks: marks around thoughts that the base was taught.
        controls: ids of all control tokens by name.
        id_of: the id of a text that is one token.
    """
    marks = [*(MARKS_OF_CALLS[calls] if calls else ()), *(thinks or ())]
    control = {name: controls[name] for name in marks if name in controls}
    single = {name: id_of(name) for name in marks if name not in controls}
    return Manner(
        calls,
        None if thinks is None else Thinking(*thinks),
        control,
        {name: token for name, token in single.items() if token is not None},
        frozenset(efforts),
        words_begin_spaced,
    )
