"""Answers of every kind of base, read in any pieces."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modiste.prepare.answer import AnswerReader, Part, Text, Thought
from modiste.prepare.calls import Call
from modiste.prepare.manner import CallStyle, Manner, Thinking
from modiste.prepare.marks import Mark, Piece

LISTS = Manner(CallStyle.LIST)
NAMED = Manner(CallStyle.NAMED, Thinking("[THINK]", "[/THINK]"))
TAGGED = Manner(CallStyle.TAGGED, Thinking("<think>", "</think>"))
BARE = Manner(CallStyle.BARE)
CALLS, CALL_ID, ARGS = (Mark(f"[{n}]", spelt=False) for n in ("TOOL_CALLS", "CALL_ID", "ARGS"))
THINK, END_THINK = (Mark(n, spelt=False) for n in ("[THINK]", "[/THINK]"))
TAG, END_TAG = (Mark(n, spelt=True) for n in ("<tool_call>", "</tool_call>"))
HMM, END_HMM = (Mark(n, spelt=True) for n in ("<think>", "</think>"))
PYTHON = Mark("<|python_tag|>", spelt=False)
F = Call("f", '{"a": 1}')
G = Call("g", "{}")


def read(
    manner: Manner, *pieces: Piece, tools: bool = True, thinks_first: bool = False
) -> list[Part]:
    """The parts, neighbours of one kind joined."""
    reader = AnswerReader(manner, tools=tools, thinks_first=thinks_first)
    parts = [part for piece in pieces for part in reader.push([piece])] + reader.flush()
    return joined(parts)


def joined(parts: Sequence[Part]) -> list[Part]:
    told: list[Part] = []
    for part in parts:
        last = told[-1] if told else None
        if isinstance(part, Text) and isinstance(last, Text):
            told[-1] = Text(last.text + part.text)
        elif isinstance(part, Thought) and isinstance(last, Thought):
            told[-1] = Thought(last.text + part.text)
        else:
            told.append(part)
    return told


@pytest.mark.parametrize(
    ("manner", "pieces", "parts"),
    [
        (LISTS, ["plain { text }\n"], [Text("plain { text }\n")]),
        (
            LISTS,
            [CALLS, ' [{"name": "f", "arguments": {"a": 1}}, {"name":"g","arguments":{}}]'],
            [F, G],
        ),
        (LISTS, ["Wait.", CALLS, '[{"name": "g", "arguments": {}}]'], [Text("Wait."), G]),
        (LISTS, [CALLS, '[{"arguments": {}, "name": "g", "id": "a1B2c3D4e"}]'], [
            Call("g", "{}", "a1B2c3D4e"),
        ]),
        (LISTS, [CALLS, '[{"name": "g", "arguments": "{}", "id": "call_7"}]\n'], [G]),
        (LISTS, [CALLS, '[{"name": "g", "arguments": {}}'], [G]),
        (LISTS, [CALLS, '[{"name": "g", "arguments": {}}] Done.'], [G, Text("Done.")]),
        (NAMED, [CALLS, "f", ARGS, '{"a": 1}', CALLS, "g", CALL_ID, "a1B2c3D4e", ARGS, "{}"], [
            F,
            Call("g", "{}", "a1B2c3D4e"),
        ]),
        (NAMED, [THINK, "\nso\n", END_THINK, " Yes.", CALLS, "g", ARGS, "{}"], [
            Thought("\nso\n"),
            Text(" Yes."),
            G,
        ]),
        (NAMED, [THINK, "so", CALLS, "g", ARGS, "{}"], [Thought("so"), G]),
        (NAMED, ["a", THINK, "b", END_THINK, "c"], [Text("a"), Thought("b"), Text("c")]),
        (
            TAGGED,
            ["Wait.\n", TAG, '\n{"name": "f", "arguments": {"a": 1}}\n', END_TAG, "\n",
             TAG, '{"name": "g", "arguments": {}}', END_TAG],
            [Text("Wait."), F, G],
        ),
        (TAGGED, [HMM, "\nso it is\n\n", END_HMM, "\n\nYes.\n"], [
            Thought("so it is"),
            Text("Yes.\n"),
        ]),
        (TAGGED, [HMM, "\n\n", END_HMM, "\n\n", "Yes"], [Text("Yes")]),
        (TAGGED, ["The ", HMM, " tag", END_TAG], [Text("The <think> tag</tool_call>")]),
        (TAGGED, [TAG, '{"name": "g", "arguments": {"s": "', END_TAG, '"}}', END_TAG], [
            Call("g", '{"s": "</tool_call>"}'),
        ]),
        (BARE, ['\n{"name": "f", "parameters": {"a": 1}}'], [F]),
        (BARE, [PYTHON, '{"name": "g", "parameters": {}}; {"name": "f", "parameters": {"a": 1}}'], [
            G,
            F,
        ]),
        (BARE, ['It is {"name": "g", "parameters": {}}'], [
            Text('It is {"name": "g", "parameters": {}}'),
        ]),
    ],
)  # fmt: skip
def test_every_style_is_read(manner: Manner, pieces: list[Piece], parts: list[Part]) -> None:
    assert read(manner, *pieces) == parts


@pytest.mark.parametrize(
    ("manner", "pieces", "text"),
    [
        (LISTS, [CALLS, "hello"], "[TOOL_CALLS]hello"),
        (LISTS, [CALLS, "[]"], "[TOOL_CALLS][]"),
        (LISTS, [CALLS, '[{"name": "f", "argum'], '[TOOL_CALLS][{"name": "f", "argum'),
        (LISTS, [CALLS, '[{"name": "f"}] x'], '[TOOL_CALLS][{"name": "f"}] x'),
        (LISTS, [CALLS, '[{"name": "f f", "arguments": {}}]'],
         '[TOOL_CALLS][{"name": "f f", "arguments": {}}]'),
        (LISTS, [CALLS, '[{"name": "f", "arguments": {"a": NaN}}]'],
         '[TOOL_CALLS][{"name": "f", "arguments": {"a": NaN}}]'),
        (LISTS, [CALLS, '[{"name": "f", "arguments": {"a": "\\ud800"}}]'],
         '[TOOL_CALLS][{"name": "f", "arguments": {"a": "\\ud800"}}]'),
        (LISTS, [CALLS, '[{"name": "f", "arguments": [1]}]'],
         '[TOOL_CALLS][{"name": "f", "arguments": [1]}]'),
        (NAMED, [CALLS, "f", CALLS], "[TOOL_CALLS]f[TOOL_CALLS]"),
        (NAMED, [CALLS, "f", ARGS, '{"a": 1]'], '[TOOL_CALLS]f[ARGS]{"a": 1]'),
        (NAMED, [CALLS, "f", ARGS], "[TOOL_CALLS]f[ARGS]"),
        (NAMED, [CALLS, "f" * 70], "[TOOL_CALLS]" + "f" * 70),
        (TAGGED, ["a\n", TAG, "\nnothing\n", END_TAG, " b"],
         "a\n<tool_call>\nnothing\n</tool_call> b"),
        (BARE, [' {"name": "f"} and'], ' {"name": "f"} and'),
        (BARE, ['{"a"'], '{"a"'),
    ],
)  # fmt: skip
def test_what_is_no_call_is_text_as_it_was_written(
    manner: Manner, pieces: list[Piece], text: str
) -> None:
    assert read(manner, *pieces) == [Text(text)]


def test_a_sound_call_before_a_broken_one_is_a_call() -> None:
    told = read(LISTS, CALLS, '[{"name": "g", "arguments": {}}, {"name": 3}]')
    assert told == [G, Text(', {"name": 3}]')]


def test_without_tools_nothing_is_a_call() -> None:
    bare = '{"name": "g", "parameters": {}}'
    assert read(BARE, bare, tools=False) == [Text(bare)]
    tagged: list[Piece] = [TAG, "{}", END_TAG]
    assert read(TAGGED, *tagged, tools=False) == [Text("<tool_call>{}</tool_call>")]


def test_a_prompt_may_have_opened_the_thought() -> None:
    told = read(TAGGED, "\nso", END_HMM, "\n\nYes", thinks_first=True)
    assert told == [Thought("so"), Text("Yes")]
    assert read(TAGGED, "unfinished ", thinks_first=True) == [Thought("unfinished")]


WORDS = ["{", "}", "[", "]", '"', "\\", " ", "\n", ",", ";", "f", "name", "arguments", ":", "1"]
VALID = json.dumps({"name": "f", "arguments": {"q": 'a"}{\\'}})
MARKS = [CALLS, CALL_ID, ARGS, THINK, END_THINK, TAG, END_TAG, HMM, END_HMM, PYTHON]
PIECES = st.lists(
    st.sampled_from([*WORDS, VALID, VALID.replace("arguments", "parameters"), *MARKS]), max_size=14
)


@given(st.sampled_from([LISTS, NAMED, TAGGED, BARE]), PIECES, st.booleans(), st.booleans())
def test_any_pieces_give_the_same_parts(
    manner: Manner, pieces: list[Piece], tools: bool, thinks_first: bool
) -> None:
    letters = [part for piece in pieces for part in (piece if isinstance(piece, str) else [piece])]
    merged: list[Piece] = []
    for piece in pieces:
        if isinstance(piece, str) and merged and isinstance(merged[-1], str):
            merged[-1] += piece
        else:
            merged.append(piece)
    told = read(manner, *pieces, tools=tools, thinks_first=thinks_first)
    assert told == read(manner, *letters, tools=tools, thinks_first=thinks_first)
    assert told == read(manner, *merged, tools=tools, thinks_first=thinks_first)


@given(st.sampled_from([LISTS, NAMED, TAGGED, BARE]), PIECES, st.booleans())
def test_no_letter_is_lost_but_in_calls_and_frames(
    manner: Manner, pieces: list[Piece], tools: bool
) -> None:
    """Without calls, everything but white space and the marks of thoughts comes out in order."""
    told = read(manner, *pieces, tools=tools)
    if any(isinstance(part, Call) for part in told):
        return
    shown = "".join(part.text for part in told if not isinstance(part, Call))
    marks = {mark.name for mark in MARKS}
    given_in = "".join(p for p in pieces if isinstance(p, str))
    for mark in marks:
        shown = shown.replace(mark, "")
    assert "".join(shown.split()) == "".join(given_in.split())
