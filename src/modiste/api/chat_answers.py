"""Answers of a chat in the shape that both vendors' clients parse; pure functions.

One shape serves both dialects but for two things: OpenAI's clients expect `content: null` where
only functions are called, and read thoughts from `reasoning_content`, where Mistral's expect text
and chunks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel

from modiste.actions.answers import Choice, Completion, Usage
from modiste.actions.reading import Drawn, Likely
from modiste.serve.sequence import FinishReason
from modiste.types import ToolCall

Reason = Literal["stop", "length", "tool_calls"]


class CachedTokens(BaseModel):
    cached_tokens: int


class CompletionTokens(BaseModel):
    reasoning_tokens: int
    accepted_prediction_tokens: Literal[0] = 0
    rejected_prediction_tokens: Literal[0] = 0


class UsageOut(BaseModel):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class ChatUsageOut(UsageOut):
    """Nothing is predicted here: `prediction` is a hint that saves no tokens."""

    prompt_tokens_details: CachedTokens
    completion_tokens_details: CompletionTokens


class FunctionOut(BaseModel):
    name: str
    arguments: str
    """JSON."""


class CallOut(BaseModel):
    id: str
    type: Literal["function"] = "function"
    function: FunctionOut
    index: int


class Thought(BaseModel):
    type: Literal["text"] = "text"
    text: str


class ThinkChunk(BaseModel):
    type: Literal["thinking"] = "thinking"
    thinking: list[Thought]
    closed: bool


class TextChunk(BaseModel):
    type: Literal["text"] = "text"
    text: str


class AnswerMessage(BaseModel):
    """`content` is chunks where the model thought and the client knows them."""

    role: Literal["assistant"] = "assistant"
    content: str | list[ThinkChunk | TextChunk] | None
    tool_calls: list[CallOut] | None = None
    prefix: Literal[False] = False


class TokenLogprob(BaseModel):
    token: str
    """What the token says; of a part of a character, with the rest replaced."""
    token_id: int
    logprob: float
    bytes: list[int]


class TokenLogprobs(TokenLogprob):
    top_logprobs: list[TokenLogprob]


class LogprobsOut(BaseModel):
    content: list[TokenLogprobs]
    refusal: None = None


class ChoiceOut(BaseModel):
    index: int
    message: AnswerMessage
    finish_reason: Reason
    logprobs: LogprobsOut | None = None
    prompt_logprobs: LogprobsOut | None = None
    """With the first choice, where they were asked for, else left out."""


class ChatCompletion(BaseModel):
    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[ChoiceOut]
    usage: ChatUsageOut
    system_fingerprint: str | None = None
    """Two seeded answers under one are the same bytes; None of a model behind another server."""


class DeltaOut(BaseModel):
    role: Literal["assistant"] | None = None
    content: str | None = None
    tool_calls: list[CallOut] | None = None


class ChunkChoice(BaseModel):
    index: int
    delta: DeltaOut
    finish_reason: Reason | None
    logprobs: LogprobsOut | None = None
    prompt_logprobs: LogprobsOut | None = None
    """In the first chunk behind the prompt, where they were asked for, else left out."""


class ChatCompletionChunk(BaseModel):
    id: str
    object: Literal["chat.completion.chunk"] = "chat.completion.chunk"
    created: int
    model: str
    choices: list[ChunkChoice]
    usage: ChatUsageOut | None = None
    system_fingerprint: str | None = None
    """In the chunks that end a choice."""


class Voice(NamedTuple):
    """What differs between clients in how an answer is told."""

    silent: str | None = ""
    """The content of a message that only calls functions."""
    chunks: bool = False
    """Thoughts are chunks of the content; otherwise they are `reasoning_content`."""


def completion_out(
    completion: Completion, *, id: str, created: int, model: str, voice: Voice = Voice()
) -> dict[str, Any]:
    """A `ChatCompletion`; `reasoning_content` is there only where something was thought, and
    `prompt_logprobs` only where they were asked for."""
    choices = [_choice_out(choice, voice) for choice in completion.choices]
    told = ChatCompletion(
        id=id,
        created=created,
        model=model,
        choices=choices,
        usage=chat_usage_out(completion.usage),
        system_fingerprint=completion.fingerprint or None,
    ).model_dump()
    for choice, said in zip(completion.choices, told["choices"], strict=True):
        if choice.thought and not voice.chunks:
            said["message"]["reasoning_content"] = choice.thought
        if not choice.prompted:
            del said["prompt_logprobs"]
    return told


def fingerprint_out(fingerprint: str) -> dict[str, str]:
    """The field of a chunk, where there is one."""
    return {"system_fingerprint": fingerprint} if fingerprint else {}


def think_chunk(thought: str, *, closed: bool) -> ThinkChunk:
    return ThinkChunk(thinking=[Thought(text=thought)], closed=closed)


def usage_out(usage: Usage) -> UsageOut:
    return UsageOut(
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        total_tokens=usage.prompt_tokens + usage.completion_tokens,
    )


def chat_usage_out(usage: Usage) -> ChatUsageOut:
    return ChatUsageOut(
        **usage_out(usage).model_dump(),
        prompt_tokens_details=CachedTokens(cached_tokens=usage.cached_tokens),
        completion_tokens_details=CompletionTokens(reasoning_tokens=usage.reasoning_tokens),
    )


def reason_out(reason: FinishReason, *, called: bool = False) -> Reason:
    if called:
        return "tool_calls"
    return "length" if reason is FinishReason.LENGTH else "stop"


def call_out(call: ToolCall, index: int) -> CallOut:
    function = FunctionOut(name=call.name, arguments=call.arguments)
    return CallOut(id=call.id or "null", function=function, index=index)


def logprobs_out(drawn: Sequence[Drawn]) -> LogprobsOut:
    return LogprobsOut(
        content=[
            TokenLogprobs(
                **_likely(token.likely).model_dump(),
                top_logprobs=[_likely(other) for other in token.top],
            )
            for token in drawn
        ]
    )


def _choice_out(choice: Choice, voice: Voice) -> ChoiceOut:
    calls = [call_out(call, at) for at, call in enumerate(choice.calls)]
    content: str | list[ThinkChunk | TextChunk] | None = choice.text
    if choice.thought and voice.chunks:
        closed = bool(choice.text or calls)
        said = [TextChunk(text=choice.text)] if choice.text else []
        content = [think_chunk(choice.thought, closed=closed), *said]
    elif calls and not choice.text:
        content = voice.silent
    return ChoiceOut(
        index=choice.index,
        message=AnswerMessage(content=content, tool_calls=calls or None),
        finish_reason=reason_out(choice.reason, called=choice.called),
        logprobs=logprobs_out(choice.drawn) if choice.drawn else None,
        prompt_logprobs=logprobs_out(choice.prompted) if choice.prompted else None,
    )


def _likely(likely: Likely) -> TokenLogprob:
    return TokenLogprob(
        token=likely.text,
        token_id=likely.token,
        logprob=likely.logprob,
        bytes=list(likely.spelt),
    )
