"""A vLLM server as an engine: the same tokens as ours, and every fault of its protocol handled.

The server is a double on loopback whose tokens come from our own decoder.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest

import modiste
from modiste.errors import UpstreamFailed
from modiste.serve.hosted import Limits
from modiste.serve.sequence import (
    Event,
    Failed,
    FailureCode,
    Finished,
    FinishReason,
    Generate,
    PromptLogprobs,
    Sampling,
    Tokens,
)
from modiste.serve.vllm import VllmEngine

sys.path.insert(0, str(Path(__file__).parent))
from vllm_double import VllmDouble, running

TINY = Path(modiste.__file__).parent / "bases" / "tiny"
IDS = tuple(range(10, 40))
GREEDY = Sampling(temperature=0.0, max_tokens=12)
REQUEST = Generate("r", str(TINY), IDS, stop_ids=frozenset({2}), sampling=GREEDY)
T = TypeVar("T")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VllmDouble]:
    with running(VllmDouble(TINY, tmp_path_factory.mktemp("vllm"))) as double:
        yield double


@pytest.fixture
def double(server: VllmDouble) -> VllmDouble:
    fresh = {"max_lora_rank": 16, "runtime_updating": True, "with_token_ids": True, "pause_s": 0.0}
    lists = {"bodies": [], "loads": [], "headers": [], "healthy": True, "n_left": 0}
    server.__dict__.update({**fresh, **lists})
    server.restart()
    return server


@pytest.fixture(scope="module")
def adapter(random_adapter: Callable[..., Path]) -> Path:
    return random_adapter(TINY, r=4)


def engine(double: VllmDouble, **options: Any) -> VllmEngine:
    settings = {"limits": Limits(1.0, 20.0, 20.0, 20.0), "watch_s": 0.0}
    return VllmEngine(double.url, transport=httpx.AsyncHTTPTransport, **settings | options)  # type: ignore[arg-type]


def run(double: VllmDouble, work: Callable[[VllmEngine], Awaitable[T]], **options: Any) -> T:
    async def do() -> T:
        there = engine(double, **options)
        try:
            return await work(there)
        finally:
            await there.close()

    return asyncio.run(do())


async def told(there: VllmEngine, request: Generate) -> list[Event]:
    async with aclosing(there.generate(request)) as events:
        return [event async for event in events]


def ask(double: VllmDouble, request: Generate, **options: Any) -> list[Event]:
    return run(double, lambda there: told(there, request), **options)


def ids(events: list[Event]) -> list[int]:
    return [token for event in events if isinstance(event, Tokens) for token in event.ids]


def with_adapter(folder: Path, version: str = "v1", **changes: Any) -> Generate:
    return replace(REQUEST, adapter=str(folder), adapter_version=version, **changes)


def ours(double: VllmDouble, request: Generate) -> list[Event]:
    """The same request by our own engine."""
    return double.compute(replace(request, id="ours"))


def test_tokens_are_those_of_our_engine_with_and_without_an_adapter(
    double: VllmDouble, adapter: Path
) -> None:
    for request in (REQUEST, with_adapter(adapter)):
        there, here = ask(double, request), ours(double, request)
        assert ids(there) == ids(here)
        assert (there[-1].reason, there[-1].n_generated) == (here[-1].reason, here[-1].n_generated)  # type: ignore[union-attr]
    assert ids(ours(double, REQUEST)) != ids(ours(double, with_adapter(adapter)))
    assert [body["model"] for body in double.bodies] == ["org/base", "modiste-v1"]
    assert double.bodies[0]["prompt"] == list(IDS)


def test_a_seed_and_ways_of_drawing_go_along(double: VllmDouble) -> None:
    sampling = Sampling(
        temperature=1.3,
        top_p=0.9,
        top_k=20,
        min_p=0.01,
        max_tokens=12,
        seed=5,
        presence_penalty=0.5,
        logit_bias={7: 2.0},
    )
    request = replace(REQUEST, sampling=sampling)
    assert ids(ask(double, request)) == ids(ours(double, request))
    likeliest = replace(REQUEST, sampling=replace(sampling, top_p=0.0))
    assert ids(ask(double, likeliest)) == ids(ours(double, likeliest))
    assert double.bodies[0]["repetition_penalty"] == 1.0


def test_a_stop_token_is_counted_and_never_shown(double: VllmDouble) -> None:
    first = ids(ours(double, replace(REQUEST, stop_ids=frozenset())))[4]
    request = replace(REQUEST, stop_ids=frozenset({first}))
    there = ask(double, request)
    expected = ids(ours(double, request))
    assert ids(there) == expected
    assert first not in expected
    assert there[-1] == Finished("r", FinishReason.STOP, len(expected) + 1)


def test_an_answer_ends_where_the_request_says_and_not_where_the_models_files_do(
    double: VllmDouble,
) -> None:
    endless = replace(REQUEST, stop_ids=frozenset())
    there = ask(double, endless)
    assert 2 in ids(ours(double, endless))
    assert ids(there) == ids(ours(double, endless))
    assert there[-1] == Finished("r", FinishReason.LENGTH, 12)


def test_an_older_server_that_knows_token_strings_alone_is_understood(double: VllmDouble) -> None:
    double.with_token_ids = False
    assert ids(ask(double, REQUEST)) == ids(ours(double, REQUEST))


def test_log_probabilities_of_answer_and_prompt_are_those_of_our_engine(
    double: VllmDouble, adapter: Path
) -> None:
    sampling = replace(GREEDY, logprobs=3)
    request = with_adapter(adapter, sampling=sampling, prompt_logprobs=2)
    there, here = ask(double, request), ours(double, request)
    assert isinstance(there[0], PromptLogprobs)
    assert isinstance(here[0], PromptLogprobs)
    assert there[0].logprobs == here[0].logprobs
    answered = [lp for e in there if isinstance(e, Tokens) for lp in e.logprobs]
    assert answered == [lp for e in here if isinstance(e, Tokens) for lp in e.logprobs]
    assert len(answered[0].top) == 3


def test_a_row_is_scored_as_our_engine_scores_it(double: VllmDouble, adapter: Path) -> None:
    there = run(double, lambda e: e.score(str(adapter), "v1", IDS))
    request = with_adapter(adapter, sampling=replace(GREEDY, max_tokens=1), prompt_logprobs=0)
    (here, *_) = ours(double, request)
    assert isinstance(here, PromptLogprobs)
    assert there == [each.logprob for each in here.logprobs]
    assert len(there) == len(IDS) - 1


def test_an_adapter_is_loaded_once_for_all_who_ask_at_once(
    double: VllmDouble, adapter: Path
) -> None:
    async def many(there: VllmEngine) -> list[list[Event]]:
        requests = [with_adapter(adapter) for _ in range(4)]
        return await asyncio.gather(*(told(there, request) for request in requests))

    answers = run(double, many)
    assert {tuple(ids(answer)) for answer in answers} == {tuple(ids(answers[0]))}
    assert double.loads == [{"lora_name": "modiste-v1", "lora_path": str(adapter)}]


def test_a_name_that_is_there_already_is_the_right_one(double: VllmDouble, adapter: Path) -> None:
    first = ask(double, with_adapter(adapter))
    assert ids(ask(double, with_adapter(adapter))) == ids(first)
    assert len(double.loads) == 2
    assert len(double.weights) == 1


def test_other_bytes_have_another_name_because_a_name_is_cached_for_ever(
    double: VllmDouble, adapter: Path, random_adapter: Callable[..., Path], tmp_path: Path
) -> None:
    folder = tmp_path / "adapter"
    shutil.copytree(adapter, folder)
    old = ids(ask(double, with_adapter(folder, "v1")))
    shutil.rmtree(folder)
    shutil.copytree(random_adapter(TINY, r=4, seed=7), folder)
    assert ids(ask(double, with_adapter(folder, "v1"))) == old
    new = ids(ask(double, with_adapter(folder, "v2")))
    assert new == ids(ours(double, with_adapter(folder, "ours")))
    assert new != old


def test_a_server_that_restarted_gets_its_adapter_again_within_the_request(
    double: VllmDouble, adapter: Path
) -> None:
    async def twice(there: VllmEngine) -> list[list[int]]:
        first = ids(await told(there, with_adapter(adapter)))
        double.restart()
        second = ids(await told(there, with_adapter(adapter)))
        double.restart()
        score = await there.score(str(adapter), "v1", IDS)
        assert len(score) == len(IDS) - 1
        return [first, second]

    first, second = run(double, twice)
    assert first == second
    assert len(double.loads) == 3


def test_nothing_is_ever_unloaded_so_no_copies_pile_up(double: VllmDouble, adapter: Path) -> None:
    """What unloading and loading again would do, shown on the double."""
    ask(double, with_adapter(adapter))
    httpx.post(f"{double.url}/v1/unload_lora_adapter", json={"lora_name": "modiste-v1"})
    ask(double, with_adapter(adapter))
    assert len(double.weights) == 2


@pytest.mark.parametrize(
    ("change", "code", "says"),
    [
        ({"sampling": Sampling(max_tokens=250)}, FailureCode.TOO_LONG, "maximum context length"),
        ({"sampling": Sampling(max_tokens=400)}, FailureCode.TOO_LONG, "max_model_len"),
        ({"adapter": "/nowhere", "adapter_version": "v9"}, FailureCode.INVALID, "adapter_config"),
        ({"adapter": "/x", "adapter_version": "../../etc"}, FailureCode.INVALID, "adapter_version"),
    ],
)
def test_what_is_refused_is_told_with_a_code(
    double: VllmDouble, change: dict[str, Any], code: FailureCode, says: str
) -> None:
    (end,) = ask(double, replace(REQUEST, **change))
    assert isinstance(end, Failed)
    assert (end.code, says in end.message) == (code, True), end.message
    assert [load["lora_name"] for load in double.loads] == []


def test_a_server_without_adapters_or_with_too_small_a_rank_says_how_to_start_it(
    double: VllmDouble, adapter: Path
) -> None:
    double.max_lora_rank = 2
    (end,) = ask(double, with_adapter(adapter))
    assert isinstance(end, Failed)
    assert "--max-lora-rank" in end.message
    double.runtime_updating = False
    (end,) = ask(double, with_adapter(adapter))
    assert isinstance(end, Failed)
    assert "VLLM_ALLOW_RUNTIME_LORA_UPDATING=1" in end.message


def test_a_server_that_is_gone_is_named_and_the_request_may_come_again() -> None:
    gone = VllmDouble.__new__(VllmDouble)
    gone.url = "http://127.0.0.1:1"
    (end,) = ask(gone, REQUEST)
    assert isinstance(end, Failed)
    assert "vLLM at 127.0.0.1:1 cannot be reached" in end.message
    with pytest.raises(UpstreamFailed):
        run(gone, lambda there: there.score(None, None, IDS))


def test_who_leaves_stops_the_request_there(double: VllmDouble) -> None:
    double.pause_s = 0.1
    endless = replace(REQUEST, stop_ids=frozenset())

    async def leave(there: VllmEngine) -> None:
        async with aclosing(there.generate(endless)) as events:
            await anext(events)
        for _ in range(50):
            if double.n_left:
                return
            await asyncio.sleep(0.02)

    run(double, leave)
    assert double.n_left == 1


def test_the_watch_registers_again_what_a_restart_lost_and_reads_the_load(
    double: VllmDouble, adapter: Path
) -> None:
    async def watched(there: VllmEngine) -> None:
        await told(there, with_adapter(adapter))
        double.restart()
        for _ in range(100):
            await asyncio.sleep(0.05)
            if double.names and there.adapters.metrics.running:
                break
        assert set(double.names) == {"modiste-v1"}
        assert there.adapters.n_restarts == 1
        load = there.adapters.metrics
        assert (load.running, load.waiting, load.cache_used, load.max_adapters) == (3, 2, 0.25, 4)
        assert load.waiting_adapters == ("modiste-a", "modiste-b")
        double.healthy = False
        for _ in range(100):
            await asyncio.sleep(0.05)
            if there.adapters.healthy is False:
                return
        raise AssertionError("the watch did not see that the server is ill")

    run(double, watched, watch_s=0.1)


def test_its_key_goes_along_where_it_has_one(double: VllmDouble) -> None:
    from pydantic import SecretStr

    ask(double, REQUEST, key=lambda: SecretStr("sk-1"))
    assert double.headers[0]["authorization"] == "Bearer sk-1"
