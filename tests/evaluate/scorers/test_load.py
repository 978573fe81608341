"""What answers take."""

import pytest

from modiste.evaluate.items import Answer, Failure, Item, Prompt, Status
from modiste.evaluate.scorer import shaped
from modiste.types import Message, Role


def timed(latency_s: float, ttft_s: float | None = None, tokens: int = 11) -> Answer:
    return Answer("x", latency_s=latency_s, ttft_s=ttft_s, completion_tokens=tokens)


def test_latency_asks_for_streams_and_tells_quantiles_in_seconds(bench) -> None:
    """1 … 200 hundredths: at least so many are not slower."""
    latency = bench("latency")
    assert shaped([latency.scorer], Prompt((Message(Role.USER, "x"),))).stream
    answers = [timed(at / 100, at / 200) for at in range(1, 201)]
    samples = [latency.sample(Item(f"i{at}", {}), one) for at, one in enumerate(answers)]
    metrics = latency.metrics(samples)
    assert metrics["p50"].estimate.value == pytest.approx(1.0)
    assert metrics["p95"].estimate.value == pytest.approx(1.9)
    assert metrics["ttft_p50"].estimate.value == pytest.approx(0.5)
    assert metrics["p90"].estimate.ci.lo < 1.80 < metrics["p90"].estimate.ci.hi
    assert (metrics["p50"].unit, metrics["p50"].higher_is_better) == ("s", False)
    assert metrics["p99"].notes == ("of 200 answers 2 lie beyond it: a rough guess",)
    assert metrics["p50"].notes == ()
    assert next(iter(metrics)) == "p50"


def test_failures_are_counted_and_never_averaged(bench) -> None:
    latency = bench("latency")
    failed = Answer(latency_s=60, failure=Failure("timeout", "too late"))
    samples = [
        latency.sample(Item(f"i{at}", {}), one)
        for at, one in enumerate([timed(1), timed(1), timed(2), failed])
    ]
    p50 = latency.metrics(samples)["p50"]
    assert (p50.estimate.value, p50.estimate.n, p50.n_unscored) == (1, 3, 1)


def test_speed_is_of_the_tokens_behind_the_first(bench) -> None:
    latency = bench("latency")
    samples = [latency.sample(Item(f"i{at}", {}), timed(3, 1, 11)) for at in range(2)]
    rate = latency.metrics(samples)["tokens_per_s"]
    assert (rate.estimate.value, rate.unit, rate.higher_is_better) == (5, "tokens/s", True)
    whole = [latency.sample(Item(f"i{at}", {}), timed(3)) for at in range(2)]
    assert latency.metrics(whole)["ttft_p50"].estimate is None


def test_tokens_and_cost_have_their_units(bench) -> None:
    tokens, cost = bench("tokens"), bench("cost")
    answer = Answer("x", prompt_tokens=100, completion_tokens=7, cost_micro=30)
    dear = Answer("x", prompt_tokens=200, completion_tokens=9, cost_micro=50)
    pairs = [(Item("a", {}), answer), (Item("b", {}), dear)]
    metrics = tokens.metrics([tokens.sample(item, said) for item, said in pairs])
    values = {name: metric.estimate.value for name, metric in metrics.items()}
    assert values == {"completion": 8, "prompt": 150, "total": 158}
    (spent,) = cost.scorer.metrics([cost.sample(item, said) for item, said in pairs])
    assert (spent.id, spent.estimate.value, spent.unit) == (
        "cost.per_1000_requests",
        40_000,
        "micro",
    )
    assert cost.score(Answer("x")).status is Status.SKIPPED
    assert tokens.score(Answer("x")).status is Status.SKIPPED


def test_attempts_at_one_item_do_not_narrow_the_interval(bench) -> None:
    latency = bench("latency")
    once = [latency.sample(Item(f"i{at}", {}), timed(1 + at % 7)) for at in range(50)]
    thrice = [
        latency.sample(sample.item, sample.answer, attempt)
        for attempt in range(3)
        for sample in once
    ]
    one, three = (latency.metrics(s)["p90"].estimate for s in (once, thrice))
    assert (one.ci.lo, one.ci.hi) == (three.ci.lo, three.ci.hi)
    assert (one.n_clusters, three.n_clusters, three.n) == (50, 50, 150)
