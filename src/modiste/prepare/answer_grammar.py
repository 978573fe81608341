"""What an answer must look like, as one grammar: JSON by a schema, calls of given functions, or
either of the two.

The grammar is in llguidance's dialect of Lark: `<[5]>` is token 5, `%json {…}` a schema. Calls are
written as the base was taught to write them and spelt as its training rows are, so that a forced
call is no stranger text than one of the model's own. A base that thinks may do so first.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from modiste.prepare.json_schema import LAYOUT, as_lark
from modiste.prepare.manner import ARGS, CALL_ID, CALLS, END_TAG, TAG, CallStyle, Manner

AS_TRAINED = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
"""How Python's json.dumps spells the arguments of calls in training rows."""

SPACE = "/[ \\n]{0,4}/"


@dataclass(frozen=True)
class Function:
    name: str
    arguments: Mapping[str, Any]
    """A schema that can be enforced."""


class AnswerGrammar(NamedTuple):
    lark: str
    after: int | None = None
    """The grammar begins behind the first token of this id; what comes before is free."""


def json_answer(
    manner: Manner, schema: Mapping[str, Any], *, thinks_first: bool = False
) -> AnswerGrammar:
    """JSON that follows a schema."""
    rules = [f"answer: {_margin(manner)} json", f"json: {as_lark(schema, LAYOUT)}"]
    return _whole(manner, rules, thinks_first=thinks_first)


def calls(
    manner: Manner,
    functions: Sequence[Function],
    *,
    several: bool,
    schema: Mapping[str, Any] | None = None,
    thinks_first: bool = False,
) -> AnswerGrammar:
    """At least one call; with a schema, calls or JSON that follows it."""
    rules = ["answer: calls", *_calls(manner, functions, several=several)]
    if schema is not None:
        rules[0] = f"answer: calls | {_margin(manner)} json"
        rules.append(f"json: {as_lark(schema, LAYOUT)}")
    return _whole(manner, rules, thinks_first=thinks_first)


def calls_if_any(
    manner: Manner, functions: Sequence[Function], *, several: bool
) -> AnswerGrammar | None:
    """Free text, but calls follow their schemas. None where no token tells that one begins."""
    if manner.calls is CallStyle.BARE:
        rules = ["start: calls | TEXT", "TEXT: /[^{\\s](?s:.)*/"]
        rules += _calls(manner, functions, several=several)
        return AnswerGrammar("\n".join(rules)) if manner.thinking is None else None
    mark = TAG if manner.calls is CallStyle.TAGGED else CALLS
    begins = manner.control.get(mark, manner.single.get(mark))
    if begins is None:
        return None
    rules = ["start: calls", *_calls(manner, functions, several=several, begun=True)]
    return AnswerGrammar("\n".join(rules), after=begins)


def _whole(manner: Manner, rules: Sequence[str], *, thinks_first: bool) -> AnswerGrammar:
    """The answer, behind a thought where the base has them."""
    thinking = manner.thinking
    if thinking is None:
        return AnswerGrammar("\n".join(["start: answer", *rules]))
    begin, end = manner.control.get(thinking.begin), manner.control.get(thinking.end)
    if begin is not None and end is not None:
        opening, thought = f"<[{begin}]>", f"thought: TEXT? <[{end}]>"
    else:
        opening = json.dumps(thinking.begin)
        thought = f"thought[suffix={json.dumps(thinking.end)}]: /(?s:.*)/"
    first = f"thought {SPACE if thinking.framed else ''}"
    start = first if thinks_first else f"({opening} {first})?"
    return AnswerGrammar("\n".join([f"start: {start} answer", thought, "TEXT: /(?s:.+)/", *rules]))


def _calls(
    manner: Manner, functions: Sequence[Function], *, several: bool, begun: bool = False
) -> list[str]:
    """Rules for `calls`; `begun` where the mark that opens them was written already."""
    styles = {
        CallStyle.LIST: _list,
        CallStyle.NAMED: _named,
        CallStyle.TAGGED: _tagged,
        CallStyle.BARE: _bare,
    }
    if manner.calls is None:
        raise ValueError("a base that writes no calls was asked for some")
    rules = styles[manner.calls](manner, functions, several, begun)
    for at, function in enumerate(functions):
        rules.append(f"arguments_{at}: {as_lark(function.arguments, AS_TRAINED)}")
    return rules


def _list(manner: Manner, functions: Sequence[Function], several: bool, begun: bool) -> list[str]:
    mark = "" if begun else _mark(manner, CALLS)
    more = '(", " call)*' if several else ""
    calls = [_object(f, f"arguments_{at} id?", "arguments") for at, f in enumerate(functions)]
    return [
        f'calls: {mark} {_margin(manner)} "[" call {more} "]"',
        f"call: {' | '.join(calls)}",
        'id: ", \\"id\\": \\"" /[a-zA-Z0-9]{9}/ "\\""',
    ]


def _named(manner: Manner, functions: Sequence[Function], several: bool, begun: bool) -> list[str]:
    call_id = f"({_mark(manner, CALL_ID)} /[a-zA-Z0-9]{{9}}/)?" if _has(manner, CALL_ID) else ""
    calls = [
        f"{json.dumps(f.name)} {call_id} {_mark(manner, ARGS)} arguments_{at}"
        for at, f in enumerate(functions)
    ]
    mark = _mark(manner, CALLS)
    more = f"({mark} call)*" if several else ""
    return [f"calls: {'' if begun else mark} call {more}", f"call: {' | '.join(calls)}"]


def _tagged(manner: Manner, functions: Sequence[Function], several: bool, begun: bool) -> list[str]:
    calls = [_object(f, f"arguments_{at}", "arguments") for at, f in enumerate(functions)]
    mark, end = _mark(manner, TAG), _mark(manner, END_TAG)
    more = f'("\\n" {mark} call)*' if several else ""
    return [
        f"calls: {'' if begun else mark} call {more}",
        f'call: "\\n" object "\\n" {end}',
        f"object: {' | '.join(calls)}",
    ]


def _bare(manner: Manner, functions: Sequence[Function], several: bool, begun: bool) -> list[str]:
    calls = [_object(f, f"arguments_{at}", "parameters") for at, f in enumerate(functions)]
    return ["calls: call", f"call: {' | '.join(calls)}"]


def _object(function: Function, arguments: str, key: str) -> str:
    head = f'{{"name": {json.dumps(function.name)}, "{key}": '
    return f'{json.dumps(head)} {arguments} "}}"'


def _mark(manner: Manner, name: str) -> str:
    token = manner.control.get(name)
    return json.dumps(name) if token is None else f"<[{token}]>"


def _has(manner: Manner, name: str) -> bool:
    return name in manner.control or name in manner.single


def _margin(manner: Manner) -> str:
    """The space with which some vocabularies open every text."""
    return '" "?' if manner.words_begin_spaced else ""
