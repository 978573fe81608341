"""Runs whose scores a test writes down, as the runner would have left them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from modiste.evaluate.items import Answer, Failure, Item, Sample, Score, Status, scored, unscored
from modiste.evaluate.metric import Metric, estimate_of, item_means
from modiste.evaluate.record import Record, Run
from modiste.types import Message, Role

Value = float | None | Score

RECORD = Record(
    run_id="evrun_a",
    suite="support",
    subject="tuned",
    model="ft:tiny:org:20261130:a",
    model_id="ft:tiny:org:20261130:a",
    model_version="sha256:aaaa",
    dataset_sha256="d" * 64,
    n_items=0,
    prompt_sha256="p" * 64,
    attempts=1,
    sampling={"temperature": 0.0, "max_tokens": 64, "seed": 0},
    scorers={"exact": "id-exact"},
    primary="exact.mean",
    code_version="0.1.0",
    started_at=datetime(2026, 11, 30, 8, tzinfo=UTC),
    finished_at=datetime(2026, 11, 30, 8, 5, tzinfo=UTC),
    parity_passed=True,
    concurrency=8,
)


def item(at: int, **changes: Any) -> Item:
    asked = {"question": f"Question {at}?", "answer": f"right {at}"}
    return replace(Item(f"item-{at:05}", asked, reference=f"right {at}"), **changes)


def sample(
    of: Item,
    scores: Mapping[str, Value],
    *,
    attempt: int = 0,
    text: str = "an answer",
    latency_s: float = 0.5,
    cost_micro: int | None = 20,
    failure: Failure | None = None,
) -> Sample:
    graded = {
        name: value if isinstance(value, Score) else _score(value) for name, value in scores.items()
    }
    answer = Answer(
        text=text, prompt_tokens=30, completion_tokens=10, latency_s=latency_s,
        cost_micro=cost_micro, failure=failure,
    )  # fmt: skip
    prompt = (Message(Role.USER, str(of.row["question"])),)
    return Sample(of, attempt, prompt, answer, graded)


def _score(value: float | None) -> Score:
    if value is None:
        return unscored(Status.PARSE_FAILED, "the judge said nothing readable")
    return scored(value, reason="as the test says")


def run(
    name: str,
    scores: Mapping[str, Sequence[Value]],
    *,
    items: Callable[[int], Item] = item,
    record: Mapping[str, Any] | None = None,
    higher_is_better: bool = True,
    unit: str = "share",
    **answer: Any,
) -> Run:
    """`run("a", {"exact": [1, 0, None]})`: one item per value, one attempt each."""
    n = len(next(iter(scores.values())))
    samples = [
        sample(items(at), {scorer: values[at] for scorer, values in scores.items()}, **answer)
        for at in range(n)
    ]
    return run_of(
        name, samples, tuple(scores), record=record, higher_is_better=higher_is_better, unit=unit
    )


def run_of(
    name: str,
    samples: Sequence[Sample],
    scorers: Sequence[str],
    *,
    record: Mapping[str, Any] | None = None,
    higher_is_better: bool = True,
    unit: str = "share",
) -> Run:
    described = replace(
        RECORD,
        run_id=f"evrun_{name}",
        subject=name,
        model=f"ft:{name}",
        model_id=f"ft:{name}",
        model_version=f"sha256:{name}",
        n_items=len({each.item.key for each in samples}),
        scorers={scorer: f"id-{scorer}" for scorer in scorers},
        primary=f"{scorers[0]}.mean",
        **(record or {}),
    )
    metrics = []
    for scorer in scorers:
        found = item_means(scorer, samples)
        scale = (0.0, 1.0) if unit == "share" else None
        metrics.append(
            Metric(
                scorer, "mean", estimate_of(found, scale=scale), found.n_unscored,
                higher_is_better, unit,
            )
        )  # fmt: skip
    return Run(described, samples, metrics)


def shares(n: int, right: int) -> list[float]:
    """`right` of `n` items right, the first ones."""
    return [1.0] * right + [0.0] * (n - right)
