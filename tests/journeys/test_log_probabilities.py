"""What `/v1/completions` tells of tokens is what transformers computes for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

import modiste

TINY = Path(modiste.__file__).parent / "bases" / "tiny"
TEXT = "The Senate met on Monday to speak of 12 new roads, naïve as it was, and of the"


def reference(ids: list[int], *, n_more: int) -> tuple[list[int], Any]:
    """The prompt with its greedy continuation, and the log-probabilities (T, V) of what follows
    each token."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(TINY, dtype=torch.float32)
    with torch.inference_mode():
        for _ in range(n_more):
            ids = [*ids, int(model(torch.tensor([ids])).logits[0, -1].argmax())]
        return ids, torch.log_softmax(model(torch.tensor([ids])).logits[0], -1)


def test_prompt_and_answer_have_the_log_probabilities_of_transformers(
    request: pytest.FixtureRequest,
) -> None:
    served = request.getfixturevalue("served")
    headers = {"authorization": f"Bearer {served.key}"}
    with httpx.Client(base_url=served.url, headers=headers, timeout=60) as http:
        asked = {"model": "modiste-tiny", "prompt": TEXT}
        prompt = http.post("/v1/tokenize", json=asked).json()["tokens"]
        body = {**asked, "prompt": [prompt, prompt], "temperature": 0, "echo": True}
        answer = http.post("/v1/completions", json={**body, "logprobs": 5, "max_tokens": 8})
        first, second = answer.json()["choices"]
        ids, expected = reference(prompt, n_more=8)
        text = http.post("/v1/detokenize", json={"model": "modiste-tiny", "tokens": ids}).json()
    assert first["logprobs"] == second["logprobs"]
    assert first["text"] == text["prompt"]
    told = first["logprobs"]
    assert len(told["tokens"]) == len(ids)
    assert told["token_logprobs"][0] is told["top_logprobs"][0] is None
    # float32 on both sides; sums in another order differ by less than this.
    for at, token in enumerate(ids[1:]):
        assert told["token_logprobs"][at + 1] == pytest.approx(float(expected[at, token]), abs=1e-4)
        likeliest = sorted(told["top_logprobs"][at + 1].values(), reverse=True)[:5]
        assert likeliest == pytest.approx(expected[at].topk(5).values.tolist(), abs=1e-4)
    for at in range(len(prompt), len(ids)):
        assert told["token_logprobs"][at] == max(told["top_logprobs"][at].values())
