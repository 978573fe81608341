"""Answers held to a grammar: which tokens may come next, asked of llguidance before each draw.

A grammar is compiled against the bytes that the base's tokenizer spells its tokens with, away from
the thread that steps. Text never spells a control token here: a grammar that wants one names its
id. Tokens that end an answer are allowed where the grammar may end, and nowhere else.

Legend: V vocabulary of the base, whose tokenizer may know fewer.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Executor, Future
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from llguidance import LLMatcher, LLParserLimits, LLTokenizer, TokenizerWrapper

from modiste.errors import InvalidInput
from modiste.prepare import render
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


class Constraint:
    """One answer's place in its grammar."""

    def __init__(self, matcher: LLMatcher, vocabulary: Vocabulary, *, after: int | None) -> None:
        self._matcher, self._vocabulary = matcher, vocabulary
        self._awaited = after
        self._first = True

    @property
    def complete(self) -> bool:
        """The answer matches and cannot go on."""
        return self._awaited is None and self._matcher.is_stopped() and not self.problem

    @property
    def problem(self) -> str:
        """Why the grammar cannot be followed any further; empty while it can."""
        return str(self._matcher.get_error()) if self._matcher.is_error() else ""

    def allowed(self, n_vocab: int, stop_ids: Collection[int]) -> npt.NDArray[np.bool_] | None:
        """Which tokens may come next; None where all may."""
        if self._awaited is not None:
            return None
        bits = np.frombuffer(self._matcher.compute_bitmask(), np.uint8)
        allowed_V = np.unpackbits(bits, count=n_vocab, bitorder="little").astype(np.bool_)
        allowed_V[self._vocabulary.ends] = False
        if self._first and (bare := self._vocabulary.bare):
            spaced = list(bare)
            allowed_V[spaced] |= allowed_V[list(bare.values())]
        if self._matcher.is_accepting():
            allowed_V[[token for token in stop_ids if token < n_vocab]] = True
        return allowed_V

    def take(self, token: int) -> None:
        """`token` was drawn, and does not end the answer."""
        if self._awaited is not None:
            self._awaited = None if token == self._awaited else self._awaited
            return
        if self._first and not self._matcher.validate_tokens([token]):
            token = self._vocabulary.bare.get(token, token)
        self._first = False
        self._matcher.consume_token(token)


class Grammars:
    """Compiles for one base. Its tokenizer is read when the first grammar comes, and kept."""

    def __init__(self, base: Path, pool: Executor, *, wake: Callable[[], None]) -> None:
        """Compiles on `pool`; `wake` is called when one is done."""
        self._base, self._pool, self._wake = base, pool, wake

    def compile(self, grammar: Grammar) -> Future[Constraint]:
        """Ends in `InvalidInput` where the grammar means nothing, with what is wrong."""
        future = self._pool.submit(self._compile, grammar)
        future.add_done_callback(lambda _: self._wake())
        return future

    def _compile(self, grammar: Grammar) -> Constraint:
        source, vocabulary = _source(grammar), self._vocabulary
        matcher = LLMatcher(vocabulary.tokenizer, source, log_level=0, limits=LIMITS)
        if matcher.is_error():
            raise _unusable(grammar, matcher.get_error())
        return Constraint(matcher, vocabulary, after=grammar.after)

    @cached_property
    def _vocabulary(self) -> Vocabulary:
        renderer = render.load(self._base)
        spelt, ends = _Spelt(renderer), sorted(renderer.stop_ids)
        return Vocabulary(LLTokenizer(TokenizerWrapper(spelt), eos_token=ends), ends, spelt.bare())


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
