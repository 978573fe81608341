"""Rows of any columns as chats or texts, by a template for each message.

    user={context}\\n\\n{question}    assistant={answer}

`{name}` stands for a column, `{name.inner}` and `{name[0]}` for what is inside one, `{name!j}` for
a list or an object as JSON, `{{` and `}}` for braces. A template is named for a role (`system`,
`user`, `assistant`), in the order of the chat, or `text` for text to continue training on. With
`label` (and `text` or `user`) rows become classifier rows.
"""

from __future__ import annotations

import difflib
import re
import string
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from modiste.errors import InvalidInput
from modiste.prepare.formats.places import together
from modiste.prepare.formats.row import Notes, Row, as_object, json_text, shown, type_name
from modiste.types import Example, Message, Role, SampleType

AS_JSON = "j"
_ENDS = (None, "", AS_JSON)
TARGETS = ("system", "user", "assistant", "text", "label")
_PART = re.compile(r"[^.\[\]]+")
_ESCAPES = {"\\n": "\n", "\\t": "\t", "\\\\": "\\"}
HINT = "columns are named as in 'user={question}' 'assistant={answer}'"


@dataclass(frozen=True)
class Columns:
    """What to make of a row: targets and their templates, in order."""

    messages: tuple[tuple[str, str], ...]

    @classmethod
    def parse(cls, given: Iterable[str]) -> Columns:
        """From `target=template` as they are typed; backslash n and t are line end and tab.

        Raises:
            InvalidInput: with everything that is wrong.
        """
        found, wrong = [], []
        for text in given:
            target, equals, template = text.partition("=")
            if not equals or target not in TARGETS:
                known = ", ".join(TARGETS)
                wrong.append(f"{text!r} does not begin with one of {known} and an equals sign")
            elif problem := _template_problem(template):
                wrong.append(f"{text!r}: {problem}")
            else:
                found.append((target, _unescaped(template)))
        wrong += _wrong_together([target for target, _ in found]) if not wrong else []
        if wrong:
            raise InvalidInput(f"columns: {'; '.join(wrong)}. {HINT}", param="columns")
        return cls(tuple(found))

    def names(self) -> set[str]:
        """The columns that are read."""
        return {
            _PART.findall(name)[0] for _, template in self.messages for name in fields_of(template)
        }


def fields_of(template: str) -> Iterator[str]:
    for _, name, _, _ in string.Formatter().parse(template):
        if name is not None:
            yield name


def parse_row(value: Any, *, file: str, line: int, columns: Columns) -> Row:
    notes = Notes(file, line)
    row = as_object(value, notes, HINT)
    if row is None:
        return notes.refused()
    filled = [(target, _filled(template, row, notes)) for target, template in columns.messages]
    notes.ignore((key for key, inside in row.items() if inside is not None), columns.names())
    for (target, text), (_, template) in zip(filled, columns.messages, strict=True):
        if not text and target != "system" and not notes.problems:
            notes.say(
                place_of(template, target), "field_empty", f"{target} is empty: so is {template}"
            )
    return notes.answer(_example(line, filled, columns, notes))


def place_of(template: str, target: str) -> str:
    """The columns that a text is made of; of a text without any, what it is for."""
    return together(*dict.fromkeys(fields_of(template))) or target


def _example(line: int, filled: list[tuple[str, str]], columns: Columns, notes: Notes) -> Example:
    text = next((said for target, said in filled if target == "text"), None)
    labels = tuple(said for target, said in filled if target == "label")
    messages: list[Message] = []
    for (target, said), (_, template) in zip(filled, columns.messages, strict=True):
        place = place_of(template, target)
        if target == "label":
            notes.call("labels", place)
            notes.call("labels.label", place)
        elif target == "text":
            notes.call("text", place)
        elif said or target != "system":
            messages.append(notes.place(Message(Role(target), said), place))
    told = tuple(messages)
    if labels:
        return Example(line, SampleType.CLASSIFIER, told, text=text, labels={"label": labels})
    kind = SampleType.INSTRUCT if text is None else SampleType.PRETRAIN
    return Example(line, kind, told, text=text)


def _filled(template: str, row: Mapping[str, Any], notes: Notes) -> str:
    said = []
    for literal, name, _, conversion in string.Formatter().parse(template):
        said.append(literal)
        if name is not None:
            said.append(_cell(name, row, notes, as_json=conversion == AS_JSON))
    return "".join(said)


def _cell(name: str, row: Mapping[str, Any], notes: Notes, *, as_json: bool) -> str:
    before = len(notes.problems)
    found = _value(name, row, notes)
    if len(notes.problems) > before:
        return ""
    if as_json:
        return json_text(found, name, notes)
    if isinstance(found, list | dict):
        text = f"{name} is {type_name(found)}, expected a text"
        hint = f"{_inside(name, found)}, or {{{name}!{AS_JSON}}} for all of it as JSON"
        notes.say(name, "column_not_text", text, hint, value=found)
        return ""
    if found is None:
        return ""
    return found if isinstance(found, str) else json_text(found, name, notes)


def _value(name: str, row: Mapping[str, Any], notes: Notes) -> Any:
    """What a name leads to; a name that leads nowhere is told."""
    found: Any = row
    way = ""
    for part in [name] if name in row else _PART.findall(name):
        if isinstance(found, Mapping) and part in found:
            found, way = found[part], f"{way}.{part}" if way else part
        elif isinstance(found, list) and part.isdigit() and int(part) < len(found):
            found, way = found[int(part)], f"{way}[{part}]"
        else:
            notes.say(name, "column_missing", *_missing(name, way, part, found))
            return None
    return found


def _missing(name: str, way: str, part: str, found: Any) -> tuple[str, str | None]:
    """That nothing is found at `part` of what stands at `way`, and what to do."""
    if isinstance(found, Mapping):
        keys = list(map(str, found))
        near = difflib.get_close_matches(part, keys, n=1)
        there = ", ".join(map(shown, keys[:8])) or "nothing"
        hint = f"did you mean {near[0]}?" if near else f"{way or 'the row'} has {there}"
        return f"{way} has no {part}" if way else f"the row has no column {name!r}", hint
    if isinstance(found, list):
        values = "1 value" if len(found) == 1 else f"{len(found)} values"
        hint = (
            "values are counted from 0" if part.isdigit() else f"write {{{way}[0]}} for the first"
        )
        return f"{way} has no [{part}]: it is a list of {values}", hint
    return f"{way} is {type_name(found)}: there is no {part} in it", f"write {{{way}}}"


def _inside(name: str, found: list[Any] | dict[str, Any]) -> str:
    if isinstance(found, list):
        return f"write {{{name}[0]}} for its first value"
    key = next(iter(found), "key")
    return f"write {{{name}.{key}}} for one of its values"


def _template_problem(template: str) -> str | None:
    try:
        parts = list(string.Formatter().parse(template))
    except ValueError as error:
        return f"{error}; write {{{{ for a brace"
    for _, name, spec, conversion in parts:
        if (name is not None and not _PART.search(name)) or spec or conversion not in _ENDS:
            return f"braces hold the name of a column, with !{AS_JSON} for JSON, and nothing else"
    return None


def _unescaped(template: str) -> str:
    text, at = [], 0
    while at < len(template):
        pair = template[at : at + 2]
        text.append(_ESCAPES.get(pair, template[at]))
        at += 2 if pair in _ESCAPES else 1
    return "".join(text)


def _wrong_together(targets: list[str]) -> list[str]:
    if not targets:
        return ["no template is given"]
    if targets.count("text") > 1:
        return ["text is given twice"]
    if "text" in targets and {"user", "assistant", "system"} & set(targets):
        return ["text and messages exclude each other"]
    if "label" in targets and "assistant" not in targets and len(set(targets)) == 1:
        return ["label needs a text or a message that it labels"]
    if "label" not in targets and "text" not in targets and "assistant" not in targets:
        return ["no assistant is given: there would be nothing to learn"]
    return []
