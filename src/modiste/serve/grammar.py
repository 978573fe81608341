"""Answers held to a grammar: which tokens may come next, asked of llguidance after each of them.

A grammar is compiled against the bytes that the base's tokenizer spells its tokens with, in a
process of its own (`serve.grammar_child`); the engine knows it by `serve.constraint`. Text never
spells a control token here: a grammar that wants one names its id. Tokens that end an answer are
allowed where the grammar may end, and nowhere else.

Legend: V vocabulary of the base's tokenizer, brought to a multiple of eight.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from llguidance import LLMatcher, LLParserLimits, LLTokenizer, TokenizerWrapper

from modiste.errors import InvalidInput
from modiste.prepare import render
from modiste.serve.constraint import Place
from modiste.serve.sequence import FailureCode, Grammar, GrammarKind

LIMITS = LLParserLimits(verbose_errors=False)
"""llguidance's own bounds of time and memory; what failed is told without the parser's insides."""


class Vocabulary(NamedTuple):
    tokenizer: LLTokenizer
    ends: list[int]
    """Tokens that llguidance takes for the end of a text."""
    bare: Mapping[int, int]
    """Tokens that begin with the space that SentencePiece puts in front of every text, and the
    same tokens without it. Empty for tokenizers that add no space."""
    spelt: Callable[[str], list[int]]
    """Tokens of exactly the text's bytes."""


class Match:
    """One answer's way through its grammar."""

    def __init__(self, matcher: LLMatcher, vocabulary: Vocabulary) -> None:
        self._matcher, self._vocabulary = matcher, vocabulary
        self._first = True

    @property
    def place(self) -> Place:
        matcher = self._matcher
        problem = matcher.get_error() if matcher.is_error() else ""
        if problem or matcher.is_stopped():
            return Place(not problem, not problem, problem, b"")
        bits = matcher.compute_bitmask()
        allowed_V = np.unpackbits(np.frombuffer(bits, np.uint8), bitorder="little")
        allowed_V[self._vocabulary.ends] = 0
        if self._first and (bare := self._vocabulary.bare):
            allowed_V[list(bare)] |= allowed_V[list(bare.values())]
        accepting = matcher.is_accepting()
        problem = matcher.get_error() if matcher.is_error() else ""  # Of computing the mask.
        packed = np.packbits(allowed_V, bitorder="little").tobytes()
        return Place(False, accepting and not problem, problem, packed)

    def take(self, token: int) -> None:
        """`token` was drawn, and does not end the answer."""
        if self._first and not self._matcher.validate_tokens([token]):
            token = self._vocabulary.bare.get(token, token)
        self._first = False
        self._matcher.consume_token(token)

    def begin(self, text: str) -> bool:
        """Whether the grammar can begin with `text`, behind which the answer goes on."""
        ids = self._vocabulary.spelt(text)
        self._first = False
        return self._matcher.validate_tokens(ids) == len(ids) and self._matcher.consume_tokens(ids)


class Compiler:
    """Of one base. Its tokenizer is read when the first grammar comes, and kept."""

    def __init__(self, base: Path) -> None:
        self._base = base

    def compile(self, grammar: Grammar) -> Match:
        """
        Raises:
            InvalidInput: the grammar means nothing, or no answer begins as it should; with why.
        """
        source, vocabulary = _source(grammar), self._vocabulary
        matcher = LLMatcher(vocabulary.tokenizer, source, log_level=0, limits=LIMITS)
        if matcher.is_error():
            raise _unusable(grammar, matcher.get_error())
        match = Match(matcher, vocabulary)
        if grammar.begun and not match.begin(grammar.begun):
            raise InvalidInput(
                f"no answer of the form that is asked for begins with {_short(grammar.begun)}; "
                "change the prefix or the form",
                code=FailureCode.INVALID,
                param="messages",
            )
        return match

    @cached_property
    def _vocabulary(self) -> Vocabulary:
        renderer = render.load(self._base)
        spelt, ends = _Spelt(renderer), sorted(renderer.stop_ids)
        tokenizer = LLTokenizer(TokenizerWrapper(spelt), eos_token=ends)
        return Vocabulary(tokenizer, ends, spelt.bare(), spelt)


class _Spelt:
    """A renderer's vocabulary as llguidance wants to see it."""

    def __init__(self, renderer: render.Renderer) -> None:
        self._renderer = renderer
        names = [renderer.token_name(token) for token in range(renderer.vocab_size)]
        self.eos_token_id = renderer.eos_id
        self.bos_token_id = renderer.bos_id
        self.special_token_ids = [token for token, name in enumerate(names) if name is not None]
        self.tokens = [
            spelt if name is None else name.encode()
            for spelt, name in zip(renderer.spelling, names, strict=True)
        ]
        self._of_bytes = {spelt: at for at, spelt in enumerate(renderer.spelling) if spelt}

    def __call__(self, text: str) -> list[int]:
        """The tokens of exactly these bytes, from which llguidance learns how a base would write
        what its grammar leaves no choice about."""
        ids = self._renderer.encode(text)
        spelt = b"".join(self._renderer.spelling[token] for token in ids)
        return self._unspaced(ids) if spelt == b" " + text.encode() else ids

    def bare(self) -> dict[int, int]:
        """Each token with a space in front, and the same without; where texts begin so."""
        if not self._renderer.spelling[self._renderer.encode("a")[0]].startswith(b" "):
            return {}
        return {
            token: self._of_bytes[spelt[1:]]
            for token, spelt in enumerate(self._renderer.spelling)
            if spelt.startswith(b" ") and spelt[1:] in self._of_bytes
        }

    def _unspaced(self, ids: list[int]) -> list[int]:
        first = self._renderer.spelling[ids[0]][1:]
        if first in self._of_bytes:
            return [self._of_bytes[first], *ids[1:]]
        return [*(self._of_bytes[bytes([byte])] for byte in first), *ids[1:]]


def _source(grammar: Grammar) -> str:
    """The grammar as llguidance reads it."""
    if grammar.kind is GrammarKind.LARK:
        return LLMatcher.grammar_from_lark(grammar.text)
    if grammar.kind is GrammarKind.REGEX:
        return LLMatcher.grammar_from_regex(grammar.text)
    try:
        schema = json.loads(grammar.text)
    except (ValueError, RecursionError) as error:
        raise _unusable(grammar, f"it is not JSON: {error}") from None
    if not isinstance(schema, dict):
        raise _unusable(grammar, f"it is a {type(schema).__name__}, expected an object")
    return LLMatcher.grammar_from_json_schema(schema)


def _unusable(grammar: Grammar, told: str) -> InvalidInput:
    return InvalidInput(
        f"the {grammar.kind.value} cannot be used as a grammar: {told.strip()}",
        code=FailureCode.INVALID,
        param="grammar",
    )


def _short(text: str) -> str:
    return repr(text if len(text) <= 80 else f"{text[:77]}...")
