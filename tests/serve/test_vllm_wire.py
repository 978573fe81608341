"""What vLLM is asked and what it says: explicit in all it draws with, strict in what it reads."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from modiste.errors import NotYetSupported, UpstreamFailed
from modiste.serve import vllm_wire
from modiste.serve.sequence import (
    Finished,
    FinishReason,
    Generate,
    Grammar,
    GrammarKind,
    Logprob,
    Sampling,
    Tokens,
)
from modiste.serve.vllm_wire import Metrics, Reader

REQUEST = Generate("r", "/b", (1, 5), stop_ids=frozenset({2, 3}), sampling=Sampling(max_tokens=4))


def chunk(ids: list[int] | None, reason: str | None = None, **choice: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "token_ids": ids, "finish_reason": reason, **choice}]}


def test_everything_that_decides_the_draw_is_said() -> None:
    body = vllm_wire.completion(REQUEST, "m")
    explicit = {"temperature", "top_p", "top_k", "min_p", "repetition_penalty", "max_tokens"}
    assert explicit <= set(body)
    assert (body["model"], body["prompt"], body["stop_token_ids"]) == ("m", [1, 5], [2, 3])
    assert "seed" not in body
    assert body["ignore_eos"] is True
    seeded = replace(REQUEST, sampling=Sampling(max_tokens=1, seed=2**64 - 1, top_p=0.0))
    body = vllm_wire.completion(seeded, "m")
    assert body["seed"] == 2**63 - 1
    assert 0 < body["top_p"] <= 1e-6


def test_schemas_and_expressions_go_along_and_grammars_of_token_ids_are_refused() -> None:
    schema = replace(REQUEST, grammar=Grammar(GrammarKind.JSON_SCHEMA, '{"type": "object"}'))
    told = vllm_wire.completion(schema, "m")["structured_outputs"]
    assert told == {"json": {"type": "object"}}
    ours = Grammar(GrammarKind.LARK, "start: <[5]>", schema='{"type": "object"}')
    assert vllm_wire.completion(replace(REQUEST, grammar=ours), "m")["structured_outputs"] == told
    regex = replace(REQUEST, grammar=Grammar(GrammarKind.REGEX, "a+"))
    assert vllm_wire.completion(regex, "m")["structured_outputs"] == {"regex": "a+"}
    for grammar in (
        Grammar(GrammarKind.LARK, "x"),
        Grammar(GrammarKind.REGEX, "a", after=7),
        Grammar(GrammarKind.REGEX, "ab", begun="a"),
    ):
        with pytest.raises(NotYetSupported, match="not passed on to vLLM"):
            vllm_wire.completion(replace(REQUEST, grammar=grammar), "m")


def test_a_way_of_drawing_that_has_no_word_there_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(vllm_wire, "SAID", vllm_wire.SAID - {"min_p"})
    vllm_wire.completion(REQUEST, "m")
    with pytest.raises(NotYetSupported, match="min_p"):
        vllm_wire.completion(replace(REQUEST, sampling=Sampling(max_tokens=1, min_p=0.1)), "m")


def test_chunks_become_tokens_and_an_end() -> None:
    reader = Reader(REQUEST)
    told = [*reader.events(chunk([7])), *reader.events(chunk([8, 2], "stop"))]
    usage = {"choices": [], "usage": {"prompt_tokens_details": {"cached_tokens": 16}}}
    assert list(reader.events(usage)) == []
    assert told == [Tokens("r", (7,)), Tokens("r", (8,))]
    assert reader.finished() == Finished("r", FinishReason.STOP, 3, 16)
    aborted = Reader(REQUEST)
    list(aborted.events(chunk([7], "abort")))
    assert aborted.finished().reason is FinishReason.CANCELLED


def test_token_strings_and_their_log_probabilities_are_read() -> None:
    reader = Reader(replace(REQUEST, sampling=Sampling(max_tokens=4, logprobs=1)))
    logprobs = {
        "tokens": ["token_id:7"],
        "token_logprobs": [-1.5],
        "top_logprobs": [{"token_id:7": -1.5, "token_id:9": -0.5}],
    }
    (told,) = reader.events(chunk(None, logprobs=logprobs))
    assert told == Tokens("r", (7,), (Logprob(-1.5, ((9, -0.5),)),))


@pytest.mark.parametrize(
    "odd",
    [
        chunk(None, text="hi", logprobs=None),
        chunk(["7"]),  # type: ignore[list-item]
        chunk(None, logprobs={"tokens": ["hi"], "token_logprobs": [0.0]}),
    ],
)
def test_an_answer_that_is_not_in_ids_is_refused(odd: dict[str, Any]) -> None:
    with pytest.raises(UpstreamFailed):
        list(Reader(REQUEST).events(odd))


def test_a_stream_without_a_reason_has_no_end() -> None:
    with pytest.raises(UpstreamFailed, match="without a reason"):
        Reader(REQUEST).finished()


def test_log_probabilities_of_a_prompt_are_those_of_its_own_tokens() -> None:
    entry = {"5": {"logprob": -2.0, "rank": 3}, "9": {"logprob": -0.1, "rank": 1}}
    answer = {"choices": [{"prompt_logprobs": [None, entry]}]}
    assert vllm_wire.prompt_logprobs(answer, (1, 5), 1) == [Logprob(-2.0, ((9, -0.1),))]
    for odd in (
        {"choices": []},
        {"choices": [{"prompt_logprobs": None}]},
        {"choices": [{"prompt_logprobs": [None]}]},
        {"choices": [{"prompt_logprobs": [None, {"9": {"logprob": -0.1}}]}]},
    ):
        with pytest.raises(UpstreamFailed, match="no log-probabilities"):
            vllm_wire.prompt_logprobs(odd, (1, 5))


def test_metrics_are_read_and_what_is_missing_counts_as_nothing() -> None:
    assert vllm_wire.metrics("# nothing\npython_gc 3\n") == Metrics()
    text = (
        'vllm:num_requests_running{engine="0"} 1.0\nvllm:num_requests_running{engine="1"} 2.0\n'
        'vllm:lora_requests_info{max_lora="8",waiting_lora_adapters=""} 1.7e+09\n'
    )
    assert vllm_wire.metrics(text) == Metrics(running=3, max_adapters=8)
