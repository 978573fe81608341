"""What all chat renderers share: checks first, then ids, masks and text.

A renderer of one format says how it writes messages (`prompt_ids`, `whole_ids`, `encode`) and what
its rules are; everything that training and serving must agree on is here, once.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, NamedTuple

from modiste.errors import BadRequest, InvalidInput
from modiste.prepare import detokenize, turns
from modiste.prepare.conversation import (
    CALL_CODES,
    ORDER_CODES,
    Rules,
    Use,
    Violation,
    violations,
)
from modiste.prepare.detokenize import StreamDecoder
from modiste.prepare.infill import Infill
from modiste.prepare.manner import MARKS_OF_CALLS, Effort, Manner
from modiste.prepare.marks import MarkedDecoder
from modiste.prepare.rendered import Rendered
from modiste.prepare.turns import Writer
from modiste.types import Example, Message, Role, SampleType

SAFE_PROMPT = (
    "Always assist with care, respect, and truth. Respond with utmost utility yet securely. Avoid "
    "harmful, unethical, prejudiced, or negative content. Ensure replies promote fairness and "
    "positivity."
)
"""Mistral's own words for `safe_prompt`."""


class Ready(NamedTuple):
    example: Example
    """Kept, so that its identity stays its own."""
    samples: list[Rendered]


REMEMBERED_TEXTS = 64
REMEMBERED_LENGTH = 50_000
"""Letters; longer texts are encoded anew rather than kept."""


class ChatRenderer(ABC):
    """Messages to tokens and back; see `render.Renderer` for what each member promises."""

    def __init__(
        self,
        *,
        fingerprint: str,
        rules: Rules,
        spelling: Sequence[bytes],
        strip_first_space: bool,
        bos_id: int | None,
        eos_id: int,
        stop_ids: frozenset[int],
        writes_call_ids: bool,
    ) -> None:
        self.fingerprint = fingerprint
        self.rules = rules
        self.vocab_size = len(spelling)
        self.bos_id = bos_id
        self.eos_id = eos_id
        self.stop_ids = stop_ids
        self.spelling = spelling
        self._strip_first_space = strip_first_space
        self._writes_call_ids = writes_call_ids
        self._ready: dict[int, Ready] = {}
        """By the identity of an example: what `read_ahead` made of it."""

    @abstractmethod
    def encode(self, text: str) -> list[int]: ...

    @abstractmethod
    def token_name(self, token_id: int) -> str | None: ...

    @abstractmethod
    def prompt_ids(
        self,
        messages: Sequence[Message],
        tools: Sequence[Mapping[str, Any]],
        effort: Effort | None = None,
    ) -> list[int]:
        """Checked messages, ending where the model takes over; weights must not matter."""

    @abstractmethod
    def whole_ids(
        self, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]]
    ) -> list[int]:
        """Checked messages, ending with a complete assistant message."""

    @property
    @abstractmethod
    def manner(self) -> Manner: ...

    @property
    def chats(self) -> bool:
        return True

    @property
    def fim(self) -> Infill | None:
        return None

    def prompt(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[Mapping[str, Any]] = (),
        safe_prompt: bool = False,
        effort: Effort | None = None,
    ) -> list[int]:
        found = violations(messages, tools=tools, rules=self.rules, use=Use.SERVING)
        if found:
            raise BadRequest(
                found[0].message, param=found[0].path, code=_request_error_code(found[0])
            )
        shown = with_safe_prompt(messages) if safe_prompt else messages
        return self.prompt_ids(shown, tools, effort)

    def training(self, example: Example) -> Rendered:
        if example.sample_type is SampleType.PRETRAIN:
            whole = turns.text_samples(self._text_ids(example), bos_id=None, max_length=None)
            return whole[0] if whole else Rendered([], [])
        self._check(example)
        ids = self.whole_ids(example.messages, example.tools)
        return turns.sequence(example.messages, ids, self._writer(example))

    def read_ahead(self, examples: Sequence[Example]) -> None:  # noqa: B027
        """What is asked for next; a renderer may use it to work on all of them at once."""

    def training_samples(
        self, example: Example, *, max_length: int | None = None
    ) -> list[Rendered]:
        if ready := self._ready.pop(id(example), None):
            return ready.samples
        if example.sample_type is SampleType.PRETRAIN:
            ids = self._text_ids(example)
            return turns.text_samples(ids, bos_id=self.bos_id, max_length=max_length)
        self._check(example)
        return turns.samples(example.messages, self._writer(example))

    def decode(self, ids: Sequence[int]) -> str:
        return detokenize.decode(self.spelling, ids, strip_first_space=self._strip_first_space)

    def stream_decoder(self, *, continuing: bool = False) -> StreamDecoder:
        strip = self._strip_first_space and not continuing
        return StreamDecoder(self.spelling, strip_first_space=strip)

    def answer_decoder(self, *, tools: bool, continuing: bool = False) -> MarkedDecoder:
        manner = self.manner
        marks = {*(MARKS_OF_CALLS[manner.calls] if tools and manner.calls else ())}
        if manner.thinking:
            marks |= {manner.thinking.begin, manner.thinking.end}
        return MarkedDecoder(
            self.stream_decoder(continuing=continuing),
            control={manner.control[name]: name for name in marks if name in manner.control},
            spelt=sorted(marks - manner.control.keys()),
        )

    def opens_thought(self, prompt: Sequence[int]) -> bool:
        manner = self.manner
        if manner.thinking is None:
            return False
        begin, end = (
            {**manner.single, **manner.control}.get(name)
            for name in (manner.thinking.begin, manner.thinking.end)
        )
        if begin is None or begin not in prompt:
            return False
        behind = list(prompt[len(prompt) - list(reversed(prompt)).index(begin) :])
        return end not in behind and not self.decode(behind).strip()

    def _control_ids(self) -> dict[str, int]:
        names = ((self.token_name(token), token) for token in range(self.vocab_size))
        return {name: token for name, token in names if name is not None}

    def _writer(self, example: Example) -> Writer:
        return Writer(
            prompt=lambda messages: self.prompt_ids(messages, example.tools),
            whole=lambda messages: self.whole_ids(messages, example.tools),
            stop_ids=self.stop_ids,
            writes_call_ids=self._writes_call_ids,
        )

    def _text_ids(self, example: Example) -> list[int]:
        """A document: opened as every prompt is, and closed so that the model learns to end."""
        opening = [] if self.bos_id is None else [self.bos_id]
        return [*opening, *self.encode(example.text or ""), self.eos_id]

    def _check(self, example: Example) -> None:
        found = violations(
            example.messages, tools=example.tools, rules=self.rules, use=Use.TRAINING
        )
        if found:
            said = "; ".join(f"{v.path}: {v.message}" for v in found)
            raise InvalidInput(f"line {example.line}: {said}", code=found[0].code)


def remembered(encode: Callable[[str], list[int]]) -> Callable[[str], list[int]]:
    """The same encoder with a short memory.

    To find its trained turns a conversation is written several times, with mostly the same texts.
    """
    recent = lru_cache(maxsize=REMEMBERED_TEXTS)(lambda text: tuple(encode(text)))
    return lambda text: encode(text) if len(text) > REMEMBERED_LENGTH else list(recent(text))


def with_safe_prompt(messages: Sequence[Message]) -> list[Message]:
    """The safe prompt in front of the first system message, or as one."""
    shown = list(messages)
    if shown and shown[0].role is Role.SYSTEM:
        own = shown[0].content or ""
        shown[0] = replace(shown[0], content=f"{SAFE_PROMPT}\n\n{own}" if own else SAFE_PROMPT)
    else:
        shown.insert(0, Message(Role.SYSTEM, SAFE_PROMPT))
    return shown


def _request_error_code(violation: Violation) -> str:
    """The names of Mistral's API for what is wrong with a chat request."""
    if violation.code in ORDER_CODES:
        return "invalid_request_message_order"
    if violation.code in CALL_CODES:
        return "invalid_function_call"
    return "invalid_request_invalid_args"
