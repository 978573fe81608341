"""Models as evaluations reach them: full servers are waited for, failures told, no empty texts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any, NamedTuple

import httpx
import pytest

from modiste.actions import eval_models, upstreams
from modiste.actions.eval_models import MAX_TRIES, AskedModels
from modiste.actions.inference import Renderers, Serving
from modiste.actions.upstreams import Hosted
from modiste.errors import ModisteError, NotFound
from modiste.evaluate.items import Answer, Likelihood, Prompt
from modiste.prepare import render
from modiste.serve.sequence import Failed, FailureCode, FinishReason, Generate
from modiste.serve.upstream import Upstreams
from modiste.store.database import Database
from modiste.types import Actor, Message, Role

from .engines import Engine, Script, says

PROMPT = Prompt((Message(Role.USER, "hi"),), max_tokens=8, seed=3)
USAGE = {"prompt_tokens": 7, "completion_tokens": 3}


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(asyncio.wait_for(work, 30))


@pytest.fixture
def database_kind() -> str:
    """What is asked here reaches tables that other tests ask on both databases."""
    return "sqlite"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eval_models, "LONGEST_WAIT_S", 0.01)
    monkeypatch.setattr(eval_models, "LOOK_S", 0.001)


@pytest.fixture
def says_hello(database: Database, admin: Actor) -> Script:
    from modiste.actions import models

    with database.transaction(write=False) as tx:
        path = models.resolve(tx, admin, "modiste-tiny").path
    from pathlib import Path

    return says(tuple(render.load(Path(path)).encode("Hello there.")))


@pytest.fixture
def asked(database: Database, admin: Actor) -> Callable[..., tuple[AskedModels, Engine]]:
    """`asked(script, back=…)` with an engine that follows the script."""

    def make(script: Script, *, back: Any = None) -> tuple[AskedModels, Engine]:
        engine = Engine(script)
        serving = Serving(database, engine, Renderers(), Upstreams(database.settings))  # type: ignore[arg-type]

        async def answers() -> bool:
            return True if back is None else bool(back())

        return AskedModels(serving, admin, answers=answers, at_once=4), engine

    return make


def refusing(script: Script, *codes: FailureCode, retry_after_s: float | None = 0.0) -> Script:
    left = list(codes)

    def tell(request: Generate) -> Any:
        if left:
            return [Failed(request.id, left.pop(0), "not now", retry_after_s)]
        return script(request)

    return tell


def test_an_answer_comes_as_users_get_it(asked: Any, says_hello: Script) -> None:
    models, engine = asked(says_hello)
    answer = run(models.chat("modiste-tiny", PROMPT))
    assert (answer.text, answer.finish, answer.failure) == ("Hello there.", "stop", None)
    assert answer.completion_tokens > 0
    assert answer.latency_s > 0
    assert (answer.ttft_s, answer.cost_micro) == (None, None)
    [request] = engine.asked
    assert (request.sampling.seed, request.sampling.max_tokens) == (3, 8)
    streamed = run(models.chat("modiste-tiny", replace(PROMPT, stream=True)))
    assert streamed.text == "Hello there."
    assert 0 < streamed.ttft_s <= streamed.latency_s


def test_an_answer_that_was_cut_says_so(asked: Any, says_hello: Script) -> None:
    def cut(request: Generate) -> Any:
        told = says_hello(request)
        return [told[0], replace(told[1], reason=FinishReason.LENGTH)]  # type: ignore[type-var]

    assert run(asked(cut)[0].chat("modiste-tiny", PROMPT)).finish == "length"


def test_a_full_engine_is_waited_for_however_often_it_refuses(
    asked: Any, says_hello: Script
) -> None:
    models, engine = asked(refusing(says_hello, *[FailureCode.BUSY] * 25))
    assert run(models.chat("modiste-tiny", PROMPT)).text == "Hello there."
    assert len(engine.asked) == 26
    assert models._paces["modiste-tiny"].limit == 1


def test_an_engine_that_is_full_for_ever_is_a_failure_in_the_end(
    asked: Any, says_hello: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(eval_models, "PATIENCE_S", 0.05)
    models, _ = asked(refusing(says_hello, *[FailureCode.BUSY] * 10_000, retry_after_s=0.005))
    failure = run(models.chat("modiste-tiny", PROMPT)).failure
    assert (failure.code, failure.message) == ("rate_limited", "not now")


def test_a_server_that_wants_to_be_left_alone_for_long_is_not_waited_for(
    asked: Any, says_hello: Script
) -> None:
    models, engine = asked(refusing(says_hello, FailureCode.BUSY, retry_after_s=3600.0))
    assert run(models.chat("modiste-tiny", PROMPT)).failure.code == "rate_limited"
    assert len(engine.asked) == 1


def test_a_restarting_engine_is_waited_for_until_it_is_back(asked: Any, says_hello: Script) -> None:
    looks = iter([False, False, True, True])
    models, engine = asked(refusing(says_hello, FailureCode.RESTARTING), back=lambda: next(looks))
    assert run(models.chat("modiste-tiny", PROMPT)).text == "Hello there."
    assert len(engine.asked) == 2
    assert next(looks) is True, "it was not looked at until it was back"


def test_a_request_that_takes_the_engine_along_is_given_up(asked: Any, says_hello: Script) -> None:
    models, engine = asked(refusing(says_hello, *[FailureCode.RESTARTING] * 50))
    answer = run(models.chat("modiste-tiny", PROMPT))
    assert answer.text == ""
    assert answer.failure is not None
    assert len(engine.asked) == MAX_TRIES


@pytest.mark.parametrize(
    ("model", "prompt", "code"),
    [
        ("nobody", PROMPT, "model_not_found"),
        ("modiste-tiny", replace(PROMPT, messages=(Message(Role.USER, "x " * 9000),)),
         "context_length_exceeded"),
    ],
)  # fmt: skip
def test_what_is_refused_is_a_failure_with_its_code_and_is_not_tried_again(
    asked: Any, says_hello: Script, model: str, prompt: Prompt, code: str
) -> None:
    models, engine = asked(says_hello)
    answer = run(models.chat(model, prompt))
    assert (answer.failure.code, answer.text) == (code, "")
    assert engine.asked == []


class Shown(NamedTuple):
    text: str
    offset: int
    logprob: float | None
    top: tuple[tuple[str, float], ...]


TOKENS = [
    Shown("So", 0, None, ()),
    Shown(": y", 2, -0.5, ((": y", -0.5),)),
    Shown("es", 5, -1.0, (("ea", -0.25),)),
    Shown("!", 7, -9.0, ()),
]
"""Of `So: yes` and the one token that is generated behind it."""


def test_a_continuation_counts_the_tokens_that_hold_any_of_it() -> None:
    assert eval_models._likelihood(TOKENS, 4, 7) == Likelihood(-1.5, 2, False)
    assert eval_models._likelihood(TOKENS, 4, 5) == Likelihood(-0.5, 1, True)
    assert eval_models._likelihood(TOKENS, 0, 7) == Likelihood(-1.5, 2, False)


def test_a_continuation_of_no_length_has_no_tokens() -> None:
    assert eval_models._likelihood(TOKENS, 7, 7).n_tokens == 0


def test_a_model_that_is_not_there_tells_no_likelihoods(asked: Any, says_hello: Script) -> None:
    models, engine = asked(says_hello)
    with pytest.raises(NotFound):
        run(models.likelihoods("nobody", "a", ("b",)))
    assert engine.asked == []


class Vendor:
    """A hosted model that answers with these, one after the other, the last one for ever."""

    def __init__(self, database: Database, admin: Actor, *answers: httpx.Response) -> None:
        self.n_asked, self._answers = 0, answers
        transport = lambda: httpx.MockTransport(self._handle)  # noqa: E731
        there = Upstreams(database.settings, transport=transport)
        serving = Serving(database, None, Renderers(), there)  # type: ignore[arg-type]
        with database.transaction() as tx:
            hosted = Hosted("big", "https://x.test/v1", model="theirs")
            priced = replace(hosted, price_in_micro=2_000_000, price_out_micro=10_000_000)
            upstreams.add(tx, admin, priced)
        self.models = AskedModels(serving, admin, answers=self._no_engine, at_once=2)

    async def _no_engine(self) -> bool:
        raise AssertionError("a hosted model was waited for as if it were the engine")

    def _handle(self, request: httpx.Request) -> httpx.Response:
        self.n_asked += 1
        return self._answers[min(self.n_asked, len(self._answers)) - 1]

    def chat(self) -> Answer:
        return run(self.models.chat("big", PROMPT))  # type: ignore[no-any-return]


def whole(*choices: Any) -> httpx.Response:
    return httpx.Response(200, json={"id": "x", "choices": list(choices), "usage": USAGE})


def test_a_hosted_answer_costs_what_its_tokens_cost(database: Database, admin: Actor) -> None:
    message = {"role": "assistant", "content": "Paris"}
    answer = Vendor(
        database, admin, whole({"index": 0, "message": message, "finish_reason": "length"})
    ).chat()
    assert (answer.text, answer.finish, answer.prompt_tokens) == ("Paris", "length", 7)
    assert answer.cost_micro == 7 * 2 + 3 * 10


@pytest.mark.parametrize(
    "choices",
    [(), ({"index": 0},), ({"message": None},), ({"message": {"tool_calls": [7]}},),
     ({"message": {"content": "x"}, "logprobs": {"content": [{"token": "a"}]}},)],
)  # fmt: skip
def test_a_hosted_answer_that_cannot_be_read_is_a_failure_and_no_empty_text(
    database: Database, admin: Actor, choices: tuple[Any, ...]
) -> None:
    answer = Vendor(database, admin, whole(*choices)).chat()
    assert answer.failure is not None
    assert (answer.failure.code, answer.text) == ("upstream_error", "")


def test_a_vendor_that_is_full_is_asked_again_at_its_time(database: Database, admin: Actor) -> None:
    full = httpx.Response(429, json={"error": {"message": "slow"}}, headers={"retry-after": "0"})
    message = {"role": "assistant", "content": "Paris"}
    vendor = Vendor(database, admin, full, full, whole({"index": 0, "message": message}))
    assert vendor.chat().text == "Paris"


def test_a_vendor_that_refuses_our_key_is_not_asked_again(database: Database, admin: Actor) -> None:
    vendor = Vendor(database, admin, httpx.Response(401, json={}))
    failure = vendor.chat().failure
    assert failure is not None
    assert (failure.code, vendor.n_asked) == ("upstream_key_refused", 1)


def test_a_budget_that_is_spent_is_not_waited_for(database: Database, admin: Actor) -> None:
    message = {"role": "assistant", "content": "Paris"}
    vendor = Vendor(database, admin, whole({"index": 0, "message": message}))
    with database.transaction() as tx:
        hosted = Hosted("big", "https://x.test/v1", model="theirs", daily_tokens=5)
        upstreams.add(tx, admin, hosted)
    assert vendor.chat().text == "Paris"
    failure = vendor.chat().failure
    assert failure is not None
    assert (failure.code, vendor.n_asked) == ("budget_spent", 1)


def test_hosted_models_tell_no_likelihoods(database: Database, admin: Actor) -> None:
    vendor = Vendor(database, admin, httpx.Response(500))
    with pytest.raises(ModisteError):
        run(vendor.models.likelihoods("big", "a", ("b",)))
    assert vendor.n_asked == 0


def test_what_answers_to_a_name_is_known_down_to_weights_or_place(
    asked: Any, says_hello: Script, database: Database, admin: Actor
) -> None:
    models, _ = asked(says_hello)
    base = run(models.revision("modiste-tiny"))
    assert base.startswith("modiste-tiny ")
    assert run(models.revision("modiste-tiny")) == base
    assert run(Vendor(database, admin).models.revision("big")) == "https://x.test/v1 theirs"
    with pytest.raises(NotFound):
        run(models.revision("nobody"))
