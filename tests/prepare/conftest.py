"""Tokenizers to test against: every file in mistral-common's wheel, and small stand-ins for v11 up.

The newer versions ship with their models only. The stand-ins are the first 4,000 tokens of the
wheel's tekken vocabulary under a newer version number, with the control tokens that it needs; what
is compared are the message encoders of mistral-common, which are the real ones.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import mistral_common
import pytest
from hypothesis import strategies as st
from mistral_common.protocol.instruct.messages import (
    FinetuningAssistantMessage,
    SystemMessage,
    ToolMessage,
    UserMessage,
)
from mistral_common.protocol.instruct.request import ChatCompletionRequest
from mistral_common.protocol.instruct.tool_calls import FunctionCall, Tool
from mistral_common.protocol.instruct.tool_calls import ToolCall as McToolCall
from mistral_common.tokens.tokenizers.mistral import MistralTokenizer, ValidationMode
from mistral_common.tokens.tokenizers.tekken import Tekkenizer

from modiste.prepare import render
from modiste.prepare.render_mistral import MistralRenderer
from modiste.types import Example, Message, Role, SampleType, ToolCall

WHEEL = Path(mistral_common.__file__).parent / "data"
WHEEL_FILES = [
    "tokenizer.model.v1",
    "mistral_instruct_tokenizer_240216.model.v2",
    "mistral_instruct_tokenizer_240323.model.v3",
    "mistral_instruct_tokenizer_241114.model.v7",
    "mistral_instruct_tokenizer_241114.model.v7m1",
    "tekken_240718.json",
    "tekken_240911.json",
]
STAND_INS = ["v7", "v11", "v13", "v15"]
TINY = Path(render.__file__).parents[1] / "bases" / "tiny"

TOOL = {
    "type": "function",
    "function": {
        "name": "lookup",
        "description": "Looks up an order",
        "parameters": {"type": "object", "properties": {"order": {"type": "string"}}},
    },
}


class Pair:
    """Our renderer and the original, reading one and the same file."""

    def __init__(self, path: Path) -> None:
        self.ours = MistralRenderer(path)
        self.theirs = MistralTokenizer.from_file(str(path), mode=ValidationMode.finetuning)
        self.version = int(self.ours.version.value.removeprefix("v"))

    def reference_ids(self, messages: Sequence[Message], tools: Sequence[Any] = ()) -> list[int]:
        request = mistral_request(messages, tools)
        return list(self.theirs.encode_chat_completion(request).tokens)


_PAIRS: dict[str, Pair] = {}


@pytest.fixture(scope="session")
def stand_in(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    folder = tmp_path_factory.mktemp("tekken")

    def make(version: str) -> Path:
        path = folder / f"tekken_{version}.json"
        if not path.exists():
            path.write_text(json.dumps(_relabelled(version)))
        return path

    return make


@pytest.fixture(scope="session", params=[*WHEEL_FILES, *STAND_INS])
def pair(request: pytest.FixtureRequest, stand_in: Callable[[str], Path]) -> Pair:
    name = request.param
    if name not in _PAIRS:
        _PAIRS[name] = Pair(stand_in(name) if name in STAND_INS else WHEEL / name)
    return _PAIRS[name]


@pytest.fixture(scope="session")
def v3(stand_in: Callable[[str], Path]) -> Pair:
    return _pair("mistral_instruct_tokenizer_240323.model.v3")


@pytest.fixture(scope="session")
def v7() -> Pair:
    return _pair("mistral_instruct_tokenizer_241114.model.v7")


@pytest.fixture(scope="session")
def v2() -> Pair:
    return _pair("mistral_instruct_tokenizer_240216.model.v2")


def _pair(name: str) -> Pair:
    if name not in _PAIRS:
        _PAIRS[name] = Pair(WHEEL / name)
    return _PAIRS[name]


@pytest.fixture(scope="session")
def tiny() -> render.Renderer:
    return render.load(TINY)


@pytest.fixture(scope="session")
def tiny_dir() -> Path:
    return TINY


@pytest.fixture(scope="session")
def tool() -> dict[str, Any]:
    return TOOL


@pytest.fixture(scope="session")
def example() -> Callable[..., Example]:
    def make(*messages: Message, tools: Sequence[Any] = ()) -> Example:
        return Example(1, SampleType.INSTRUCT, tuple(messages), tools=tuple(tools))

    return make


@pytest.fixture(scope="session")
def to_request() -> Callable[..., ChatCompletionRequest[Any]]:
    return mistral_request


def mistral_request(
    messages: Sequence[Message], tools: Sequence[Any] = (), *, model: str | None = None
) -> ChatCompletionRequest[Any]:
    return ChatCompletionRequest(
        messages=[_theirs(m) for m in messages],
        tools=[Tool.from_openai(t) for t in tools] or None,
        model=model,
    )


def _theirs(message: Message) -> Any:
    if message.role is Role.SYSTEM:
        return SystemMessage(content=message.content or "")
    if message.role is Role.USER:
        return UserMessage(content=message.content or "")
    if message.role is Role.TOOL:
        return ToolMessage(
            content=message.content or "", tool_call_id=message.tool_call_id, name=message.name
        )
    calls = [
        McToolCall(
            id="null" if c.id is None else c.id,
            function=FunctionCall(name=c.name, arguments=c.arguments),
        )
        for c in message.tool_calls
    ]
    return FinetuningAssistantMessage(
        content=message.content,
        tool_calls=calls or None,
        weight=message.weight,
        prefix=message.prefix,
    )


def _relabelled(version: str) -> dict[str, Any]:
    content = json.loads((WHEEL / "tekken_240718.json").read_text())
    names = [
        "[ARGS]", "[CALL_ID]", "[THINK]", "[/THINK]", "[MODEL_SETTINGS]", "[/MODEL_SETTINGS]",
    ]  # fmt: skip
    known = [dict(t) for t in Tekkenizer.DEPRECATED_SPECIAL_TOKENS]
    known += [
        {"rank": len(known) + at, "token_str": name, "is_control": True}
        for at, name in enumerate(names)
    ]
    content["config"] |= {
        "version": version,
        "default_vocab_size": 4_100,
        "default_num_special_tokens": 100,
    }
    content["vocab"] = content["vocab"][:4_000]
    content["special_tokens"] = known
    if version == "v15":
        content["model_settings_builder"] = {
            "reasoning_effort": {
                "type": "enum",
                "values": ["none", "high"],
                "accepts_none": True,
                "default": "none",
            }
        }
    return content


_TEXT = st.text(
    st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12
) | st.sampled_from(
    ["[INST]", "</s> <s>", "[/INST]hi", "  two  spaces ", "1", '{"a": [1, 2.50]}', "<|im_end|>"]
)


@pytest.fixture(scope="session")
def conversations() -> Callable[..., st.SearchStrategy[tuple[Message, ...]]]:
    """Conversations that every tokenizer of the given abilities accepts for training."""
    return _conversations


@st.composite
def _conversations(
    draw: st.DrawFn, *, tools: bool, weights: bool = True, results: int = 2
) -> tuple[Message, ...]:
    messages: list[Message] = []
    if draw(st.booleans()):
        messages.append(Message(Role.SYSTEM, draw(_TEXT)))
    if draw(st.sampled_from([False, False, True])):
        messages.append(draw(_answer(weights=weights)))
    for _ in range(draw(st.integers(1, 3))):
        messages += [Message(Role.USER, draw(_TEXT)) for _ in range(draw(st.integers(1, 2)))]
        if tools and draw(st.booleans()):
            messages += draw(_call_and_results(weights=weights, results=results))
        n = draw(st.sampled_from([1, 1, 1, 2]))
        messages += [draw(_answer(weights=weights)) for _ in range(n)]
    if tools and draw(st.booleans()):
        messages.append(Message(Role.USER, draw(_TEXT)))
        messages += draw(_call_and_results(weights=weights, results=results))[:1]
    return tuple(messages)


@st.composite
def _answer(draw: st.DrawFn, *, weights: bool) -> Message:
    weight = draw(st.sampled_from([None, None, 0, 1])) if weights else None
    return Message(Role.ASSISTANT, draw(_TEXT), weight=weight)


@st.composite
def _call_and_results(draw: st.DrawFn, *, weights: bool, results: int) -> list[Message]:
    ids = draw(
        st.lists(
            st.from_regex(r"[a-zA-Z0-9]{9}", fullmatch=True),
            min_size=1,
            max_size=results,
            unique=True,
        )
    )
    arguments = st.sampled_from(['{"order": "7"}', "{}", "", '{"é":  [1,2]}', "not json"])
    calls = tuple(ToolCall(i, "lookup", draw(arguments)) for i in ids)
    weight = draw(st.sampled_from([None, 0, 1])) if weights else None
    answered = [
        Message(Role.TOOL, draw(_TEXT | st.just("")), tool_call_id=i, name="lookup")
        for i in draw(st.permutations(ids))
    ]
    return [Message(Role.ASSISTANT, tool_calls=calls, weight=weight), *answered]
