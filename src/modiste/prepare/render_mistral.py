"""Mistral's prompt formats v1 to v15, with the tokenizers and message encoders of mistral-common.

`training(example).ids` are those of `MistralTokenizer(...).encode_chat_completion` in fine-tuning
mode; which of them are trained is told in `turns.py`. The request is normalised here and not by
mistral-common (see `mistral_messages.py`).

mistral-finetune skips that normaliser: it keeps consecutive user messages and consecutive
assistant messages apart, writes an empty tool result as `""` and leaves out an empty first user
message. Serving joins and fills them, so Modiste does too; the tokens trained are the tokens asked.

Two limits belong to the formats: v1 has no control tokens for instructions, so `[INST]` in a v1
conversation is text like any other, the user's too; and SentencePiece (`*.model.vN`) writes spaces
as `▁` (U+2581), so that letter itself comes back as a space.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from mistral_common.exceptions import MistralCommonException
from mistral_common.protocol.fim.request import FIMRequest
from mistral_common.protocol.instruct import messages as mc
from mistral_common.protocol.instruct.chunk import TextChunk, ThinkChunk
from mistral_common.protocol.instruct.request import (
    ChatCompletionRequest,
    ModelSettings,
    ReasoningEffort,
)
from mistral_common.protocol.instruct.tool_calls import FunctionCall, Tool
from mistral_common.protocol.instruct.tool_calls import ToolCall as McToolCall
from mistral_common.tokens.tokenizers.base import TokenizerVersion
from mistral_common.tokens.tokenizers.mistral import MistralTokenizer
from mistral_common.tokens.tokenizers.sentencepiece import is_sentencepiece_tokenizer
from mistral_common.tokens.tokenizers.tekken import is_tekkenizer

from modiste.errors import BadRequest, InvalidInput
from modiste.prepare import straight
from modiste.prepare.chat import REMEMBERED_LENGTH, ChatRenderer, Ready, remembered
from modiste.prepare.conversation import CallIds, Rules
from modiste.prepare.cuts import Cuts, sentencepiece_cuts, tekken_cuts
from modiste.prepare.detokenize import sentencepiece_bytes
from modiste.prepare.infill import Infill
from modiste.prepare.manner import THINKS, CallStyle, Effort, Manner, manner
from modiste.prepare.mistral_messages import Conversation, normalise
from modiste.prepare.words import Words
from modiste.types import Example, Message, Role

REMEMBERED_MESSAGES = 128
"""To find its trained turns a conversation is written several times, with the same messages."""
SHORT_TEXT = 10_000
"""Letters that tiktoken reads without giving up."""


class MistralRenderer(ChatRenderer):
    def __init__(self, path: Path) -> None:
        """
        Args:
            path: `tekken*.json` or `*.model.vN`; the name decides the version of the latter.

        Raises:
            InvalidInput: the file is no tokenizer that mistral-common reads.
        """
        try:
            instruct: Any = MistralTokenizer.from_file(str(path)).instruct_tokenizer
        except (MistralCommonException, ValueError, KeyError, AssertionError, RuntimeError) as e:
            raise InvalidInput(
                f"{path} cannot be read as a Mistral tokenizer: {e}. Copy it again from the "
                "model's repository",
                code="tokenizer_unreadable",
            ) from e
        self._encoder = instruct
        self._text: Any = instruct.tokenizer
        instruct.tokenizer = _Remembering(instruct.tokenizer)
        self.version = TokenizerVersion(self._text.version)
        self._settings = _settings(self._text)
        self._remembered_ids = lru_cache(maxsize=REMEMBERED_MESSAGES)(self._message_ids)
        version = self.version
        super().__init__(
            fingerprint=hashlib.sha256(path.read_bytes() + version.value.encode()).hexdigest(),
            rules=_rules(version),
            spelling=_spelling(self._text),
            strip_first_space=is_sentencepiece_tokenizer(self._text),
            bos_id=self._text.bos_id,
            eos_id=self._text.eos_id,
            stop_ids=frozenset({self._text.eos_id}),
            writes_call_ids=TokenizerVersion.v3 <= version <= TokenizerVersion.v11,
        )

    def encode(self, text: str) -> list[int]:
        with _refusing():
            ids: list[int] = self._text.encode(text, bos=False, eos=False)
        return ids

    def token_name(self, token_id: int) -> str | None:
        if self.spelling[token_id]:
            return None
        name: str = self._text.id_to_piece(token_id)
        return name

    @cached_property
    def manner(self) -> Manner:
        controls = self._control_ids()
        thinks = self.version >= TokenizerVersion.v13 and THINKS[0][0] in controls
        return manner(
            _call_style(self.version),
            thinks=THINKS[0] if thinks else None,
            controls=controls,
            id_of=lambda name: None,
            efforts=_efforts(self._text) if thinks else (),
            words_begin_spaced=is_sentencepiece_tokenizer(self._text),
        )

    @cached_property
    def fim(self) -> Infill | None:
        if self.version < TokenizerVersion.v2:
            return None
        marks = (self._encoder.PREFIX, self._encoder.SUFFIX)
        if [self._text.id_to_piece(mark) for mark in marks] != ["[PREFIX]", "[SUFFIX]"]:
            return None

        def prompt(before: str, behind: str) -> list[int]:
            with _refusing():
                asked = FIMRequest(prompt=before, suffix=behind)
                ids: list[int] = self._encoder.encode_fim(asked).tokens
            return ids

        def middle(text: str) -> list[int]:
            # SentencePiece puts a space before every text; mistral-common takes it off this way.
            if not is_sentencepiece_tokenizer(self._text):
                return self.encode(text)
            with _refusing():
                ids: list[int] = self._encoder._encode_infilling(text)
            return ids

        return Infill(prompt, middle, frozenset(marks))

    def read_ahead(self, examples: Sequence[Example]) -> None:
        self._ready = {}
        if self._straight is None:
            return
        planned = [(example, plan) for example in examples if (plan := straight.plan(example))]
        try:
            written = straight.write_all([plan for _, plan in planned], self._straight)
        except ValueError:  # of one text; it is met again, and named, when its row is asked for
            return
        self._ready = {
            id(example): Ready(example, samples)
            for (example, _), samples in zip(planned, written, strict=True)
        }

    @cached_property
    def _straight(self) -> straight.Format | None:
        """How straight conversations are written; None if this format or vocabulary has no way."""
        frames, cuts = self._frames(), _cuts(self._text)
        if frames is None or cuts is None:
            return None
        words = Words(_bare_encoder(self._text), self.spelling, cuts, frames)
        return straight.Format(words, system_joins=self.version < TokenizerVersion.v7)

    def _frames(self) -> list[list[int]] | None:
        """Read off empty messages. v1 has none: its `[INST]` is text among text."""
        if self.version < TokenizerVersion.v2:
            return None

        def user(*, first: bool, last: bool) -> list[int]:
            ids: list[int] = self._encoder.encode_user_message(
                mc.UserMessage(content=""), None, last, first, settings=self._settings
            )[0]
            return ids

        first, later = (user(first=first, last=False) for first in (True, False))
        if first != user(first=True, last=True) or later != user(first=False, last=True):
            return None
        start, system = list(self._encoder.start()), []
        if self.version >= TokenizerVersion.v7:
            system, _ = self._encoder.encode_system_message(mc.SystemMessage(content=""))
        opens = [start + first[:-1], start + system[:-1], system[-1:] + first[:-1]]
        return [*opens, later[:-1], later[-1:], [self.eos_id]]

    def prompt_ids(
        self,
        messages: Sequence[Message],
        tools: Sequence[Mapping[str, Any]],
        effort: Effort | None = None,
    ) -> list[int]:
        return self._write(messages, tools, weighed=False, effort=effort)

    def whole_ids(
        self, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]]
    ) -> list[int]:
        return self._write(messages, tools, weighed=True)

    def _write(
        self,
        messages: Sequence[Message],
        tools: Sequence[Mapping[str, Any]],
        *,
        weighed: bool,
        effort: Effort | None = None,
    ) -> list[int]:
        conversation = normalise(messages, version=self.version, weighed=weighed)
        defined = json.dumps([dict(t) for t in tools], ensure_ascii=False) if tools else "[]"
        ids: list[int] = list(self._encoder.start())
        with _refusing():
            for index, message in enumerate(conversation.messages):
                ids += self._one(index, message, conversation, defined, effort)
        return ids

    def _one(
        self,
        index: int,
        message: Message,
        conversation: Conversation,
        tools: str,
        effort: Effort | None,
    ) -> Sequence[int]:
        is_first, is_last = index == conversation.first_user, index == conversation.last_user
        place = _Place(
            index < conversation.last_user,
            is_first,
            is_last,
            conversation.system_prompt if is_first or is_last else None,
            tools if is_first or is_last else "[]",
            effort,
        )
        if len(message.content or "") + len(place.system_prompt or "") > REMEMBERED_LENGTH:
            return self._message_ids(message, place)
        return self._remembered_ids(message, place)

    def _message_ids(self, message: Message, place: _Place) -> tuple[int, ...]:
        encoder = self._encoder
        ids: list[int]
        content = message.content or ""
        if message.role is Role.USER:
            ids, _, _ = encoder.encode_user_message(
                mc.UserMessage(content=content),
                [Tool.from_openai(tool) for tool in json.loads(place.tools)] or None,
                is_last=place.is_last_user,
                is_first=place.is_first_user,
                system_prompt=place.system_prompt,
                force_img_first=True,
                settings=self._settings_of(place.effort),
            )
        elif message.role is Role.TOOL:
            result = mc.ToolMessage(
                content=content, tool_call_id=message.tool_call_id, name=message.name
            )
            ids, _, _ = encoder.encode_tool_message(result, place.before_last_user)
        elif message.role is Role.ASSISTANT:
            ids = encoder.encode_assistant_message(_assistant(message), place.before_last_user)
        else:
            ids, _ = encoder.encode_system_message(mc.SystemMessage(content=content))
        return tuple(ids)

    def _settings_of(self, effort: Effort | None) -> ModelSettings:
        if effort is None:
            return self._settings
        return self._settings.model_copy(update={"reasoning_effort": ReasoningEffort(effort)})


class _Place(NamedTuple):
    """All that the ids of a message depend on beside itself."""

    before_last_user: bool
    is_first_user: bool
    is_last_user: bool
    system_prompt: str | None
    tools: str
    """As JSON."""
    effort: Effort | None


def _assistant(message: Message) -> Any:
    calls = [
        McToolCall(id=call.id, function=FunctionCall(name=call.name, arguments=call.arguments))
        for call in message.tool_calls
    ]
    content: Any = message.content
    if message.thought:
        said = [TextChunk(text=message.content)] if message.content else []
        content = [ThinkChunk(thinking=message.thought), *said]
    return mc.AssistantMessage(content=content, tool_calls=calls or None, prefix=message.prefix)


def _cuts(tokenizer: Any) -> Cuts | None:
    if is_sentencepiece_tokenizer(tokenizer):
        return sentencepiece_cuts(tokenizer.file_path.read_bytes())
    return tekken_cuts(getattr(tokenizer._model, "_pat_str", ""))


def _bare_encoder(tokenizer: Any) -> Callable[[str], Sequence[int]]:
    """`encode` without what surrounds it: tekken's shifts each id in a loop of Python.

    tiktoken's quicker call panics where the other raises: when its regular expression gives up,
    after a million steps. Short texts do not get there.
    """
    if is_sentencepiece_tokenizer(tokenizer):
        return lambda text: tokenizer.encode(text, bos=False, eos=False)
    model, shift = tokenizer._model, tokenizer.num_special_tokens

    def encode(text: str) -> Sequence[int]:
        bare = model.encode_ordinary if len(text) < SHORT_TEXT else model.encode
        shifted: Sequence[int] = np.array(bare(text), dtype=np.int64) + shift
        return shifted

    return encode


class _Remembering:
    """A tokenizer that is asked for the same texts again and again; all else is passed on."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        bare = _bare_encoder(tokenizer)
        self._encode = remembered(lambda text: np.asarray(bare(text)).tolist())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tokenizer, name)

    def encode(self, text: str, bos: bool, eos: bool) -> list[int]:
        if bos or eos:
            ids: list[int] = self._tokenizer.encode(text, bos=bos, eos=eos)
            return ids
        return self._encode(text)


@contextmanager
def _refusing() -> Iterator[None]:
    """Texts that tiktoken's regular expression gives up on: a million spaces in a row."""
    try:
        yield
    except ValueError as error:
        raise BadRequest(
            f"The tokenizer cannot read this text: {error}", code="invalid_request_invalid_args"
        ) from error


def _rules(version: TokenizerVersion) -> Rules:
    short = TokenizerVersion.v3 <= version <= TokenizerVersion.v11
    return Rules(
        tools=version > TokenizerVersion.v1,
        call_ids=(
            CallIds.SHORT
            if short
            else CallIds.REQUIRED
            if version >= TokenizerVersion.v13
            else CallIds.ANY
        ),
        calls_with_text=version >= TokenizerVersion.v7,
        results_name_their_call=version >= TokenizerVersion.v11,
        one_result_per_turn=version == TokenizerVersion.v2,
        json_results=version < TokenizerVersion.v7,
    )


def _call_style(version: TokenizerVersion) -> CallStyle | None:
    if version < TokenizerVersion.v2:
        return None
    return CallStyle.LIST if version < TokenizerVersion.v11 else CallStyle.NAMED


def _efforts(tokenizer: Any) -> list[Effort]:
    """What v15's settings accept."""
    builder = tokenizer.model_settings_builder
    field = None if builder is None else builder.reasoning_effort
    return [] if field is None else [Effort(value) for value in field.values]


def _settings(tokenizer: Any) -> ModelSettings:
    """v15 writes settings such as the reasoning effort; Modiste leaves them at their defaults."""
    builder = tokenizer.model_settings_builder
    if builder is None:
        return ModelSettings.none()
    request: Any = ChatCompletionRequest(messages=[mc.UserMessage(content="")])
    settings: ModelSettings = builder.build_settings(request)
    return settings


def _spelling(tokenizer: Any) -> list[bytes]:
    if is_tekkenizer(tokenizer):
        return [tokenizer.id_to_byte_piece(i) for i in range(tokenizer.n_words)]
    silent = {*tokenizer.special_ids, tokenizer.unk_id}
    return [
        b"" if i in silent else sentencepiece_bytes(tokenizer.id_to_piece(i))
        for i in range(tokenizer.n_words)
    ]
