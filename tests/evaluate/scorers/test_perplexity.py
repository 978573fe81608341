"""How surprised a model is by the right answer."""

import asyncio
import math
from collections.abc import Sequence

import pytest

from modiste.evaluate.items import Answer, Failure, Item, Likelihood, Prompt, Status, Told
from modiste.evaluate.scorer import told
from modiste.types import Message, Role

PROMPT = Prompt((Message(Role.SYSTEM, "Be brief."), Message(Role.USER, "Capital?")))


class Telling:
    """Half a bit for each byte, two bytes to a token."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, tuple[str, ...]]] = []

    async def likelihoods(
        self, model: str, text: str, continuations: Sequence[str]
    ) -> tuple[Likelihood, ...]:
        self.asked.append((text, tuple(continuations)))
        sizes = [len(one.encode()) for one in continuations]
        return tuple(Likelihood(-n * math.log(2) / 2, n // 2, True) for n in sizes)


def answered(scorer, reference: str) -> tuple[Item, Answer]:
    item = Item(reference, {}, reference)
    return item, Answer(told=asyncio.run(told([scorer], item, PROMPT, "m", Telling())))


def test_the_reference_stands_behind_the_prompt_and_nothing_is_generated(bench) -> None:
    scorer, models = bench("perplexity").scorer, Telling()
    asyncio.run(told([scorer], Item("k", {}, "Bern"), PROMPT, "m", models))
    assert models.asked == [("Be brief.\n\nCapital?", (" Bern",))]
    assert scorer.reads_answer is False
    assert asyncio.run(told([scorer], Item("k", {}), PROMPT, "m", models)) == {}


def test_values_are_nats_per_token_or_bits_per_byte(bench) -> None:
    """A token of two bytes at half a bit each is one bit, log 2 nats; e to that is 2."""
    tokens, per_byte = bench("perplexity"), bench("perplexity", per="byte")
    pairs = [answered(tokens.scorer, reference) for reference in ("abc", "abcdefg", "x")]
    samples = [tokens.sample(item, answer) for item, answer in pairs]
    metrics = tokens.metrics(samples)
    assert metrics["mean"].estimate.value == pytest.approx(math.log(2))
    assert metrics["perplexity"].estimate.value == pytest.approx(2)
    assert (metrics["mean"].unit, metrics["mean"].higher_is_better) == ("nats/token", False)
    metrics = per_byte.metrics([per_byte.sample(item, answer) for item, answer in pairs])
    assert metrics["corpus"].estimate.value == pytest.approx(0.5)
    assert metrics["corpus"].unit == "bits/byte"


def test_a_model_that_tells_nothing_is_a_failure(bench) -> None:
    bare = bench("perplexity")
    refused = Answer(told={"perplexity": Told(failure=Failure("not_supported", "no echo"))})
    assert bare.score(refused, "Bern").status is Status.ERROR
    assert bare.score(Answer(), "Bern").status is Status.SKIPPED
    assert bare.score(Answer(), None).status is Status.SKIPPED
