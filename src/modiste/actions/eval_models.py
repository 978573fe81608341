"""Models as evaluations reach them: through the same actions as every user's request.

A full or restarting server is waited for, at a pace of its own per model; whatever else goes wrong
with a request is a failure in its answer, never an exception and never an empty text. What a base
that is not loaded yet costs falls on the first requests, as it does for users.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Any, TypeVar

import orjson

from modiste.actions import completions, embeddings, guarded, hosted, inference, texts
from modiste.actions.answers import Completion, Usage, collected
from modiste.actions.completions import Ask
from modiste.actions.embeddings import EmbedAsk
from modiste.actions.inference import Serving
from modiste.actions.reading import Drawn
from modiste.actions.texts import TextAsk
from modiste.actions.wishes import Tool, Tools
from modiste.errors import Busy, InvalidInput, ModisteError, Unavailable, UpstreamTimeout
from modiste.evaluate.items import Answer, Failure, Likelihood, Prompt, TokenLogprob
from modiste.evaluate.pace import Pace
from modiste.serve.hosted_wire import used_of
from modiste.serve.sequence import FinishReason, Sampling
from modiste.types import Actor, Model, ModelKind, ToolCall

T = TypeVar("T")
MAX_TRIES = 6
"""Of a request that found its server away, or took the engine along."""
LONGEST_WAIT_S = 30.0
LONGEST_REST_S = 300.0
"""A full server that wants to be left alone for longer is not waited for."""
PATIENCE_S = 600.0
"""Nor is one that is full and has answered nobody for so long."""
NOT_FOR_LATER = frozenset(
    {"upstream_key_refused", "upstream_key_missing", "upstream_forbidden", "upstream_cannot_load"}
)
"""No later try ends better."""
ENGINE_BACK_S = 600.0
LOOK_S = 0.2
AT_ONCE = 64
FINISHES: Mapping[FinishReason, str] = {FinishReason.LENGTH: "length"}


class AskedModels:
    """`evaluate.items.Models` in the name of one key.

    Args:
        answers: whether the engine of this machine is there, asked where it was found gone.
    """

    def __init__(
        self,
        serving: Serving,
        actor: Actor,
        *,
        answers: Callable[[], Awaitable[bool]],
        at_once: int = AT_ONCE,
    ) -> None:
        self._serving, self._actor = serving, actor
        self._answers = answers
        self._at_once = at_once
        self._paces: dict[str, Pace] = {}
        self._models: dict[str, Model] = {}

    async def chat(self, model: str, prompt: Prompt) -> Answer:
        try:
            return await self._paced(model, lambda: self._chat(model, prompt))
        except UpstreamTimeout as error:
            return Answer(failure=Failure("timeout", error.message))
        except ModisteError as error:
            return Answer(failure=Failure(error.error_code, error.message))

    async def likelihoods(
        self, model: str, text: str, continuations: Sequence[str]
    ) -> tuple[Likelihood, ...]:
        """
        Raises:
            ModisteError: the model does not tell, or is hosted: those tell nothing of prompts.
        """
        return await self._paced(model, lambda: self._likelihoods(model, text, continuations))

    async def embed(self, model: str, texts: Sequence[str]) -> list[list[float]]:
        ask = EmbedAsk(model=model, inputs=tuple(texts))
        made = await self._paced(model, lambda: embeddings.create(self._serving, self._actor, ask))
        return [list(map(float, row)) for row in made.vectors]

    async def revision(self, model: str) -> str:
        """What answers to the name: its weights where they are ours, of a hosted model its place.

        Raises:
            NotFound: nothing does.
        """
        found = await self._resolved(model)
        if (there := found.upstream) is not None:
            return f"{there.url} {there.model or found.id}"
        made = found.adapter.version if found.adapter else found.created_at.isoformat()
        return f"{found.base or found.id} {made}"

    async def _paced(self, model: str, send: Callable[[], Awaitable[T]]) -> T:
        """Send when there is a place, again where the server had none or was away.

        Raises:
            ModisteError: what the last try ended in.
        """
        pace = self._paces.setdefault(model, Pace(self._at_once, start=self._at_once))
        asked_at, n_lost = time.monotonic(), 0
        while True:
            try:
                async with pace.turn() as sent:
                    answer = await send()
            except Busy as error:
                if _is_final(error, waited_s=time.monotonic() - max(asked_at, pace.answered_at)):
                    raise
                pace.full(sent, error.retry_after_s)
            except Unavailable as error:
                n_lost += 1
                if n_lost == MAX_TRIES or error.error_code in NOT_FOR_LATER:
                    raise
                await self._until_back(model, error, n_lost)
            else:
                pace.succeeded()
                return answer

    async def _until_back(self, model: str, gone: Unavailable, n_lost: int) -> None:
        """Until it makes sense to try again: as long as was asked for, and until the engine is
        back where it is ours."""
        rest_s = max(gone.retry_after_s or 0.0, LOOK_S * 2**n_lost)
        await asyncio.sleep(min(LONGEST_WAIT_S, rest_s))
        found = self._models.get(model)
        if found is not None and found.upstream is not None:
            return
        deadline = time.monotonic() + ENGINE_BACK_S
        while time.monotonic() < deadline and not await self._answers():
            await asyncio.sleep(LOOK_S)

    async def _guarded(self, model: Model, prompt: Prompt) -> bool:
        """Whether a policy holds: then evaluations see what it lets users see."""
        if prompt.policies is not None:
            return True
        return bool(await guarded.held(self._serving, self._actor, model))

    async def _chat(self, model: str, prompt: Prompt) -> Answer:
        found = await self._resolved(model)
        started = time.perf_counter()
        if found.kind is ModelKind.HOSTED and not await self._guarded(found, prompt):
            body = _body(prompt)
            told = await hosted.begin(
                self._serving.database,
                self._serving.upstreams,
                self._actor,
                found,
                name=model,
                body=body,
            )
            return _of_hosted(await told.whole(), found, time.perf_counter() - started)
        answer = await completions.begin(self._serving, self._actor, _ask(model, prompt))
        first: float | None = None
        if prompt.stream:
            made, first = await _streamed(answer, started)
        else:
            made = await answer.whole()
        return _told(made, time.perf_counter() - started, first)

    async def _resolved(self, name: str) -> Model:
        """Looked up once: what a run asks does not change while it asks.

        Raises:
            NotFound: nothing answers to the name.
        """
        if name not in self._models:
            found = await inference.known(self._serving.database, self._actor, name)
            if found is None:
                found = (await inference.find(self._serving, self._actor, name)).model
            self._models[name] = found
        return self._models[name]

    async def _likelihoods(
        self, model: str, text: str, continuations: Sequence[str]
    ) -> tuple[Likelihood, ...]:
        ask = TextAsk(
            model=model,
            prompts=tuple(text + each for each in continuations),
            sampling=Sampling(temperature=0.0, max_tokens=1, logprobs=1),
            echo=True,
        )
        made = await (await texts.begin(self._serving, self._actor, ask)).whole()
        return tuple(
            _likelihood(choice.tokens, len(text), len(text + each))
            for choice, each in zip(made.choices, continuations, strict=True)
        )


def _is_final(full: Busy, *, waited_s: float) -> bool:
    """Whether waiting is no answer to a full server."""
    rest_s = full.retry_after_s or 0.0
    return full.error_code == "budget_spent" or rest_s > LONGEST_REST_S or waited_s > PATIENCE_S


def _ask(model: str, prompt: Prompt) -> Ask:
    return Ask(
        model=model,
        messages=prompt.messages,
        sampling=Sampling(
            temperature=prompt.temperature,
            top_p=prompt.top_p,
            max_tokens=prompt.max_tokens,
            seed=prompt.seed,
            logprobs=prompt.top_logprobs,
        ),
        stop=prompt.stop,
        tools=Tools(tuple(map(Tool, prompt.tools))),
        schema=prompt.schema,
        policies=prompt.policies,
    )


def _told(made: Completion, latency_s: float, ttft_s: float | None) -> Answer:
    choice = made.choices[0]
    return Answer(
        text=choice.text,
        calls=choice.calls,
        finish="tool_calls" if choice.called else FINISHES.get(choice.reason, "stop"),
        prompt_tokens=made.usage.prompt_tokens,
        completion_tokens=made.usage.completion_tokens,
        latency_s=latency_s,
        ttft_s=ttft_s,
        logprobs=tuple(map(_logprob, choice.drawn)),
    )


async def _streamed(answer: Any, started: float) -> tuple[Completion, float | None]:
    """In whole, and when its first token came."""
    first: float | None = None

    async def heard() -> Any:
        nonlocal first
        async with aclosing(answer.events()) as events:
            async for event in events:
                if first is None and not isinstance(event, Usage):
                    first = time.perf_counter() - started
                yield event

    return await collected(heard(), n=1), first


def _logprob(drawn: Drawn) -> TokenLogprob:
    return TokenLogprob(
        drawn.likely.text,
        drawn.likely.logprob,
        tuple((each.text, each.logprob) for each in drawn.top),
    )


def _likelihood(tokens: Sequence[Any], begins: int, ends: int) -> Likelihood:
    """Of the tokens that hold any of the characters from `begins` on: one that is half context
    belongs to what it ends in."""
    mine = [
        token
        for token in tokens
        if token.logprob is not None
        and token.offset < ends
        and token.offset + max(1, len(token.text)) > begins
    ]
    greedy = all(token.top and token.logprob >= max(p for _, p in token.top) for token in mine)
    return Likelihood(sum(token.logprob for token in mine), len(mine), greedy)


def _body(prompt: Prompt) -> dict[str, Any]:
    """A prompt in the words of the vendors."""
    if prompt.top_logprobs is not None and prompt.top_logprobs > 20:
        raise InvalidInput("top_logprobs is above 20, the most that hosted models tell")
    ask = Ask(
        model="",
        messages=prompt.messages,
        sampling=Sampling(
            temperature=prompt.temperature,
            top_p=prompt.top_p,
            max_tokens=prompt.max_tokens,
            seed=prompt.seed,
        ),
        stop=prompt.stop,
    )
    body = hosted.body_of(ask)
    if prompt.schema is not None:
        schema = {"name": "answer", "schema": dict(prompt.schema), "strict": True}
        body["response_format"] = {"type": "json_schema", "json_schema": schema}
    if prompt.tools:
        body["tools"] = [dict(tool) for tool in prompt.tools]
    if prompt.top_logprobs is not None:
        body |= {"logprobs": True, "top_logprobs": prompt.top_logprobs}
    return body


def _of_hosted(said: Mapping[str, Any], model: Model, latency_s: float) -> Answer:
    """What a hosted model answered; an answer that cannot be read is none."""
    try:
        return _read_hosted(said, model, latency_s)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        what = f"{type(error).__name__}: {error}"
        told = f"{model.id} answered with something else than a chat completion ({what})"
        return Answer(latency_s=latency_s, failure=Failure("upstream_error", told))


def _read_hosted(said: Mapping[str, Any], model: Model, latency_s: float) -> Answer:
    choice = hosted.choices_of(said)[0]
    message = choice["message"]
    used = used_of(said)
    n_in, n_out = (used.prompt_tokens, used.completion_tokens) if used else (0, 0)
    return Answer(
        text=hosted.text_of(message.get("content")),
        calls=tuple(map(_call, message.get("tool_calls") or ())),
        finish=str(choice.get("finish_reason") or "stop"),
        prompt_tokens=n_in,
        completion_tokens=n_out,
        latency_s=latency_s,
        cost_micro=_cost(model, n_in, n_out),
        logprobs=tuple(map(_hosted_logprob, ((choice.get("logprobs") or {}).get("content") or ()))),
    )


def _call(call: Mapping[str, Any]) -> ToolCall:
    function = call.get("function") or {}
    arguments = function.get("arguments")
    text = arguments if isinstance(arguments, str) else orjson.dumps(arguments).decode()
    return ToolCall(call.get("id"), str(function.get("name")), text)


def _hosted_logprob(token: Mapping[str, Any]) -> TokenLogprob:
    top = tuple((str(t["token"]), float(t["logprob"])) for t in token.get("top_logprobs") or ())
    return TokenLogprob(str(token["token"]), float(token["logprob"]), top)


def _cost(model: Model, n_in: int, n_out: int) -> int | None:
    upstream = model.upstream
    if upstream is None or upstream.price_in_micro is None or upstream.price_out_micro is None:
        return None
    return round((n_in * upstream.price_in_micro + n_out * upstream.price_out_micro) / 1e6)
