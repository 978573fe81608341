"""Chat completions: the union of both vendors' request fields, read into an `Ask`; answers out.

One shape serves both dialects. A field that this version cannot honour is refused by name, all of
them in one answer, unless its value asks for nothing (`n: 1`, `tools: []`, `logprobs: false`);
hints that change no text (`user`, `prompt_cache_key`, `prediction`, ...) are taken and not used.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from modiste.actions.answers import Choice, Completion, Usage
from modiste.actions.completions import DEFAULT_TEMPERATURE, MAX_CHOICES, Ask
from modiste.api.door import Body
from modiste.errors import InvalidInput, NotYetSupported
from modiste.serve.sequence import FinishReason
from modiste.types import Message, Role, ToolCall


class TextChunk(Body):
    type: Literal["text"]
    text: str


Content = str | list[TextChunk]


class SystemMessage(Body):
    role: Literal["system", "developer"]
    content: Content
    name: str | None = None


class UserMessage(Body):
    role: Literal["user"]
    content: Content | None = None
    name: str | None = None


class CalledFunction(Body):
    name: str
    arguments: str | dict[str, Any]


class Call(Body):
    id: str | None = None
    type: Literal["function"] = "function"
    function: CalledFunction
    index: int | None = None


class AssistantMessage(Body):
    role: Literal["assistant"]
    content: Content | None = None
    tool_calls: list[Call] | None = None
    prefix: bool = False
    name: str | None = None
    refusal: None = None
    audio: None = None
    function_call: None = None
    annotations: list[Any] | None = None


class ToolMessage(Body):
    role: Literal["tool"]
    content: Content
    tool_call_id: str | None = None
    name: str | None = None


AnyMessage = Annotated[
    SystemMessage | UserMessage | AssistantMessage | ToolMessage, Field(discriminator="role")
]
Probability = Annotated[float, Field(ge=0, le=1)]
Penalty = Annotated[float, Field(ge=-2, le=2)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
Stops = Annotated[list[str], Field(max_length=64)]


class StreamOptions(Body):
    include_usage: bool | None = None
    include_obfuscation: bool | None = None
    stream_tool_calls: bool | None = None


class ResponseFormat(Body):
    type: Literal["text", "json_object", "json_schema"] = "text"
    json_schema: dict[str, Any] | None = None


class ChatRequest(Body):
    """Mistral's names and OpenAI's; where two names mean one thing, send one."""

    model: str | None = None
    messages: list[AnyMessage] = Field(min_length=1)
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Probability | None = None
    max_tokens: Annotated[int, Field(ge=0)] | None = None
    max_completion_tokens: Annotated[int, Field(ge=0)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    stop: str | Stops | None = None
    random_seed: Seed | None = None
    seed: Seed | None = None
    n: Annotated[int, Field(ge=1, le=MAX_CHOICES)] | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    safe_prompt: bool | None = None

    response_format: ResponseFormat | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    functions: list[dict[str, Any]] | None = None
    function_call: str | dict[str, Any] | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    prompt_logprobs: bool | int | None = None
    top_prompt_logprobs: int | None = None
    logit_bias: dict[str, float] | None = None
    min_tokens: int | None = None
    repetition_penalty: float | None = None
    top_k: int | None = None
    prompt_mode: str | None = None
    reasoning_effort: str | None = None
    guardrails: list[dict[str, Any]] | None = None
    audio: dict[str, Any] | None = None
    modalities: list[str] | None = None
    web_search_options: dict[str, Any] | None = None

    parallel_tool_calls: bool | None = None
    prediction: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None
    prompt_cache_key: str | None = None
    prompt_cache_retention: str | None = None
    service_tier: str | None = None
    user: str | None = None
    safety_identifier: str | None = None
    store: bool | None = None
    verbosity: str | None = None


class UsageOut(BaseModel):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class AnswerMessage(BaseModel):
    role: Literal["assistant"] = "assistant"
    content: str
    tool_calls: None = None
    prefix: Literal[False] = False


class ChoiceOut(BaseModel):
    index: int
    message: AnswerMessage
    finish_reason: Literal["stop", "length"]


class ChatCompletion(BaseModel):
    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[ChoiceOut]
    usage: UsageOut


class DeltaOut(BaseModel):
    role: Literal["assistant"] | None = None
    content: str | None = None


class ChunkChoice(BaseModel):
    index: int
    delta: DeltaOut
    finish_reason: Literal["stop", "length"] | None


class ChatCompletionChunk(BaseModel):
    id: str
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    created: int
    model: str
    choices: list[ChunkChoice]
    usage: UsageOut | None = None


def ask_of(request: ChatRequest, *, max_temperature: float) -> Ask:
    """The request in our own words.

    Raises:
        InvalidInput: two names for one thing with two values, or a temperature that this dialect
            does not know.
        NotYetSupported: naming every field that asks for what this version cannot do.
    """
    refused = list(_not_yet(request))
    if refused:
        raise NotYetSupported(
            f"{'; '.join(refused)}. These arrive with the full serving engine; leave them out.",
            param=refused[0].split(" ")[0],
        )
    temperature = DEFAULT_TEMPERATURE if request.temperature is None else request.temperature
    if temperature > max_temperature:
        raise InvalidInput(
            f"temperature is {temperature}, expected 0 to {max_temperature}", param="temperature"
        )
    return Ask(
        model=model_asked(request.model),
        messages=tuple(_message(message) for message in request.messages),
        temperature=temperature,
        top_p=1.0 if request.top_p is None else request.top_p,
        max_tokens=one_of(request, "max_tokens", "max_completion_tokens"),
        stop=(request.stop,) if isinstance(request.stop, str) else tuple(request.stop or ()),
        seed=one_of(request, "random_seed", "seed"),
        n=request.n or 1,
        presence_penalty=request.presence_penalty or 0.0,
        frequency_penalty=request.frequency_penalty or 0.0,
        safe_prompt=bool(request.safe_prompt),
    )


def model_asked(name: str | None) -> str:
    """
    Raises:
        InvalidInput: no model is named.
    """
    if name is None:
        raise InvalidInput("model is missing; GET /v1/models lists what is here", param="model")
    return name


def one_of(request: BaseModel, first: str, second: str) -> int | None:
    """The value of two fields that mean the same.

    Raises:
        InvalidInput: both are given and they differ.
    """
    one, other = getattr(request, first), getattr(request, second)
    if one is not None and other is not None and one != other:
        raise InvalidInput(
            f"{first} is {one} but {second} is {other}; they mean the same, send one", param=first
        )
    found: int | None = other if one is None else one
    return found


def completion_out(completion: Completion, *, id: str, created: int, model: str) -> ChatCompletion:
    return ChatCompletion(
        id=id,
        created=created,
        model=model,
        choices=[_choice_out(choice) for choice in completion.choices],
        usage=usage_out(completion.usage),
    )


def usage_out(usage: Usage) -> UsageOut:
    return UsageOut(
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        total_tokens=usage.prompt_tokens + usage.completion_tokens,
    )


def reason_out(reason: FinishReason) -> Literal["stop", "length"]:
    return "length" if reason is FinishReason.LENGTH else "stop"


def _choice_out(choice: Choice) -> ChoiceOut:
    return ChoiceOut(
        index=choice.index,
        message=AnswerMessage(content=choice.text),
        finish_reason=reason_out(choice.reason),
    )


def _message(message: AnyMessage) -> Message:
    match message:
        case AssistantMessage():
            return Message(
                role=Role.ASSISTANT,
                content=None if message.content is None else _text(message.content),
                tool_calls=tuple(_tool_call(call) for call in message.tool_calls or ()),
                prefix=message.prefix,
            )
        case ToolMessage():
            return Message(
                role=Role.TOOL,
                content=_text(message.content),
                tool_call_id=message.tool_call_id,
                name=message.name,
            )
        case SystemMessage():
            return Message(role=Role.SYSTEM, content=_text(message.content))
        case UserMessage():
            return Message(role=Role.USER, content=_text(message.content or ""))


def _text(content: Content) -> str:
    return content if isinstance(content, str) else "".join(chunk.text for chunk in content)


def _tool_call(call: Call) -> ToolCall:
    arguments = call.function.arguments
    text = arguments if isinstance(arguments, str) else _json(arguments)
    return ToolCall(id=call.id, name=call.function.name, arguments=text)


def _json(value: Any) -> str:
    import orjson

    return orjson.dumps(value).decode()


def _not_yet(request: ChatRequest) -> Iterator[str]:
    """Fields whose values ask for something that is not built."""
    if request.tools or request.functions:
        yield "tools is set, and this version does not call tools"
    if request.response_format is not None and request.response_format.type != "text":
        yield f"response_format is {request.response_format.type!r}, expected 'text'"
    for name in ("logprobs", "top_logprobs", "prompt_logprobs", "top_prompt_logprobs"):
        if getattr(request, name):
            yield f"{name} is {getattr(request, name)!r}, and this version returns none"
    neutral = {"min_tokens": 0, "repetition_penalty": 1.0, "top_k": 0, "prompt_mode": None}
    for name, value in neutral.items():
        if getattr(request, name) not in (None, value):
            yield f"{name} is {getattr(request, name)!r}"
    if request.reasoning_effort not in (None, "none"):
        yield f"reasoning_effort is {request.reasoning_effort!r}, expected 'none'"
    for name in ("logit_bias", "guardrails", "audio", "web_search_options"):
        if getattr(request, name):
            yield f"{name} is set"
    if request.modalities not in (None, ["text"]):
        yield f"modalities is {request.modalities!r}, expected ['text']"
