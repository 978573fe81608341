"""Chat completions: the union of both vendors' request fields, read into an `Ask`.

One shape serves both dialects. A field is honoured, or is a hint that changes no text (`user`,
`prompt_cache_key`, `prediction`, …) and says so here, or is refused by name: all refusals in one
answer. A value that asks for nothing (`n: 1`, `tools: []`, `logprobs: false`) is never refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from modiste.actions.completions import DEFAULT_TEMPERATURE, MAX_CHOICES, Ask
from modiste.actions.guarded import Guardrail
from modiste.api.chat_messages import AnyMessage, Content, message_of
from modiste.api.chat_tools import Choice, ResponseFormat, ToolIn, schema_of, tools_of
from modiste.api.door import Body
from modiste.errors import InvalidInput, NotYetSupported
from modiste.moderate.verdict import Wanted
from modiste.prepare.manner import Effort as AnyEffort
from modiste.serve.sequence import MOST_ALTERNATIVES, Sampling

Probability = Annotated[float, Field(ge=0, le=1)]
Penalty = Annotated[float, Field(ge=-2, le=2)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
Stops = Annotated[list[str], Field(max_length=64)]
Bias = Annotated[float, Field(ge=-100, le=100)]
Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
TokenId = Annotated[str, Field(pattern=r"^\d{1,9}$")]


class StreamOptions(Body):
    include_usage: bool | None = None
    include_obfuscation: bool | None = None
    stream_tool_calls: bool | None = None
    """A hint: a call is told once it is whole, whatever is asked."""


class Prediction(Body):
    """A hint: what is predicted costs and saves nothing here."""

    type: Literal["content"] = "content"
    content: Content = ""


class ModerationLlm(Body):
    """`model_name` is a policy, or a name of Mistral's moderation models."""

    model_name: str | None = None
    custom_category_thresholds: dict[str, Probability | None] | None = None
    """Null leaves the policy's own."""
    ignore_other_categories: bool | None = None
    action: Literal["none", "block"] | None = None


class GuardrailIn(Body):
    block_on_error: bool | None = None
    moderation_llm_v1: ModerationLlm | None = None
    moderation_llm_v2: ModerationLlm | None = None


class ChatRequest(Body):
    """Mistral's names and OpenAI's; where two names mean one thing, send one."""

    model: str | None = None
    messages: list[AnyMessage] = Field(min_length=1)
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Probability | None = None
    top_k: Annotated[int, Field(ge=-1)] | None = None
    min_tokens: Annotated[int, Field(ge=0)] | None = None
    repetition_penalty: Annotated[float, Field(gt=0, le=10)] | None = None
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
    logit_bias: dict[TokenId, Bias] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=MOST_ALTERNATIVES)] | None = None
    prompt_logprobs: bool | None = None
    top_prompt_logprobs: Annotated[int, Field(ge=0, le=MOST_ALTERNATIVES)] | None = None
    safe_prompt: bool | None = None
    guardrails: list[GuardrailIn] | None = None
    response_format: ResponseFormat | None = None
    tools: list[ToolIn] | None = None
    tool_choice: Choice | None = None
    parallel_tool_calls: bool | None = None
    reasoning_effort: Effort | None = None
    prompt_mode: Literal["reasoning"] | None = None
    """Mistral's older word for `reasoning_effort: high`."""

    # Refused by name, unless they ask for nothing.
    functions: list[dict[str, Any]] | None = None
    function_call: str | dict[str, Any] | None = None
    moderation: dict[str, Any] | None = None
    audio: dict[str, Any] | None = None
    modalities: list[str] | None = None
    web_search_options: dict[str, Any] | None = None
    store: bool | None = None
    verbosity: str | None = None

    # Hints: they change no text, and nothing here keeps them.
    prediction: Prediction | None = None
    metadata: dict[str, Any] | None = None
    prompt_cache_key: str | None = None
    prompt_cache_options: dict[str, Any] | None = None
    prompt_cache_retention: str | None = None
    service_tier: str | None = None
    user: str | None = None
    safety_identifier: str | None = None


HINTS = frozenset(
    {
        "prediction",
        "metadata",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "service_tier",
        "user",
        "safety_identifier",
    }
)
NEUTRAL: Mapping[str, tuple[Any, ...]] = {
    "functions": ([],),
    "function_call": ("none", "auto"),
    "moderation": (),
    "audio": (),
    "modalities": (["text"],),
    "web_search_options": (),
    "store": (False,),
    "verbosity": ("medium",),
}
"""Fields that are refused, and the values with which they ask for nothing."""
INSTEAD = {
    "functions": "send tools, their newer name",
    "function_call": "send tool_choice, its newer name",
    "store": "nothing is stored",
}


def ask_of(request: ChatRequest, *, max_temperature: float) -> Ask:
    """The request in our own words.

    Raises:
        InvalidInput: two names for one thing with two values, a temperature that this dialect does
            not know, or a wish of the answer's form that makes no sense or cannot be enforced.
        NotYetSupported: naming every field that asks for what is not done here.
    """
    refused = list(_refused(request))
    if refused:
        raise NotYetSupported("; ".join(refused), param=refused[0].split(" ")[0])
    temperature = DEFAULT_TEMPERATURE if request.temperature is None else request.temperature
    if temperature > max_temperature:
        raise InvalidInput(
            f"temperature is {temperature}, expected 0 to {max_temperature}", param="temperature"
        )
    return Ask(
        model=model_asked(request.model),
        messages=tuple(message_of(message) for message in request.messages),
        sampling=Sampling(
            temperature=temperature,
            top_p=1.0 if request.top_p is None else request.top_p,
            max_tokens=one_of(request, "max_tokens", "max_completion_tokens"),
            seed=one_of(request, "random_seed", "seed"),
            presence_penalty=request.presence_penalty or 0.0,
            frequency_penalty=request.frequency_penalty or 0.0,
            top_k=request.top_k if (request.top_k or 0) > 0 else None,
            min_tokens=request.min_tokens or 0,
            repetition_penalty=request.repetition_penalty or 1.0,
            logit_bias={int(token): bias for token, bias in (request.logit_bias or {}).items()},
            logprobs=_logprobs(request, ""),
        ),
        stop=(request.stop,) if isinstance(request.stop, str) else tuple(request.stop or ()),
        n=request.n or 1,
        safe_prompt=bool(request.safe_prompt),
        tools=tools_of(request.tools, request.tool_choice, parallel=request.parallel_tool_calls),
        schema=schema_of(request.response_format),
        prompt_logprobs=_logprobs(request, "prompt_"),
        effort=_effort(request),
        guardrails=tuple(_guardrails(request.guardrails or [])),
    )


def _guardrails(asked: list[GuardrailIn]) -> Iterator[Guardrail]:
    for at, each in enumerate(asked):
        kinds = {
            name: kind
            for name in ("moderation_llm_v1", "moderation_llm_v2")
            if (kind := getattr(each, name)) is not None
        }
        if not kinds:
            raise InvalidInput(
                f"guardrails[{at}] names neither moderation_llm_v1 nor moderation_llm_v2",
                param=f"guardrails[{at}]",
            )
        for name, kind in kinds.items():
            custom = kind.custom_category_thresholds or {}
            yield Guardrail(
                name=name,
                policy=kind.model_name,
                wanted=Wanted(
                    {code: most for code, most in custom.items() if most is not None},
                    frozenset(custom) if kind.ignore_other_categories else None,
                ),
                blocks=kind.action != "none",
                block_on_error=bool(each.block_on_error),
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


def _effort(request: ChatRequest) -> AnyEffort | None:
    if request.prompt_mode is None:
        return None if request.reasoning_effort is None else AnyEffort(request.reasoning_effort)
    if request.reasoning_effort == "none":
        raise InvalidInput(
            "prompt_mode is 'reasoning' but reasoning_effort is 'none'; send one of them",
            param="prompt_mode",
        )
    return AnyEffort(request.reasoning_effort or "high")


def _logprobs(request: ChatRequest, of: str) -> int | None:
    """How many alternatives are told beside each token; None where nothing is."""
    wanted, top = getattr(request, f"{of}logprobs"), getattr(request, f"top_{of}logprobs")
    if top and not wanted:
        raise InvalidInput(
            f"top_{of}logprobs is {top} and {of}logprobs is not true; set both",
            param=f"top_{of}logprobs",
        )
    return top or 0 if wanted else None


def _refused(request: ChatRequest) -> Iterator[str]:
    """Fields whose values ask for something that is not done here."""
    for name, neutral in NEUTRAL.items():
        value = getattr(request, name)
        if value is None or value in neutral:
            continue
        plain = isinstance(value, str | int | float) and len(str(value)) <= 40
        asked = f"{name} is {value!r}" if plain else f"{name} is set"
        known = f", expected {neutral[-1]!r} or nothing" if neutral else ""
        yield f"{asked}{known}; {INSTEAD.get(name, 'this is not done here; leave it out')}"
    options = request.stream_options
    if options is not None and options.include_obfuscation:
        yield "stream_options.include_obfuscation is True; chunks are not padded here; leave it out"
