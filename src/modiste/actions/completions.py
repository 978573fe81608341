"""Completions: the one place where a conversation meets a model.

`begin` decides everything that can be refused (permission, model, prompt, length) before the
first token; the `Answer` it returns streams what the engine says.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from modiste.actions import detecting, guarded, hosted, inference, moderation, wishes
from modiste.actions.answers import Answer, Completion
from modiste.actions.guarded import Guardrail, Guards
from modiste.actions.guarded_answers import Begun, GuardedAnswer
from modiste.actions.hosted import Told
from modiste.actions.inference import AnsweredElsewhere, Served, Serving
from modiste.actions.keys import require
from modiste.actions.reading import Chat
from modiste.actions.wishes import ToolChoice, Tools
from modiste.errors import InvalidInput
from modiste.prepare.manner import Effort
from modiste.serve.sequence import MOST_ALTERNATIVES, Grammar, Sampling
from modiste.types import Actor, Message, Model, ModelKind, Scope

DEFAULT_TEMPERATURE = 0.7
"""What an absent `temperature` means; every model card says so."""
MAX_CHOICES = 16


@dataclass(frozen=True)
class Ask:
    """One request for `n` continuations of a conversation, in our own words."""

    model: str
    messages: tuple[Message, ...]
    sampling: Sampling = field(default_factory=lambda: Sampling(temperature=DEFAULT_TEMPERATURE))
    stop: tuple[str, ...] = ()
    n: int = 1
    safe_prompt: bool = False
    tools: Tools = field(default_factory=Tools)
    schema: Mapping[str, Any] | None = None
    """The answer is JSON that follows it."""
    prompt_logprobs: int | None = None
    """As `Sampling.logprobs`, of the prompt's tokens but the first, which follows nothing."""
    effort: Effort | None = None
    """How much the model is to think; None leaves it as it is in training."""
    guardrails: tuple[Guardrail, ...] = ()
    """Beside the policies that are attached."""
    policies: tuple[str, ...] | None = None
    """In place of those that are attached; evaluations of admins alone say so."""


async def create(serving: Serving, actor: Actor, ask: Ask) -> Completion:
    """Answer at once, in whole."""
    return await (await begin(serving, actor, ask)).whole()


async def unguarded(
    serving: Serving, actor: Actor, ask: Ask, *, model: Model | None = None
) -> Answer | Told:
    """Accept or refuse a request, whatever its policies say: for guards, and for `begin`.

    Args:
        model: what answers to the name, where that was looked up already.

    Raises:
        Forbidden: the key may not infer.
        NotFound: no such model; the message says what to type.
        BadRequest: the engine cannot compute the model, the messages make no prompt, or the prompt
            leaves no room in the context.
        InvalidInput: the base cannot be held to what is wished of the answer's form, or a biased
            token is none of its own.
    """
    try:
        served = await inference.find(serving, actor, ask.model, model=model)
    except AnsweredElsewhere as elsewhere:
        return await _elsewhere(serving, actor, ask, elsewhere.model)
    written = await asyncio.to_thread(_written, served, ask)
    prompt = await inference.prompt(serving, served, written.ids, ask.sampling, param="messages")
    last = ask.messages[-1]
    return Answer(
        replace(prompt, grammar=written.grammar, prompt_logprobs=ask.prompt_logprobs),
        engine=serving.engine,
        renderer=served.renderer,
        n=ask.n,
        stop=ask.stop,
        opening=(last.content or "") if last.prefix else "",
        continuing=last.prefix,
        chat=Chat(
            tools=bool(ask.tools.tools),
            one_call=ask.tools.one_call,
            thinks_first=written.thinks_first,
        ),
    )


async def begin(
    serving: Serving, actor: Actor, ask: Ask, *, model: Model | None = None
) -> Answer | Told | GuardedAnswer:
    """As `unguarded`, under the policies that hold for model and key and those the request names.

    Raises:
        Blocked: a policy blocks what is asked.
        Forbidden: other policies than the attached ones are wished, and the key is no admin's.
    """
    require(actor, Scope.INFER)
    if ask.policies is not None:
        require(actor, Scope.ADMIN)
    if model is None:
        model = await asyncio.to_thread(inference.named, serving.database, actor, ask.model)
    rails = await guarded.held(serving, actor, model, ask.guardrails, instead=ask.policies)
    if not rails:
        return await unguarded(serving, actor, ask, model=model)
    guards = Guards(serving, actor, rails, asker(serving, actor))
    if offered := _offered(ask):
        await guards.check_unchanged(offered)
    if guards.changes_input():
        ask = replace(ask, messages=await guards.checked_input(ask.messages))
        answer = await unguarded(serving, actor, ask, model=model)
        begun = Begun(answer.events())
    else:
        answer = await unguarded(serving, actor, ask, model=model)
        begun = Begun(answer.events())
        try:
            await guards.look(moderation.parts_of(ask.messages))
            await guards.look_across(ask.messages)
        except BaseException:
            await begun.close()
            raise

    async def again(instruction: str) -> str:
        said = guarded.instructed(ask.messages, instruction)
        anew = await unguarded(serving, actor, replace(ask, messages=said, n=1), model=model)
        return (await anew.whole()).choices[0].text

    last = ask.messages[-1]
    return GuardedAnswer(
        begun.events(),
        guards,
        n=ask.n,
        before=ask.messages,
        again=again,
        # Our own engine shows the begun answer itself.
        continues=(last.content or "") if last.prefix and isinstance(answer, Told) else "",
    )


def _offered(ask: Ask) -> list[str]:
    """What the model reads beside the messages: words in a tool or a schema are words too."""
    said = [tool.defined for tool in ask.tools.tools]
    said += [] if ask.schema is None else [ask.schema]
    texts = ["\n".join(moderation.strings_in(each)) for each in said]
    return [*texts, *(moderation.readable(tool.name) for tool in ask.tools.tools)]


async def guards_of(serving: Serving, actor: Actor, model: Model) -> Guards | None:
    """Those of a request that is no chat; None where no policy holds."""
    rails = await guarded.held(serving, actor, model)
    return Guards(serving, actor, rails, asker(serving, actor)) if rails else None


def asker(serving: Serving, actor: Actor) -> detecting.Ask:
    """Asks guard models: greedily, and unguarded."""

    async def ask(model: str, messages: Sequence[Message], max_tokens: int) -> Completion:
        found = await inference.known(serving.database, actor, model)
        hosted_one = found is not None and found.kind is ModelKind.HOSTED
        sampling = Sampling(
            temperature=0.0,
            max_tokens=max_tokens,
            seed=0,
            logprobs=None if hosted_one else MOST_ALTERNATIVES,
        )
        wish = Ask(model=model, messages=tuple(messages), sampling=sampling)
        return await (await unguarded(serving, actor, wish, model=found)).whole()

    return ask


def prompt_ids(served: Served, ask: Ask) -> list[int]:
    """The ids behind which the model answers.

    Raises:
        BadRequest: the messages make no prompt.
    """
    return served.renderer.prompt(
        ask.messages,
        tools=[tool.defined for tool in ask.tools.tools],
        safe_prompt=ask.safe_prompt,
        effort=_effort(served, ask),
    )


async def _elsewhere(serving: Serving, actor: Actor, ask: Ask, model: Model) -> Told:
    answer = await hosted.begin(
        serving.database,
        serving.upstreams,
        actor,
        model,
        name=ask.model,
        body=hosted.body_of(ask),
    )
    return Told(answer, n=ask.n)


class _Written(NamedTuple):
    ids: list[int]
    grammar: Grammar | None
    thinks_first: bool


def _written(served: Served, ask: Ask) -> _Written:
    """Takes milliseconds: not for the event loop."""
    _check(served, ask)
    renderer, tools = served.renderer, ask.tools
    ids = prompt_ids(served, ask)
    thinks_first = renderer.opens_thought(ids)
    last = ask.messages[-1]
    wished = wishes.grammar(
        renderer.manner,
        tools,
        ask.schema,
        thinks_first=thinks_first,
        begun=(last.content or "") if last.prefix else "",
    )
    return _Written(ids, wished, thinks_first)


def _effort(served: Served, ask: Ask) -> Effort | None:
    """
    Raises:
        InvalidInput: the base thinks, or does not, whatever is asked.
    """
    manner = served.renderer.manner
    if ask.effort is None or ask.effort in manner.efforts:
        return ask.effort
    if ask.effort is Effort.NONE and manner.thinking is None:
        return None
    known = ", ".join(sorted(manner.efforts)) or "nothing of the kind"
    raise InvalidInput(
        f"reasoning_effort is {ask.effort.value!r}, and the prompt format of {served.model.id} can "
        f"be told {known}; leave it out",
        param="reasoning_effort",
    )


def _check(served: Served, ask: Ask) -> None:
    model, renderer = served.model.id, served.renderer
    if ask.tools.tools and renderer.manner.calls is None:
        known = "knows no tools" if not renderer.rules.tools else "writes calls in a way of its own"
        raise InvalidInput(
            f"tools is set, and the prompt format of {model} {known}; leave them out, or use a "
            "base whose chat template has them",
            code="tools_unsupported",
            param="tools",
        )
    thought = next((at for at, said in enumerate(ask.messages) if said.thought), None)
    if thought is not None and renderer.manner.thinking is None:
        raise InvalidInput(
            f"messages[{thought}] holds a thought, and {model} does not think; leave thoughts out",
            param=f"messages[{thought}]",
        )
    if ask.messages[-1].prefix and ask.tools.tools and ask.tools.choice is not ToolChoice.AUTO:
        raise InvalidInput(
            "tool_choice asks for a call, with which the answer begins, and the last message's "
            "prefix has begun it already; leave one of them out",
            param="tool_choice",
        )
    strange = [token for token in ask.sampling.logit_bias if token >= renderer.vocab_size]
    if strange:
        raise InvalidInput(
            f"logit_bias names token {strange[0]}; the tokens of {model} are 0 to "
            f"{renderer.vocab_size - 1}",
            param="logit_bias",
        )
