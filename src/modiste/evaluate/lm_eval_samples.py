"""One document as lm-evaluation-harness asked and graded it becomes a sample of ours.

A document is an item, known by its place in the dataset. Of a choice, the answer is the likeliest
continuation, and how likely each one is stands in the scores' detail. What the harness has no
number for is an error, not a zero. It does not tell how long an answer took, nor its tokens.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from math import isfinite
from typing import Any, NamedTuple

from modiste.evaluate.items import Answer, Item, Sample, Score, Status, scored, unscored
from modiste.types import Message, Role

Json = dict[str, Any]
HARNESS = "lm-eval"
NO_FILTER = "none"
CHOICES = "multiple_choice"


class MetricName(NamedTuple):
    """As the harness tells metrics apart."""

    metric: str
    filter: str

    @property
    def scorer(self) -> str:
        name = self.metric if self.filter == NO_FILTER else f"{self.metric}-{self.filter}"
        return re.sub(r"[^A-Za-z0-9_-]+", "-", name).strip("-_")[:64]

    @property
    def key(self) -> str:
        return f"{self.metric},{self.filter}"


def samples_of(
    config: Json,
    task: str,
    rows: Mapping[str, Sequence[Json]],
    metrics: Sequence[MetricName],
    *,
    several: bool,
) -> Iterator[Sample]:
    """One per document.

    Args:
        config: the task's.
        rows: by filter, a row per document.
        metrics: those to keep.
        several: other tasks are in the same run.
    """
    kind = config.get("output_type")
    docs: dict[int, dict[str, Json]] = {}
    for filter_, its in rows.items():
        for row in its:
            docs.setdefault(int(row["doc_id"]), {})[filter_] = row
    for doc_id, by_filter in docs.items():
        first = next(iter(by_filter.values()))
        doc = first["doc"]
        said, detail = _said(first, kind)
        yield Sample(
            item=Item(
                key=f"{task}/{doc_id}" if several else str(doc_id),
                row=doc if isinstance(doc, dict) else {"doc": doc},
                reference=first.get("target"),
                slices={"task": task} if several else {},
            ),
            attempt=0,
            prompt=_messages(first),
            answer=Answer(text=said),
            scores={
                metric.scorer: _score(by_filter.get(metric.filter), metric, kind, detail)
                for metric in metrics
            },
        )


def _score(row: Json | None, metric: MetricName, kind: Any, detail: Json) -> Score:
    value = None if row is None else row.get(metric.metric)
    if row is None or not isinstance(value, int | float) or not isfinite(value):
        return unscored(Status.ERROR, f"{HARNESS} has {value!r} for this document", **detail)
    read_as = row.get("filtered_resps") or [None]
    label = read_as[0] if kind == "generate_until" and isinstance(read_as[0], str) else None
    return scored(float(value), label=label, **detail)


def _said(row: Json, kind: Any) -> tuple[str, Json]:
    """What the model said or chose, and what else there is to see."""
    asked = [row["arguments"][name] for name in sorted(row["arguments"], key=_number_in)]
    got = row["resps"]
    if kind == "generate_until":
        texts = [str(each) for each in got[0]] if isinstance(got[0], list) else [str(got[0])]
        return texts[0], {"repeats": texts} if len(texts) > 1 else {}
    if kind not in (CHOICES, "loglikelihood"):
        return "", {}
    likely = [
        (str(arguments["arg_1"]), float(answer[0][0]))
        for arguments, answer in zip(asked, got, strict=True)
        if arguments["arg_0"] == asked[0]["arg_0"]
    ]
    best = max(likely, key=lambda each: each[1])[0].strip() if kind == CHOICES else ""
    return best, {"logprobs": likely}


def _number_in(name: str) -> int:
    return int(name.rsplit("_", 1)[-1])


def _messages(row: Json) -> tuple[Message, ...]:
    """The prompt as it was sent: a chat's messages, or plain text as one."""
    first = row["arguments"].get("gen_args_0", {}).get("arg_0", "")
    if isinstance(first, list) and len(first) == 1 and isinstance(first[0], str):
        chat = json.loads(first[0])
        return tuple(Message(Role(turn["role"]), str(turn["content"])) for turn in chat)
    return (Message(Role.USER, str(first)),)
