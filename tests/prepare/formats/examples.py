"""Examples of every kind, for properties that hold of all."""

from __future__ import annotations

import json

from hypothesis import strategies as st

from modiste.prepare.formats.sharegpt import call_id
from modiste.types import Example, Message, Role, SampleType, ToolCall

words = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)
names = st.from_regex(r"[a-z_]{1,8}", fullmatch=True)
arguments = st.dictionaries(names, st.one_of(words, st.integers(-9, 9), st.booleans()), max_size=3)
TOOL = {"type": "function", "function": {"name": "f", "description": "d", "parameters": {}}}


@st.composite
def tool_turns(draw: st.DrawFn, at: int) -> list[Message]:
    """A call and its result, with the id that formats without ids give it."""
    name, given_ = draw(names), json.dumps(draw(arguments), ensure_ascii=False)
    call = ToolCall(call_id(at, 0, name, given_), name, given_)
    weight = draw(st.sampled_from([None, None, 0]))
    return [
        Message(Role.ASSISTANT, tool_calls=(call,), weight=weight),
        Message(Role.TOOL, draw(words), tool_call_id=call.id, name=name),
    ]


@st.composite
def chats(draw: st.DrawFn, tools: bool = True) -> Example:
    messages = [Message(Role.SYSTEM, draw(words))] if draw(st.booleans()) else []
    called = False
    for _ in range(draw(st.integers(1, 3))):
        messages.append(Message(Role.USER, draw(words)))
        if tools and draw(st.booleans()):
            called = True
            messages += draw(tool_turns(len(messages)))
        weight = draw(st.sampled_from([None, None, 0, 1])) if tools else None
        messages.append(Message(Role.ASSISTANT, draw(words), weight=weight))
    return Example(1, SampleType.INSTRUCT, tuple(messages), tools=(TOOL,) if called else ())


texts = words.map(lambda text: Example(1, SampleType.PRETRAIN, text=text))


@st.composite
def labelled(draw: st.DrawFn) -> Example:
    value = st.lists(words, min_size=1, max_size=3).map(tuple)
    labels = draw(st.dictionaries(names, value, min_size=1, max_size=3))
    if draw(st.booleans()):
        return Example(1, SampleType.CLASSIFIER, text=draw(words), labels=labels)
    messages = (Message(Role.USER, draw(words)), Message(Role.ASSISTANT, draw(words)))
    return Example(1, SampleType.CLASSIFIER, messages, labels=labels)


@st.composite
def pairs(draw: st.DrawFn) -> Example:
    answers = st.builds(Message, st.just(Role.ASSISTANT), words)
    return Example(
        1,
        SampleType.PREFERENCE,
        draw(chats(tools=False)).messages[:-1],
        chosen=(draw(answers),),
        rejected=(draw(answers),),
    )


examples = st.one_of(chats(), texts, labelled(), pairs())
