"""Whatever a grammar lets through is read as what it was meant to be.

The grammars are followed by llguidance itself, over a vocabulary of single bytes and a few marks,
with random choices among what it allows.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Any

import jsonschema
import numpy as np
import pytest
from llguidance import LLMatcher, LLTokenizer, TokenizerWrapper

from modiste.prepare.answer import AnswerReader, Part, Text, Thought
from modiste.prepare.answer_grammar import (
    AnswerGrammar,
    Function,
    calls,
    calls_if_any,
    json_answer,
)
from modiste.prepare.calls import Call
from modiste.prepare.detokenize import StreamDecoder
from modiste.prepare.manner import CallStyle, Manner, Thinking
from modiste.prepare.marks import MarkedDecoder

END = 256
CONTROL = {"[TOOL_CALLS]": 257, "[CALL_ID]": 258, "[ARGS]": 259, "[THINK]": 260, "[/THINK]": 261}
SINGLE = {"<tool_call>": 262, "</tool_call>": 263, "<think>": 264, "</think>": 265}
SPELLING = [*(bytes([b]) for b in range(256)), *[b""] * 6, *(n.encode() for n in SINGLE)]


class _Vocabulary:
    eos_token_id, bos_token_id = END, None
    special_token_ids = tuple(range(END, END + 6))
    tokens = (*SPELLING[:256], b"</s>", *(n.encode() for n in CONTROL), *SPELLING[262:])

    def __call__(self, text: str) -> list[int]:
        return list(text.encode())


TOKENIZER = LLTokenizer(TokenizerWrapper(_Vocabulary()), eos_token=[END])
LIST = Manner(CallStyle.LIST, control={"[TOOL_CALLS]": 257}, words_begin_spaced=True)
NAMED = Manner(CallStyle.NAMED, Thinking("[THINK]", "[/THINK]"), control=CONTROL)
TAGGED = Manner(CallStyle.TAGGED, Thinking("<think>", "</think>"), single=SINGLE)
BARE = Manner(CallStyle.BARE)
MANNERS = {"list": LIST, "named": NAMED, "tagged": TAGGED, "bare": BARE}
WHERE = {
    "type": "object",
    "properties": {"city": {"type": "string", "maxLength": 4}, "n": {"type": "integer"}},
    "required": ["city"],
    "additionalProperties": False,
}
NOTHING = {"type": "object", "properties": {}, "additionalProperties": False}
FUNCTIONS = (Function("where-is", WHERE), Function("stop_now", NOTHING))
SCHEMAS = {f.name: f.arguments for f in FUNCTIONS}
COLOUR = {"type": "object", "properties": {"c": {"enum": ["red", "blue"]}}, "required": ["c"],
          "additionalProperties": False}  # fmt: skip


def walk(grammar: AnswerGrammar, *, seed: int, at_most: int = 400) -> list[int] | None:
    """Token ids of one answer, drawn at random; None if it did not come to its end."""
    matcher = LLMatcher(TOKENIZER, LLMatcher.grammar_from_lark(grammar.lark))
    assert not matcher.is_error(), matcher.get_error()
    draw, ids = random.Random(seed), []
    while len(ids) < at_most:
        if matcher.is_stopped():
            return ids
        bits = np.frombuffer(matcher.compute_bitmask(), np.uint8)
        allowed = np.flatnonzero(np.unpackbits(bits, bitorder="little")[: len(SPELLING)])
        enders = [t for t in allowed if t > 255 or t in b'"{}]>1'] if draw.random() < 0.6 else []
        token = int(draw.choice(enders or list(allowed)))
        if token == END:
            return ids
        assert matcher.consume_token(token)
        ids.append(token)
    return None


def read(manner: Manner, ids: Sequence[int], *, thinks_first: bool = False) -> list[Part]:
    decoder = MarkedDecoder(
        StreamDecoder(SPELLING, strip_first_space=False),
        control={token: name for name, token in manner.control.items()},
        spelt=sorted(manner.single),
    )
    reader = AnswerReader(manner, tools=True, thinks_first=thinks_first)
    parts = [part for token in ids for part in reader.push(decoder.push(token))]
    return [*parts, *reader.push(decoder.flush()), *reader.flush()]


def answers(grammar: AnswerGrammar, n: int = 12) -> list[list[int]]:
    found = [walk(grammar, seed=seed) for seed in range(n)]
    whole = [ids for ids in found if ids is not None]
    assert len(whole) >= n // 3, "hardly any walk came to its end"
    return whole


def sound(parts: list[Part]) -> list[str]:
    """The names of the calls, which are all that was said, and follow their schemas."""
    said = [part for part in parts if not isinstance(part, Thought)]
    assert said, parts
    for part in said:
        assert isinstance(part, Call), parts
        jsonschema.validate(json.loads(part.arguments), SCHEMAS[part.name])
    return [part.name for part in said if isinstance(part, Call)]


@pytest.mark.parametrize("name", MANNERS)
def test_forced_calls_are_read_as_calls_that_follow_their_schemas(name: str) -> None:
    manner = MANNERS[name]
    names, most = set(), 0
    for ids in answers(calls(manner, FUNCTIONS, several=True)):
        called = sound(read(manner, ids))
        names |= set(called)
        most = max(most, len(called))
    assert names == set(SCHEMAS)
    assert (most > 1) == (name != "bare")


@pytest.mark.parametrize("name", MANNERS)
def test_without_parallel_calls_there_is_one(name: str) -> None:
    for ids in answers(calls(MANNERS[name], FUNCTIONS[:1], several=False)):
        assert sound(read(MANNERS[name], ids)) == ["where-is"]


@pytest.mark.parametrize("name", MANNERS)
def test_json_follows_its_schema_whatever_was_thought_before(name: str) -> None:
    thought = False
    for ids in answers(json_answer(MANNERS[name], COLOUR), n=20):
        parts = read(MANNERS[name], ids)
        thought |= any(isinstance(part, Thought) for part in parts)
        text = "".join(part.text for part in parts if isinstance(part, Text))
        jsonschema.validate(json.loads(text), COLOUR)
    assert thought == (MANNERS[name].thinking is not None)


@pytest.mark.parametrize("name", ["list", "named", "tagged"])
def test_calls_or_json_are_one_of_the_two(name: str) -> None:
    kinds = set()
    for ids in answers(calls(MANNERS[name], FUNCTIONS, several=False, schema=COLOUR), n=24):
        parts = [p for p in read(MANNERS[name], ids) if not isinstance(p, Thought)]
        kinds |= {type(part) for part in parts}
        if any(isinstance(part, Call) for part in parts):
            sound(parts)
        else:
            text = "".join(part.text for part in parts if isinstance(part, Text))
            jsonschema.validate(json.loads(text), COLOUR)
    assert kinds == {Call, Text}


@pytest.mark.parametrize("name", ["list", "named", "tagged"])
def test_free_text_is_free_until_a_call_begins(name: str) -> None:
    grammar = calls_if_any(MANNERS[name], FUNCTIONS, several=True)
    assert grammar is not None
    assert grammar.after in (257, 262)
    for ids in answers(grammar):
        sound(read(MANNERS[name], [grammar.after or 0, *ids]))


def test_calls_without_a_mark_are_told_from_text_by_their_first_letter() -> None:
    grammar = calls_if_any(BARE, FUNCTIONS, several=True)
    assert grammar is not None
    assert grammar.after is None
    kinds = {type(part) for ids in answers(grammar, n=40) for part in read(BARE, ids)}
    assert kinds == {Call, Text}


def test_a_thought_that_the_prompt_opened_comes_first() -> None:
    grammar = json_answer(TAGGED, COLOUR, thinks_first=True)
    for ids in answers(grammar):
        parts = read(TAGGED, ids, thinks_first=True)
        text = "".join(part.text for part in parts if isinstance(part, Text))
        jsonschema.validate(json.loads(text), COLOUR)


def test_no_answer_in_json_is_white_space_alone() -> None:
    """A weak model may love line breaks; 40 of them in a row are not allowed."""
    matcher = LLMatcher(
        TOKENIZER, LLMatcher.grammar_from_lark(json_answer(LIST, {"type": "object"}).lark)
    )
    spaces: list[Any] = list(b"{\n" + b" " * 40)
    assert 2 < matcher.try_consume_tokens(spaces) <= 34


def test_where_no_token_opens_calls_free_text_cannot_be_watched() -> None:
    assert calls_if_any(Manner(CallStyle.TAGGED), FUNCTIONS, several=True) is None
