"""What to do about a broken rule, by its code, and the value that broke it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from modiste.prepare.formats.row import shown

ADVICE: Mapping[str, str] = {
    "conversation_empty": "a row needs at least a user message and an answer",
    "conversation_start": "put the question in front, as a user message",
    "last_role": "a training row ends with the answer to learn; `--fix` removes what follows it",
    "role_order": "messages go user, assistant, user, …; tool results follow a tool call",
    "tool_results_missing": "every tool call needs one result before the assistant goes on",
    "tool_results_extra": "remove the results that no call asked for",
    "tool_result_unknown": "give the result the id of the call it answers",
    "tool_call_duplicate": "give every call an id of its own; `--fix` does",
    "prefix_not_last": "prefix belongs to the last message of a request, not to training rows",
    "content_missing": "write the text, or remove the message; `--fix` removes empty ones",
    "content_with_tool_calls": "this tokenizer has no place for both: make two rows of it",
    "text_not_unicode": "an emoji was cut in two on the way here: export the text again",
    "weight_invalid": "0 leaves an answer untrained, 1 trains it",
    "tools_unsupported": "tune a base whose chat format has tools, or take them out",
    "tool_call_id": "`--fix` gives ids that this tokenizer can write",
    "function_name": "letters, digits, _ and - only, at most 64 of them",
    "arguments_unreadable": "arguments are a JSON object, written as a string",
    "tool_schema_invalid": "parameters are a JSON schema of type object (draft 7)",
    "tool_invalid": "a tool is {'type': 'function', 'function': {'name', 'parameters'}}",
    "template_not_trainable": "give the base a chat template that prompts as it trains",
    "answer_not_one_turn": "let both answers be one turn, or split the row at its tool calls",
    "not_renderable": "look for what is unusual about the row: its text could not be encoded",
}

_STEP = re.compile(r"([^.\[\]]+)|\[(\d+)\]")
_OTHER_NAMES = {"messages": ("interactions", "conversations"), "tools": ("available_tools",)}


def value_at(row: object, path: str) -> str | None:
    """The value that a path leads to, briefly; None for texts of messages, which may be private."""
    if not path or path.endswith(("content", "]", "messages")):
        return None
    node: Any = row
    for name, index in _STEP.findall(path):
        if index:
            at = int(index)
            node = node[at] if isinstance(node, list) and at < len(node) else None
        elif isinstance(node, dict):
            names = (name, *_OTHER_NAMES.get(name, ()))
            node = next((node[n] for n in names if n in node), None)
        else:
            return None
    return None if node is None or isinstance(node, dict | list) else shown(node)
