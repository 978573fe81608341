"""Mistral's prompt formats v1 to v15, with the tokenizers and message encoders of mistral-common.

`training(example).ids` are those of `MistralTokenizer(...).encode_chat_completion` in fine-tuning
mode; which of them are trained is told in `turns.py`. The request is normalised here and not by
mistral-common, because its normaliser forgets the weights that say where assistant messages part
(it is 60 lines; golden tests hold it to the original).

mistral-finetune skips that normaliser: it keeps consecutive user messages and consecutive
assistant messages apart, writes an empty tool result as `""` and leaves out an empty first user
message. Serving joins and fills them, so Modiste does too; the tokens trained are the tokens asked.

Two limits belong to the formats: v1 has no control tokens for instructions, so `[INST]` in a v1
conversation is text like any other, the user's too; and SentencePiece (`*.model.vN`) writes spaces
as `▁` (U+2581), so that letter itself comes back as a space.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from mistral_common.exceptions import MistralCommonException
from mistral_common.protocol.instruct import messages as mc
from mistral_common.protocol.instruct.request import ChatCompletionRequest, ModelSettings
from mistral_common.protocol.instruct.tool_calls import FunctionCall, Tool
from mistral_common.protocol.instruct.tool_calls import ToolCall as McToolCall
from mistral_common.tokens.tokenizers.base import TokenizerVersion
from mistral_common.tokens.tokenizers.mistral import MistralTokenizer
from mistral_common.tokens.tokenizers.sentencepiece import is_sentencepiece_tokenizer
from mistral_common.tokens.tokenizers.tekken import is_tekkenizer

from modiste.errors import BadRequest, InvalidInput
from modiste.prepare import straight
from modiste.prepare.chat import ChatRenderer, Ready, remembered
from modiste.prepare.conversation import CallIds, Rules, normalised_json
from modiste.prepare.cuts import Cuts, sentencepiece_cuts, tekken_cuts
from modiste.prepare.detokenize import sentencepiece_bytes
from modiste.prepare.words import Words
from modiste.types import Example, Message, Role

JOIN = "\n\n"
"""Between messages of one role in a row, and between system prompt and user message up to v3."""


class Conversation(NamedTuple):
    """What the encoders take: messages joined and filled, system prompt apart up to v3."""

    messages: list[Any]
    system_prompt: str | None
    first_user: int
    last_user: int


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
        if self._spelling[token_id]:
            return None
        name: str = self._text.id_to_piece(token_id)
        return name

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
        words = Words(_bare_encoder(self._text), self._spelling, cuts, frames)
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
        self, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]]
    ) -> list[int]:
        return self._write(messages, tools, weighed=False)

    def whole_ids(
        self, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]]
    ) -> list[int]:
        return self._write(messages, tools, weighed=True)

    def _write(
        self, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]], *, weighed: bool
    ) -> list[int]:
        conversation = normalise(messages, version=self.version, weighed=weighed)
        known = [Tool.from_openai(dict(tool)) for tool in tools] or None
        ids: list[int] = list(self._encoder.start())
        with _refusing():
            for index, message in enumerate(conversation.messages):
                ids += self._one(index, message, conversation, known)
        return ids

    def _one(
        self, index: int, message: Any, conversation: Conversation, tools: list[Tool] | None
    ) -> list[int]:
        encoder = self._encoder
        before_last_user = index < conversation.last_user
        ids: list[int]
        if isinstance(message, mc.UserMessage):
            ids, _, _ = encoder.encode_user_message(
                message,
                tools,
                is_last=index == conversation.last_user,
                is_first=index == conversation.first_user,
                system_prompt=conversation.system_prompt,
                force_img_first=True,
                settings=self._settings,
            )
        elif isinstance(message, mc.ToolMessage):
            ids, _, _ = encoder.encode_tool_message(message, before_last_user)
        elif isinstance(message, mc.AssistantMessage):
            ids = encoder.encode_assistant_message(message, before_last_user)
        else:
            ids, _ = encoder.encode_system_message(message)
        return ids


def _cuts(tokenizer: Any) -> Cuts | None:
    if is_sentencepiece_tokenizer(tokenizer):
        return sentencepiece_cuts(tokenizer.file_path.read_bytes())
    return tekken_cuts(getattr(tokenizer._model, "_pat_str", ""))


def _bare_encoder(tokenizer: Any) -> Callable[[str], Sequence[int]]:
    """`encode` without what surrounds it: tekken's shifts each id in a loop of Python."""
    if is_sentencepiece_tokenizer(tokenizer):
        return lambda text: tokenizer.encode(text, bos=False, eos=False)
    bare, shift = tokenizer._model.encode_ordinary, tokenizer.num_special_tokens
    return lambda text: np.array(bare(text), dtype=np.int64) + shift


class _Remembering:
    """A tokenizer that is asked for the same texts again and again; all else is passed on."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._encode = remembered(lambda text: tokenizer.encode(text, bos=False, eos=False))

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


def normalise(
    messages: Sequence[Message], *, version: TokenizerVersion, weighed: bool
) -> Conversation:
    """Join runs of one role, move or keep system prompts, order tool results by their calls.

    Args:
        weighed: assistant messages of different weight stay apart, as in fine-tuning mode.
    """
    system_stays = version >= TokenizerVersion.v7
    written: list[Any] = []
    pending: list[str] = []
    """Ids of calls whose results may follow, for the order of results from v11 on."""
    for (role, _), run in groupby(messages, key=lambda m: _run(m, weighed)):
        group = list(run)
        if role is Role.SYSTEM and system_stays:
            written += [mc.SystemMessage(content=m.content or "") for m in group]
        elif role is Role.USER:
            written.append(mc.UserMessage(content=_joined(group)))
        elif role is Role.ASSISTANT:
            written.append(_assistant(group))
            pending += [call.id for call in written[-1].tool_calls or []]
        elif role is Role.TOOL:
            written += _results(group, pending, version)
            pending.clear()
    if not written or (not system_stays and written[0].role != mc.Roles.user):
        written.insert(0, mc.UserMessage(content=""))
    users = [at for at, message in enumerate(written) if isinstance(message, mc.UserMessage)]
    return Conversation(
        written,
        None if system_stays else _system_prompt(messages),
        users[0] if users else -1,
        users[-1] if users else -1,
    )


def _run(message: Message, weighed: bool) -> tuple[Role, int | None]:
    apart = weighed and message.role is Role.ASSISTANT
    return message.role, message.weight if apart else None


def _joined(messages: Sequence[Message]) -> str:
    return JOIN.join(m.content for m in messages if m.content)


def _system_prompt(messages: Sequence[Message]) -> str | None:
    return _joined([m for m in messages if m.role is Role.SYSTEM]) or None


def _assistant(messages: Sequence[Message]) -> Any:
    calls = [
        McToolCall(
            id="null" if call.id is None else call.id,
            function=FunctionCall(name=call.name, arguments=normalised_json(call.arguments)),
        )
        for message in messages
        for call in message.tool_calls
    ]
    return mc.AssistantMessage(
        content=_joined(messages),
        tool_calls=calls or None,
        prefix=any(m.prefix for m in messages),
    )


def _results(
    messages: Sequence[Message], pending: Sequence[str], version: TokenizerVersion
) -> list[Any]:
    as_json = version < TokenizerVersion.v7
    results = [
        mc.ToolMessage(
            content=normalised_json(m.content) if as_json else m.content or "",
            tool_call_id=m.tool_call_id,
            name=m.name,
        )
        for m in messages
    ]
    if version >= TokenizerVersion.v11:
        asked = {call_id: at for at, call_id in enumerate(pending)}
        given = {result.tool_call_id: at for at, result in enumerate(results)}
        results.sort(
            key=lambda r: (asked.get(r.tool_call_id or "null", len(asked)), given[r.tool_call_id])
        )
    return results


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
