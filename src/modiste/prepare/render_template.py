"""Any base with a `tokenizer.json` and a chat template: Llama, Qwen, Mistral in their HF layout.

The ids are those of transformers' `apply_chat_template`, with two differences on purpose:

- control tokens come from the template alone; one that a user writes stays text (`vocabulary.py`);
- an answer always starts on a token of its own. Where the first letters of an answer would melt
  into the last token of the prompt (a newline at the start, mostly), transformers trains on the
  melted token, which no served prompt ever asks for.

Consecutive messages of one role are passed on as they are; many templates refuse them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from modiste.errors import BadRequest, InvalidInput
from modiste.prepare import chat_template
from modiste.prepare.chat import ChatRenderer, remembered
from modiste.prepare.conversation import Rules
from modiste.prepare.infill import MARKS, Infill
from modiste.prepare.manner import (
    PROBE,
    PROBE_TOOLS,
    THINKS,
    CallStyle,
    Effort,
    Manner,
    manner,
    style_of,
)
from modiste.prepare.turns import turns
from modiste.prepare.vocabulary import Vocabulary
from modiste.types import Message, Role, ToolCall

SWITCH = "enable_thinking"
"""What templates call the variable that turns thoughts on and off: Qwen3's name for it."""


class TemplateRenderer(ChatRenderer):
    def __init__(self, base_dir: Path) -> None:
        """
        Raises:
            InvalidInput: naming what is missing or unreadable in the folder.
        """
        self._vocabulary = Vocabulary(base_dir / "tokenizer.json")
        self._encode = remembered(self._vocabulary.encode)
        self._template = chat_template.load(base_dir)
        config = chat_template.read_json(base_dir / "tokenizer_config.json")
        names = chat_template.special_tokens(base_dir, config)
        stop_ids = _stop_ids(base_dir, names, self._vocabulary)
        bos = names.get("bos_token")
        super().__init__(
            fingerprint=_fingerprint(base_dir, self._template),
            rules=Rules(tools=self._template is not None and self._template.knows_tools),
            spelling=self._vocabulary.spelling,
            strip_first_space=self._vocabulary.strip_first_space,
            bos_id=None if bos is None else self._vocabulary.id_of(bos),
            eos_id=stop_ids[0],
            stop_ids=frozenset(stop_ids),
            writes_call_ids=False,
        )
        self._writes_call_ids = self._template is not None and self._writes_ids_of_calls()

    def encode(self, text: str) -> list[int]:
        return self._vocabulary.encode(text)

    def token_name(self, token_id: int) -> str | None:
        return self._vocabulary.name_of(token_id)

    @cached_property
    def manner(self) -> Manner:
        id_of = self._vocabulary.id_of
        source = "" if self._template is None else "\n".join(self._template.sources.values())
        taught = [pair for pair in THINKS if pair[0] in source and None not in map(id_of, pair)]
        efforts = [Effort.NONE, Effort.HIGH] if SWITCH in source else []
        return manner(
            self._call_style(),
            thinks=taught[0] if taught else None,
            controls=self._control_ids(),
            id_of=id_of,
            efforts=efforts if taught else (),
            words_begin_spaced=self._strip_first_space,
        )

    @property
    def chats(self) -> bool:
        return self._template is not None

    def _call_style(self) -> CallStyle | None:
        if self._template is None or not self._template.knows_tools:
            return None
        shown = [chat_template.as_template_message(message) for message in PROBE]
        try:
            opening, whole = (
                self._template.render(shown[:n], tools=PROBE_TOOLS, answer_next=n == 1)
                for n in (1, 2)
            )
        except BadRequest:
            return None
        return style_of(opening, whole)

    @cached_property
    def fim(self) -> Infill | None:
        """By the names of its tokens. None where every text gets a space of its own in front: its
        parts would not join."""
        if self._strip_first_space:
            return None
        for names in MARKS:
            ids = [self._vocabulary.id_of(name) for name in names]
            if None not in ids:
                return self._infill(*[found for found in ids if found is not None])
        return None

    def _infill(self, prefix: int, suffix: int, middle: int) -> Infill:
        opening = [] if self.bos_id is None else [self.bos_id]

        def prompt(before: str, behind: str) -> list[int]:
            return [*opening, prefix, *self.encode(before), suffix, *self.encode(behind), middle]

        return Infill(prompt, self.encode, frozenset({prefix, suffix, middle}))

    def prompt_ids(
        self,
        messages: Sequence[Message],
        tools: Sequence[Mapping[str, Any]],
        effort: Effort | None = None,
    ) -> list[int]:
        if messages[-1].role is Role.ASSISTANT and messages[-1].prefix:
            opening = self._text(messages[:-1], tools, answer_next=True, effort=effort)
            return self._behind(opening, messages[-1].content or "")
        return self._encode(self._text(messages, tools, answer_next=True, effort=effort))

    def whole_ids(
        self, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]]
    ) -> list[int]:
        whole = self._text(messages, tools, answer_next=False)
        first = turns(messages)[-1].first
        if first > 0:
            opening = self._text(messages[:first], tools, answer_next=True)
            if whole.startswith(opening):
                return self._behind(opening, whole.removeprefix(opening))
        return self._encode(whole)

    def _behind(self, opening: str, more: str) -> list[int]:
        """Ids of a text that goes on behind a prompt, the prompt's own tokens unchanged."""
        before = self._encode(opening)
        together = self._encode(opening + more)
        if together[: len(before)] == before:
            return together
        wall = self._vocabulary.control_token(self.eos_id)
        return before + self._vocabulary.encode(wall + more)[1:]

    def _text(
        self,
        messages: Sequence[Message],
        tools: Sequence[Mapping[str, Any]],
        *,
        answer_next: bool,
        effort: Effort | None = None,
    ) -> str:
        if self._template is None:
            raise BadRequest(
                "This base has no chat template: put a chat_template.jinja beside its "
                "tokenizer.json, or use a base that was made for chat",
                code="no_chat_template",
            )
        hide = self._vocabulary.hide
        shown = [_hidden(chat_template.as_template_message(m), hide) for m in messages]
        rendered = self._template.render(
            shown, tools=hide(list(tools)), answer_next=answer_next, options=_options(effort)
        )
        return self._vocabulary.control(rendered)

    def _writes_ids_of_calls(self) -> bool:
        """Whether the template prints ids of calls, and can do without on the last message."""
        call = ToolCall("Xq7Zw9Kv3", "probe", "{}")
        asked = Message(Role.USER, "probe")
        answer = Message(Role.ASSISTANT, tool_calls=(call,))
        bare = replace(answer, tool_calls=(replace(call, id=None),))
        try:
            with_id = self._text([asked, answer], (), answer_next=False)
            without = self._text([asked, bare], (), answer_next=False)
        except BadRequest:
            return False
        return "Xq7Zw9Kv3" in with_id and "probe" in without


def _options(effort: Effort | None) -> dict[str, Any]:
    return {} if effort is None else {SWITCH: effort is not Effort.NONE}


def _hidden(message: dict[str, Any], hide: Any) -> dict[str, Any]:
    """Roles and key names are ours; everything else is foreign text."""
    return {
        key: value if key == "role" else _hide_values(value, hide, key)
        for key, value in message.items()
    }


def _hide_values(value: Any, hide: Any, key: str) -> Any:
    if key != "tool_calls":
        return hide(value)
    return [
        {
            **call,
            **({"id": hide(call["id"])} if "id" in call else {}),
            "function": {
                "name": call["function"]["name"],
                "arguments": hide(call["function"]["arguments"]),
            },
        }
        for call in value
    ]


def _stop_ids(base_dir: Path, names: Mapping[str, str], vocabulary: Vocabulary) -> list[int]:
    """The end token first, then what else `generation_config.json` stops at.

    Raises:
        InvalidInput: no end token is named anywhere: nothing would ever stop.
    """
    configured: list[int] = []
    for file in ("generation_config.json", "config.json"):
        value = chat_template.read_json(base_dir / file).get("eos_token_id")
        configured = configured or [i for i in _listed(value) if isinstance(i, int)]
    eos = names.get("eos_token")
    named = vocabulary.id_of(eos) if eos is not None else None
    found = [*([] if named is None else [named]), *configured]
    if not found:
        raise InvalidInput(
            f"{base_dir} names no end token: expected eos_token in tokenizer_config.json or "
            "eos_token_id in generation_config.json",
            code="tokenizer_unreadable",
        )
    return list(dict.fromkeys(found))


def _listed(value: Any) -> Iterable[Any]:
    return value if isinstance(value, list) else [value]


def _fingerprint(base_dir: Path, template: chat_template.ChatTemplate | None) -> str:
    digest = hashlib.sha256((base_dir / "tokenizer.json").read_bytes())
    for name, source in sorted(template.sources.items() if template else ()):
        digest.update(f"\0{name}\0{source}".encode())
    config = base_dir / "tokenizer_config.json"
    digest.update(config.read_bytes() if config.is_file() else b"")
    return digest.hexdigest()
