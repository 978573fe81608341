"""What answers take: `latency`, `tokens`, `cost`.

Nothing here is good or bad by itself, so there is no pass rule; lower is better. A request that
failed has no latency and is never averaged in: it is counted as unscored. Latencies are of the
run's own load; its concurrency stands in its record.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from modiste.evaluate.items import Answer, Item, Prompt, Sample, Score, Status, scored, unscored
from modiste.evaluate.metric import Metric, figure, mean_metric, score_of
from modiste.evaluate.scorer import Check
from modiste.evaluate.spec import Spec
from modiste.evaluate.stats.bootstrap import interval_of_draws
from modiste.evaluate.stats.columns import Floats, coded
from modiste.evaluate.stats.estimates import Estimate

QUANTILES = {"p50": 0.50, "p90": 0.90, "p95": 0.95, "p99": 0.99}
DRAWS, AT_ONCE, SEED = 2_000, 250, 0
FEW_BEYOND = 5
"""With fewer answers beyond a quantile its interval is the largest values seen, and no more."""


class Latency(Check):
    """Seconds to the last token, and of a streamed answer to the first (`ttft`): p50, p90, p95 and
    p99 with bootstrap intervals over items, and tokens per second behind the first."""

    higher_is_better = False
    scale: tuple[float, float] | None = None
    unit = "s"

    def shape(self, prompt: Prompt) -> Prompt:
        return replace(prompt, stream=True)

    def look(self, item: Item, answer: Answer) -> Score:
        if answer.latency_s <= 0:
            return unscored(Status.SKIPPED, "the answer was not timed")
        detail: dict[str, Any] = {} if answer.ttft_s is None else {"ttft_s": answer.ttft_s}
        behind = answer.latency_s - (answer.ttft_s or 0.0)
        if answer.ttft_s is not None and answer.completion_tokens > 1 and behind > 0:
            detail["tokens_per_s"] = (answer.completion_tokens - 1) / behind
        return scored(answer.latency_s, **detail)

    def metrics(self, samples: Sequence[Sample]) -> tuple[Metric, ...]:
        def first(sample: Sample) -> float | None:
            score = score_of(self.name, sample)
            return None if score is None else score.detail.get("ttft_s")

        def total(sample: Sample) -> float | None:
            score = score_of(self.name, sample)
            return None if score is None else score.value

        def speed(sample: Sample) -> float | None:
            score = score_of(self.name, sample)
            return None if score is None else score.detail.get("tokens_per_s")

        rate = figure(self, samples, speed, name="tokens_per_s")
        return (
            *self._quantiles(samples, total, ""),
            *self._quantiles(samples, first, "ttft_"),
            replace(rate, higher_is_better=True, unit="tokens/s"),
        )

    def _quantiles(
        self, samples: Sequence[Sample], of: Callable[[Sample], float | None], prefix: str
    ) -> list[Metric]:
        having = [(sample, value) for sample in samples if (value := of(sample)) is not None]
        column = [value for _, value in having]
        units = [sample.item.cluster or f"item:{sample.item.key}" for sample, _ in having]
        missing = len(samples) - len(having)
        if len(set(units)) < 2:
            return [self._quantile(prefix + name, None, missing) for name in QUANTILES]
        drawn = drawn_quantiles(column, units, tuple(QUANTILES.values()))
        made = []
        for at, (name, share) in enumerate(QUANTILES.items()):
            beyond = int(len(column) * (1 - share))
            few = f"of {len(column)} answers {beyond} lie beyond it: a rough guess"
            estimate = interval_of_draws(
                quantile(column, share), drawn[:, at], items=len(column), seed=SEED,
                n_clusters=len(set(units)), n_unscored=missing,
            )  # fmt: skip
            notes = (few,) if beyond < FEW_BEYOND else ()
            made.append(self._quantile(prefix + name, estimate, missing, notes))
        return made

    def _quantile(
        self, name: str, estimate: Estimate | None, n_unscored: int, notes: tuple[str, ...] = ()
    ) -> Metric:
        return Metric(
            self.name, name, estimate, n_unscored, higher_is_better=False, unit="s", notes=notes
        )


def quantile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` of all do not exceed."""
    return float(np.quantile(values, share, method="inverted_cdf"))


def drawn_quantiles(
    values: Sequence[float], units: Sequence[str], shares: Sequence[float]
) -> Floats:
    """(DRAWS, shares): the same of whole units drawn again."""
    order = np.argsort(values, kind="stable")
    ranked, codes = np.asarray(values)[order], coded(units).codes[order]
    n, rng = int(codes.max()) + 1, np.random.default_rng(SEED)
    found = np.empty((DRAWS, len(shares)))
    for start in range(0, DRAWS, AT_ONCE):
        size = min(AT_ONCE, DRAWS - start)
        picked = rng.integers(0, n, (size, n)) + n * np.arange(size)[:, None]
        often = np.bincount(picked.ravel(), minlength=size * n).reshape(size, n)
        below = often[:, codes].cumsum(axis=1)
        for at, share in enumerate(shares):
            reached = below >= share * below[:, -1:]
            found[start : start + size, at] = ranked[reached.argmax(axis=1)]
    return found


class Tokens(Check):
    """Tokens of an answer; of its prompt, and of both together, as metrics of their own."""

    higher_is_better = False
    scale: tuple[float, float] | None = None
    unit = "tokens"

    def look(self, item: Item, answer: Answer) -> Score:
        if answer.n_tokens == 0:
            return unscored(Status.SKIPPED, "the answer tells no tokens")
        return scored(answer.completion_tokens, prompt_tokens=answer.prompt_tokens)

    def metrics(self, samples: Sequence[Sample]) -> tuple[Metric, ...]:
        def prompt(sample: Sample) -> float | None:
            score = score_of(self.name, sample)
            return None if score is None else score.detail["prompt_tokens"]

        def both(sample: Sample) -> float | None:
            score = score_of(self.name, sample)
            return None if score is None else score.detail["prompt_tokens"] + (score.value or 0)

        return (
            mean_metric(self, samples, name="completion"),
            figure(self, samples, prompt, name="prompt"),
            figure(self, samples, both, name="total"),
        )


class Cost(Check):
    """Micro-units of the server's currency for 1,000 requests."""

    higher_is_better = False
    scale: tuple[float, float] | None = None
    unit = "micro"

    def look(self, item: Item, answer: Answer) -> Score:
        if answer.cost_micro is None:
            return unscored(Status.SKIPPED, "no price is known for this model")
        return scored(answer.cost_micro)

    def metrics(self, samples: Sequence[Sample]) -> tuple[Metric, ...]:
        def of_thousand(sample: Sample) -> float | None:
            score = score_of(self.name, sample)
            return None if score is None else 1_000 * (score.value or 0.0)

        return (figure(self, samples, of_thousand, name="per_1000_requests"),)


class LatencySpec(Spec):
    kind: Literal["latency"] = "latency"
    name: str = "latency"

    def build(self) -> Latency:
        return Latency(self.name, self.config)


class TokensSpec(Spec):
    kind: Literal["tokens"] = "tokens"
    name: str = "tokens"

    def build(self) -> Tokens:
        return Tokens(self.name, self.config)


class CostSpec(Spec):
    kind: Literal["cost"] = "cost"
    name: str = "cost"

    def build(self) -> Cost:
        return Cost(self.name, self.config)
