"""The rules of a conversation: which roles may follow which, and what each message must hold.

One list of rules serves training and serving, so that a row that trains can also be asked. They
are the rules of `mistral-common`'s validators with its wording of the order errors, which clients
know; three differences are deliberate and each is tested against the original:

- every violation is found, not only the first, and each names its message and field;
- calls and results count from the first message on, not from the second;
- an assistant message with neither text nor calls is refused for every tokenizer version
  (from v7 on the original lets it through and then fails while encoding).
"""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from operator import attrgetter
from typing import Any, NamedTuple

from mistral_common.utils.json_utils import validate_json_schema_by_draft7

from modiste.types import Message, Role, ToolCall

FUNCTION_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}\Z")
SHORT_CALL_ID = re.compile(r"[a-zA-Z0-9]{9}\Z")
MAX_JSON_DEPTH = 64
"""Of tool definitions and arguments; not every encoder they pass through can write deeper JSON."""


class Use(StrEnum):
    TRAINING = "training"
    SERVING = "serving"


class CallIds(StrEnum):
    ANY = "any"
    SHORT = "short"
    """Nine letters or digits; may be absent on the very last message."""
    REQUIRED = "required"


@dataclass(frozen=True)
class Rules:
    """What differs between prompt formats. The defaults are those of a chat template."""

    tools: bool = True
    call_ids: CallIds = CallIds.ANY
    calls_with_text: bool = True
    results_name_their_call: bool = False
    """Each tool result must carry the id of a call that waits for it."""
    one_result_per_turn: bool = False
    json_results: bool = False
    """Tool results are re-written as JSON, so they must survive a JSON parser."""


class Violation(NamedTuple):
    at: int | None
    """Which message; None for the conversation or its tools."""
    field: str
    code: str
    message: str

    @property
    def path(self) -> str:
        if self.at is None:
            return self.field
        return f"messages[{self.at}].{self.field}" if self.field else f"messages[{self.at}]"


ORDER_CODES = frozenset(
    {
        "conversation_empty",
        "conversation_start",
        "last_role",
        "role_order",
        "tool_results_missing",
        "tool_results_extra",
        "tool_result_unknown",
        "tool_call_duplicate",
        "prefix_not_last",
    }
)
CALL_CODES = frozenset({"tool_call_id", "function_name", "arguments_unreadable"})

_MAY_FOLLOW = {
    Role.SYSTEM: {Role.USER, Role.ASSISTANT, Role.SYSTEM},
    Role.USER: {Role.ASSISTANT, Role.SYSTEM, Role.USER},
    Role.ASSISTANT: {Role.ASSISTANT, Role.USER, Role.TOOL},
    Role.TOOL: {Role.ASSISTANT, Role.TOOL, Role.USER},
}


_FIELDS = attrgetter("role", "content", "tool_calls", "tool_call_id", "name", "weight", "prefix")
_WEIGHTS = (None, 0, 1)
_SYSTEM, _ASSISTANT, _TOOL = Role.SYSTEM, Role.ASSISTANT, Role.TOOL
"""Looked up once: to find and to hash a member of an enumeration takes longer than all else."""


def violations(
    messages: Sequence[Message],
    *,
    tools: Sequence[Mapping[str, Any]] = (),
    rules: Rules,
    use: Use,
) -> list[Violation]:
    """Everything that keeps a conversation from being rendered; empty when it is fine."""
    if not tools and is_plain(messages, use):
        return []
    return _all_violations(messages, tools=tools, rules=rules, use=use)


def _all_violations(
    messages: Sequence[Message], *, tools: Sequence[Mapping[str, Any]], rules: Rules, use: Use
) -> list[Violation]:
    found = [*_structure(messages, use)]
    if rules.results_name_their_call:
        found += _results_by_id(messages, use)
    else:
        found += _results_by_count(messages, use)
    if rules.one_result_per_turn:
        found += _single_results(messages)
    for index, message in enumerate(messages):
        last = index == len(messages) - 1
        found += _content(index, message, rules=rules, use=use, last=last)
    return [*found, *_tools(tools, rules)]


def is_plain(messages: Sequence[Message], use: Use) -> bool:
    """Whether a conversation is of texts alone and in order: most are, and this is soon seen."""
    before = _SYSTEM
    for role, content, calls, call_id, name, weight, prefix in map(_FIELDS, messages):
        if not content or calls or prefix or call_id is not None or name is not None:
            return False
        if role is _TOOL or (role is _SYSTEM and before is _ASSISTANT) or weight not in _WEIGHTS:
            return False
        if not content.isascii() and not _is_unicode(content):
            return False
        before = role
    return before is (Role.ASSISTANT if use is Use.TRAINING else Role.USER) and (
        len(messages) > 1 or before is Role.USER
    )


def normalised_json(text: str | None) -> str:
    """JSON in one spelling; text that is not JSON comes back as it is, nothing becomes `{}`.

    Raises:
        ValueError: for text that a JSON parser gives up on (nested too deeply, a number too long,
            half a surrogate pair).
    """
    if not text:
        return "{}"
    try:
        written = json.dumps(json.loads(text), ensure_ascii=False)
    except json.JSONDecodeError:
        written = text
    except RecursionError:
        raise ValueError("JSON is nested too deeply") from None
    if not _is_unicode(written):
        raise ValueError("half a surrogate pair is not text")
    return written


def _structure(messages: Sequence[Message], use: Use) -> Iterator[Violation]:
    if not messages:
        yield Violation(
            None, "messages", "conversation_empty", "Conversation must have at least one message"
        )
        return
    if len(messages) == 1 and messages[0].role not in (Role.USER, Role.SYSTEM):
        text = "Conversation must start with a user message or system message"
        yield Violation(0, "role", "conversation_start", text)
    yield from _last_message(messages, use)
    for index in range(1, len(messages)):
        before, role = messages[index - 1].role, messages[index].role
        if role not in _MAY_FOLLOW[before]:
            text = f"Unexpected role '{role}' after role '{before}'"
            yield Violation(index, "role", "role_order", text)


def _last_message(messages: Sequence[Message], use: Use) -> Iterator[Violation]:
    index, last = len(messages) - 1, messages[-1]
    if use is Use.TRAINING:
        if last.role is not Role.ASSISTANT:
            text = f"Expected last role Assistant for finetuning but got {last.role}"
            yield Violation(index, "role", "last_role", text)
        elif last.prefix:
            text = "Cannot continue final message in finetuning mode"
            yield Violation(index, "prefix", "last_role", text)
    elif len(messages) > 1 and last.role is Role.ASSISTANT and not last.prefix:
        text = (
            "Expected last role User or Tool (or Assistant with prefix True) for serving "
            "but got assistant"
        )
        yield Violation(index, "role", "last_role", text)


def _results_by_count(messages: Sequence[Message], use: Use) -> Iterator[Violation]:
    waiting, asked_by = 0, 0
    for index, message in enumerate(messages):
        if message.role is Role.TOOL:
            waiting -= 1
        elif message.role is Role.ASSISTANT:
            if waiting != 0:
                yield _unbalanced(asked_by)
            waiting, asked_by = len(message.tool_calls), index
    if waiting > 0 and use is Use.SERVING:
        yield _unbalanced(asked_by)
    elif waiting < 0:
        yield Violation(
            len(messages) - 1, "", "tool_results_extra", "More tool responses than tool calls"
        )


def _results_by_id(messages: Sequence[Message], use: Use) -> Iterator[Violation]:
    waiting: set[str | None] = set()
    answered: set[str | None] = set()
    asked_by = 0
    for index, message in enumerate(messages):
        call_id = message.tool_call_id
        if message.role is Role.TOOL:
            if call_id in answered:
                text = f"Duplicate tool call id {call_id} in tool results"
                yield Violation(index, "tool_call_id", "tool_result_unknown", text)
            elif call_id not in waiting:
                text = f"Unexpected tool call id {call_id} in tool results"
                yield Violation(index, "tool_call_id", "tool_result_unknown", text)
            answered.add(call_id)
        elif message.role is Role.ASSISTANT:
            if len(waiting) != len(answered):
                yield _unbalanced(asked_by)
            ids = [call.id for call in message.tool_calls]
            for repeated in sorted({str(i) for i in ids if ids.count(i) > 1}):
                text = f"Duplicate tool call id {repeated} in assistant message"
                yield Violation(index, "tool_calls", "tool_call_duplicate", text)
            waiting, answered, asked_by = set(ids), set(), index
    if len(waiting) > len(answered) and use is Use.SERVING:
        yield _unbalanced(asked_by)


def _unbalanced(asked_by: int) -> Violation:
    text = "Not the same number of function calls and responses"
    return Violation(asked_by, "tool_calls", "tool_results_missing", text)


def _single_results(messages: Sequence[Message]) -> Iterator[Violation]:
    """The v2 format has room for one result per call message."""
    for index in range(1, len(messages)):
        if messages[index].role is Role.TOOL and messages[index - 1].role is Role.TOOL:
            text = "Tokenizer v2 does not support multiple tool results for one assistant turn."
            yield Violation(index, "role", "tool_results_extra", text)


def _content(
    index: int, message: Message, *, rules: Rules, use: Use, last: bool
) -> Iterator[Violation]:
    for field in ("content", "name", "tool_call_id"):
        if not _is_unicode(getattr(message, field)):
            text = f"{field} holds half a surrogate pair, which no text file can store"
            yield Violation(index, field, "text_not_unicode", text)
    if message.role is Role.ASSISTANT:
        yield from _assistant(index, message, rules=rules, use=use, last=last)
    elif message.content is None:
        text = f"A {message.role} message must have content"
        yield Violation(index, "content", "content_missing", text)
    if message.role is Role.TOOL:
        yield from _tool_result(index, message, rules)


def _assistant(
    index: int, message: Message, *, rules: Rules, use: Use, last: bool
) -> Iterator[Violation]:
    if not message.content and not message.tool_calls:
        text = "Assistant message must have either content or tool_calls."
        yield Violation(index, "content", "content_missing", text)
    if message.content and message.tool_calls and not rules.calls_with_text:
        text = "Assistant message must have either content or tool_calls, but not both."
        yield Violation(index, "content", "content_with_tool_calls", text)
    if message.weight not in (None, 0, 1):
        text = "Assistant message weight must be either 0 or 1"
        yield Violation(index, "weight", "weight_invalid", text)
    if message.prefix and not last:
        text = "Assistant message with prefix True must be last message"
        yield Violation(index, "prefix", "prefix_not_last", text)
    if message.tool_calls and not rules.tools:
        yield Violation(index, "tool_calls", "tools_unsupported", NO_TOOLS)
    for at, call in enumerate(message.tool_calls):
        optional_id = last and use is Use.TRAINING
        yield from _call(index, at, call, rules=rules, optional_id=optional_id)


def _call(
    index: int, at: int, call: ToolCall, *, rules: Rules, optional_id: bool
) -> Iterator[Violation]:
    where = f"tool_calls[{at}]"
    wrong_id = _wrong_id(call.id, rules.call_ids)
    if wrong_id and not (rules.call_ids is CallIds.SHORT and _absent(call.id) and optional_id):
        yield Violation(index, f"{where}.id", "tool_call_id", wrong_id)
    if not FUNCTION_NAME.match(call.name):
        yield Violation(index, f"{where}.function.name", "function_name", _wrong_name(call.name))
    try:
        normalised_json(call.arguments)
    except ValueError as error:
        text = f"arguments cannot be read: {error}"
        yield Violation(index, f"{where}.function.arguments", "arguments_unreadable", text)


def _tool_result(index: int, message: Message, rules: Rules) -> Iterator[Violation]:
    if not rules.tools:
        yield Violation(index, "role", "tools_unsupported", NO_TOOLS)
    if message.name is not None and not FUNCTION_NAME.match(message.name):
        yield Violation(index, "name", "function_name", _wrong_name(message.name))
    if wrong_id := _wrong_id(message.tool_call_id, rules.call_ids):
        yield Violation(index, "tool_call_id", "tool_call_id", wrong_id)
    if rules.json_results:
        try:
            normalised_json(message.content)
        except ValueError as error:
            text = f"tool result cannot be read: {error}"
            yield Violation(index, "content", "arguments_unreadable", text)


def _tools(tools: Sequence[Mapping[str, Any]], rules: Rules) -> Iterator[Violation]:
    if tools and not rules.tools:
        yield Violation(None, "tools", "tools_unsupported", NO_TOOLS)
    for at, tool in enumerate(tools):
        where = f"tools[{at}].function"
        function = tool.get("function")
        if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
            yield Violation(None, where, "tool_invalid", "A tool needs a function with a name")
            continue
        if not FUNCTION_NAME.match(function["name"]):
            yield Violation(None, f"{where}.name", "function_name", _wrong_name(function["name"]))
        if problem := schema_problem(function.get("parameters")):
            yield Violation(None, f"{where}.parameters", "tool_schema_invalid", problem)


def schema_problem(parameters: object) -> str | None:
    """Why `parameters` is no JSON schema (draft 7), or None. Absent ones mean no arguments."""
    if parameters is None:
        return None
    if not isinstance(parameters, Mapping):
        return f"Invalid tool schema: expected an object, got {type(parameters).__name__}"
    if too_deep(parameters):
        return f"Invalid tool schema: nested deeper than {MAX_JSON_DEPTH} levels"
    try:
        return _schema_problem(json.dumps(parameters))
    except (TypeError, ValueError) as error:
        return f"Invalid tool schema: {error}"


@lru_cache(maxsize=1024)
def _schema_problem(schema: str) -> str | None:
    """Cached by text: the rows of a data set mostly share their tools, and a check takes 1 ms."""
    try:
        with warnings.catch_warnings():  # Python's word on odd patterns, which nobody here wrote
            warnings.simplefilter("ignore", FutureWarning)
            validate_json_schema_by_draft7(json.loads(schema))
    except ValueError as error:
        return f"Invalid tool schema: {error}"
    return None


def too_deep(value: object) -> bool:
    """Whether JSON is nested deeper than `MAX_JSON_DEPTH`, found without recursion."""
    depth, level = 0, [value]
    while level and depth <= MAX_JSON_DEPTH:
        depth += 1
        level = [
            child
            for node in level
            if isinstance(node, Mapping | list)
            for child in (node.values() if isinstance(node, Mapping) else node)
        ]
    return depth > MAX_JSON_DEPTH


def _absent(call_id: str | None) -> bool:
    return call_id in (None, "null")


def _wrong_id(call_id: str | None, wanted: CallIds) -> str | None:
    if wanted is CallIds.REQUIRED and (not call_id or _absent(call_id)):
        return "Tool call id must be a non-empty string other than 'null'."
    if wanted is CallIds.SHORT and not (call_id and SHORT_CALL_ID.match(call_id)):
        return f"Tool call id was {call_id} but must be a-z, A-Z, 0-9, with a length of 9."
    return None


def _wrong_name(name: str) -> str:
    return (
        f"Function name was {name} but must be a-z, A-Z, 0-9, or contain underscores and dashes, "
        "with a maximum length of 64."
    )


def _is_unicode(text: str | None) -> bool:
    if text is None or text.isascii():
        return True
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


NO_TOOLS = "The chat format of this base has no place for tools"
