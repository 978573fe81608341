"""Chat templates as transformers renders them, without transformers.

A template comes with the model and is foreign code: it runs in jinja2's immutable sandbox and sees
nothing but the conversation. Whatever it raises becomes one refusal that says so.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, NoReturn

import jinja2
import jinja2.ext
from jinja2.sandbox import ImmutableSandboxedEnvironment

from modiste.errors import BadRequest, InvalidInput
from modiste.types import Message

TOOL_TEMPLATE = "tool_use"
"""The name under which models with several templates keep the one for tools."""


class ChatTemplate:
    def __init__(self, sources: Mapping[str, str], variables: Mapping[str, str]) -> None:
        """
        Args:
            sources: template text by name; `default` must be there.
            variables: `bos_token`, `eos_token` and the like.

        Raises:
            InvalidInput: a template is not valid jinja.
        """
        self.sources = dict(sources)
        self._variables = dict(variables)
        self._compiled = {name: _compile(name, text) for name, text in sources.items()}

    @property
    def knows_tools(self) -> bool:
        return any("tool" in source for source in self.sources.values())

    def render(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        tools: Sequence[Mapping[str, Any]],
        answer_next: bool,
        options: Mapping[str, Any] = MappingProxyType({}),
    ) -> str:
        """The conversation as text; `answer_next` opens the assistant's turn; `options` are
        variables of the template's own, such as `enable_thinking`.

        Raises:
            BadRequest: the template refuses the conversation, in its own words.
        """
        name = TOOL_TEMPLATE if tools and TOOL_TEMPLATE in self._compiled else "default"
        try:
            return self._compiled[name].render(
                messages=messages,
                tools=list(tools) or None,
                documents=None,
                add_generation_prompt=answer_next,
                **{**self._variables, **options},
            )
        except Exception as error:  # foreign code may raise anything
            raise BadRequest(
                f"The chat template of this base refuses the conversation: {error}",
                param="messages",
                code="invalid_request_message_order",
            ) from error


def load(base_dir: Path) -> ChatTemplate | None:
    """The template in a base's folder, or None where there is none."""
    config = read_json(base_dir / "tokenizer_config.json")
    sources = _sources(base_dir, config)
    if "default" not in sources:
        return None
    return ChatTemplate(sources, special_tokens(base_dir, config))


def special_tokens(base_dir: Path, config: Mapping[str, Any]) -> dict[str, str]:
    """`bos_token`, `eos_token`, … as text."""
    known = {**read_json(base_dir / "special_tokens_map.json"), **config}
    found = {}
    for name, value in known.items():
        text = value.get("content") if isinstance(value, dict) else value
        if name.endswith("_token") and isinstance(text, str):
            found[name] = text
    return found


def as_template_message(message: Message) -> dict[str, Any]:
    """What templates expect: arguments as an object, no key that is not there."""
    shown: dict[str, Any] = {"role": str(message.role), "content": message.content or ""}
    if message.thought:
        shown["reasoning_content"] = message.thought
    if message.tool_calls:
        shown["tool_calls"] = [
            {
                **({} if call.id is None else {"id": call.id}),
                "type": "function",
                "function": {"name": call.name, "arguments": _arguments(call.arguments)},
            }
            for call in message.tool_calls
        ]
    if message.tool_call_id is not None:
        shown["tool_call_id"] = message.tool_call_id
    if message.name is not None:
        shown["name"] = message.name
    return shown


def read_json(path: Path) -> dict[str, Any]:
    """An absent file reads as empty.

    Raises:
        InvalidInput: the file is there but no JSON object.
    """
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"{path} is not readable as JSON: {error}") from error
    if not isinstance(content, dict):
        raise InvalidInput(f"{path}: expected a JSON object, got {type(content).__name__}")
    return content


def _sources(base_dir: Path, config: Mapping[str, Any]) -> dict[str, str]:
    """A file of its own wins over `tokenizer_config.json`, as in transformers."""
    found: dict[str, str] = {}
    in_config = config.get("chat_template")
    if isinstance(in_config, str):
        found["default"] = in_config
    elif isinstance(in_config, list):
        found |= {entry["name"]: entry["template"] for entry in in_config}
    for path in sorted((base_dir / "additional_chat_templates").glob("*.jinja")):
        found[path.stem] = path.read_text(encoding="utf-8")
    own_file = base_dir / "chat_template.jinja"
    if own_file.is_file():
        found["default"] = own_file.read_text(encoding="utf-8")
    return found


def _arguments(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _compile(name: str, source: str) -> jinja2.Template:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=[_GenerationBlock, jinja2.ext.loopcontrols],
    )
    environment.filters["tojson"] = _tojson
    environment.globals["raise_exception"] = _refuse
    environment.globals["strftime_now"] = _strftime_now
    try:
        return environment.from_string(source)
    except jinja2.TemplateError as error:
        raise InvalidInput(
            f"The chat template {name} is not valid jinja: {error}", code="template_unreadable"
        ) from error


class _GenerationBlock(jinja2.ext.Extension):
    """`{% generation %}` marks answers for transformers' masks; ours come from prompts."""

    tags = {"generation"}  # noqa: RUF012 - jinja2 declares it as a plain set

    def parse(self, parser: jinja2.parser.Parser) -> list[jinja2.nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
    )


def _refuse(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)


def _strftime_now(pattern: str) -> str:
    """Templates that print today's date print another one when the model is served later."""
    return datetime.now().strftime(pattern)
