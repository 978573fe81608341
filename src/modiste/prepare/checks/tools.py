"""Tool calls held against the tools of their row: what a model would learn to call wrongly.

`conversation.py` says what a chat format can hold. Here stands what every format holds and no
program behind the tools would take: arguments that are not JSON or break the tool's own schema, a
tool that the row does not list, a result that answers no call. A row that lists no tools at all may
call any, as in mistral-finetune.

Schemas are data of strangers: references out of a schema are not followed (nothing is fetched), and
patterns that could take for ever are not tried.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import islice
from typing import Any, NamedTuple

import orjson
from jsonschema import Draft7Validator
from jsonschema.exceptions import SchemaError, ValidationError
from jsonschema.validators import extend
from referencing import Registry
from referencing.exceptions import Unresolvable

from modiste.prepare.conversation import too_deep
from modiste.prepare.formats.row import shown, type_name
from modiste.types import Example, Message, Role, Severity, ToolCall

SHOWN_BREACHES = 5
"""Of one call; a call that breaks more is told with these."""
MAX_REFERENCES = 2_000
MAX_NESTED_REFERENCES = 40
"""References within references. Further down Python's own limit is met, which the compiled
parts of jsonschema do not survive wherever it meets them."""


class Finding(NamedTuple):
    path: str
    code: str
    message: str
    value: str | None = None
    hint: str | None = None
    severity: Severity = Severity.ERROR


def findings(example: Example) -> Iterator[Finding]:
    """Everything wrong between the calls, results and tools of a row."""
    messages = (*example.messages, *example.chosen, *example.rejected)
    called = any(m.tool_calls or m.role is Role.TOOL for m in messages)
    if not (called or example.tools):
        return
    schemas = dict(_schemas(example.tools))
    yield from _definitions(example.tools)
    yield from _calls(example.messages, "messages", schemas)
    yield from _calls(example.chosen, "chosen", schemas)
    yield from _calls(example.rejected, "rejected", schemas)
    yield from _results(example.messages)


def _schemas(tools: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, Any]]:
    for tool in tools:
        function = tool.get("function")
        if isinstance(function, Mapping) and isinstance(function.get("name"), str):
            yield function["name"], function.get("parameters")


def _definitions(tools: Sequence[Mapping[str, Any]]) -> Iterator[Finding]:
    names: set[str] = set()
    for at, (name, _) in enumerate(_schemas(tools)):
        if name in names:
            text = f"the tool {shown(name)} is listed twice"
            path = f"tools[{at}].function.name"
            hint = "keep one of the two: nobody knows which of them a call means"
            yield Finding(path, "tool_repeated", text, name, hint, Severity.WARNING)
        names.add(name)


def _calls(
    messages: Sequence[Message], where: str, schemas: Mapping[str, Any]
) -> Iterator[Finding]:
    for index, message in enumerate(messages):
        for at, call in enumerate(message.tool_calls):
            path = f"{where}[{index}].tool_calls[{at}].function"
            if schemas and call.name not in schemas:
                text = f"{path}.name is {shown(call.name)}, the row's tools are {_names(schemas)}"
                hint = "add the tool to the row, or mend the name"
                yield Finding(f"{path}.name", "tool_unknown", text, call.name, hint)
            yield from _arguments(call, f"{path}.arguments", schemas.get(call.name))


def _arguments(call: ToolCall, path: str, schema: Any) -> Iterator[Finding]:
    try:
        value = orjson.loads(call.arguments or "{}")
    except orjson.JSONDecodeError as error:
        text = f"{path} is not JSON ({error.msg})"
        yield Finding(path, "arguments_not_json", text, shown(call.arguments))
        return
    if not isinstance(value, dict):
        text = f"{path} holds {type_name(value)}, expected a JSON object"
        yield Finding(path, "arguments_not_object", text, shown(call.arguments))
        return
    if not isinstance(schema, Mapping) or too_deep(schema) or too_deep(value):
        return
    for at, said, found in breaches(value, schema):
        text = f"{path}{at}: {said}"
        hint = "the program behind the tool would refuse this call: mend the call or the schema"
        yield Finding(f"{path}{at}", "arguments_break_schema", text, found, hint)


_DISTINCT = "give every call an id of its own; `--fix` does"


def _results(messages: Sequence[Message]) -> Iterator[Finding]:
    """Results whose id is none of the calls they follow. Without ids there is nothing to hold."""
    waiting: set[str] = set()
    for index, message in enumerate(messages):
        if message.role is Role.ASSISTANT:
            before = messages[index - 1].role if index else None
            ids = [call.id for call in message.tool_calls if call.id and call.id != "null"]
            known = set(ids)
            if len(known) < len(ids):
                path = f"messages[{index}].tool_calls"
                twice = next(call_id for call_id in ids if ids.count(call_id) > 1)
                text = f"{path} has the id {shown(twice)} twice, results cannot be told apart"
                yield Finding(path, "tool_call_duplicate", text, twice, _DISTINCT)
            waiting = waiting | known if before is Role.ASSISTANT else known
            continue
        call_id = message.tool_call_id
        if message.role is Role.TOOL and call_id and waiting and call_id not in waiting:
            path = f"messages[{index}].tool_call_id"
            text = f"{path} is {shown(call_id)}, no call before it has this id"
            hint = f"the calls before it are {_names(waiting)}"
            yield Finding(path, "tool_result_unknown", text, call_id, hint)


class Breach(NamedTuple):
    at: str
    """Path inside the arguments, such as `.city` or `.days[2]`."""
    message: str
    value: str


def breaches(value: Any, schema: Mapping[str, Any]) -> list[Breach]:
    """Where arguments break a tool's schema, at most SHOWN_BREACHES; none if the schema is none."""
    try:
        checker = _checker(json.dumps(schema, sort_keys=True))
    except (TypeError, ValueError, RecursionError):
        return []
    return list(checker.breaches(value)) if checker else []


class _Checker:
    """One schema, compiled. References may be followed so often and no more: a few lines of them
    can ask for more steps than there are atoms."""

    def __init__(self, schema: Any) -> None:
        own = {"$ref": self._ref, "pattern": _pattern, "patternProperties": lambda *_: ()}
        self._validator: Any = extend(Draft7Validator, own)(schema, registry=Registry())
        self._steps = 0
        self._nested = 0

    def breaches(self, value: Any) -> Iterator[Breach]:
        self._steps = self._nested = 0
        try:
            yield from map(_breach, islice(self._validator.iter_errors(value), SHOWN_BREACHES))
        except (Unresolvable, RecursionError, ValueError, TypeError, re.error):
            # A reference that leads nowhere or in a circle; what was found before stays true.
            return

    def _ref(self, validator: Any, ref: Any, instance: Any, schema: Any) -> Iterator[Any]:
        self._steps += 1
        if self._steps > MAX_REFERENCES or self._nested >= MAX_NESTED_REFERENCES:
            raise RecursionError
        self._nested += 1
        try:
            yield from Draft7Validator.VALIDATORS["$ref"](validator, ref, instance, schema)
        finally:
            self._nested -= 1


def _breach(error: ValidationError) -> Breach:
    at = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in error.absolute_path)
    return Breach(at, _said(error), shown(error.instance))


def _said(error: ValidationError) -> str:
    """jsonschema writes whole values into its messages; a call may be long, or hold a secret."""
    wanted, found = error.validator_value, error.instance
    match error.validator:
        case "required":
            missing = [name for name in wanted if name not in found]
            return f"required but absent: {', '.join(map(shown, missing))}"
        case "additionalProperties":
            known = error.schema.get("properties", {})
            extra = [name for name in found if name not in known]
            return f"not a parameter of the tool: {', '.join(map(shown, extra))}"
        case "type":
            return f"{shown(found)} is {type_name(found)}, expected {shown(wanted)}"
        case "enum" | "const":
            return f"{shown(found)} is not one of {shown(wanted)}"
    return f"{shown(found)} breaks {error.validator}: {shown(wanted)}"


@lru_cache(maxsize=1024)
def _checker(schema: str) -> _Checker | None:
    """Cached by text, as rows mostly share their tools; None for what is no schema."""
    loaded = json.loads(schema)
    try:
        Draft7Validator.check_schema(loaded)
    except (SchemaError, RecursionError, re.error):  # told by conversation.py
        return None
    return _Checker(loaded)


def _pattern(_: Any, pattern: Any, text: Any, schema: Any) -> Iterator[ValidationError]:
    if isinstance(text, str) and isinstance(pattern, str) and _quick(pattern, text):
        try:
            matches = re.search(pattern, text)
        except re.error:
            return
        if not matches:
            yield ValidationError(f"{text!r} does not match {pattern!r}")


def _quick(pattern: str, text: str) -> bool:
    """Whether trying it ends soon: a repeated group can take time exponential in the text."""
    repeated = len(_REPEAT.findall(pattern))
    return len(text) <= 1_000 and (repeated <= 1 or (repeated <= 3 and not _GROUP.search(pattern)))


_REPEAT = re.compile(r"(?<!\\)[*+{]")
_GROUP = re.compile(r"\)[*+{]")


def _names(names: Any) -> str:
    listed = sorted(map(str, names))
    more = f" and {len(listed) - 8} more" if len(listed) > 8 else ""
    return (", ".join(shown(name) for name in listed[:8]) or "none") + more
