"""Parts that the pages of runs and of comparisons share. Whatever a model wrote is escaped here."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from modiste.evaluate.items import Answer, Item, Sample, Score, Status
from modiste.evaluate.record import Record
from modiste.prepare.charts import number
from modiste.prepare.report_preview import visible
from modiste.types import Message

MOST_LETTERS = 4_000
"""Of one text; what is left out is counted."""
UNITS: Mapping[str, tuple[float, str]] = {"share": (100.0, " %")}


def shown(value: float | None, unit: str) -> str:
    """A figure as people read it."""
    if value is None:
        return "–"
    factor, sign = UNITS.get(unit, (1.0, f" {unit}" if unit else ""))
    digits = f"{value * factor:.1f}" if unit == "share" else f"{value * factor:,.4g}"
    return f"{digits}{sign}".replace("-", "−")


def text(value: object) -> str:
    """Safe to stand on a page, in full up to `MOST_LETTERS`."""
    whole = str(value)
    rest = len(whole) - MOST_LETTERS
    if rest <= 0:
        return escape(visible(whole))
    cut = escape(visible(whole[:MOST_LETTERS]))
    return f'{cut}<span class="gap">… {number(rest)} more letters</span>'


def pill(kind: str, said: str) -> str:
    return f'<span class="pill {kind}">{escape(said)}</span>'


def tiles(facts: Iterable[tuple[str, str]]) -> str:
    drawn = "".join(
        f'<div class="tile"><b>{escape(value)}</b><span>{escape(name)}</span></div>'
        for name, value in facts
    )
    return f'<div class="tiles">{drawn}</div>'


def alarm(kind: str, said: str) -> str:
    return f'<div class="alarm {kind}">{escape(said)}</div>'


def card(title: str, body: str, *, under: str = "") -> str:
    below = f'<p class="soft small">{escape(under)}</p>' if under else ""
    return f'<section class="card"><h2>{escape(title)}</h2>{below}{body}</section>'


def conversation(messages: Sequence[Message]) -> str:
    return "".join(turn(str(m.role), m.content or _calls_of(m)) for m in messages)


def turn(who: str, said: object, *, kind: str = "") -> str:
    return (
        f'<div class="turn {kind}"><b>{escape(who)}</b><div class="said">{text(said)}</div></div>'
    )


def answer_turn(answer: Answer, *, who: str = "answer") -> str:
    if answer.failure is not None:
        said = f"{answer.failure.code}: {answer.failure.message}"
        return turn(f"{who}: none", said, kind="failure")
    ends = "" if answer.finish == "stop" else f", ended by {answer.finish}"
    return turn(f"{who}{ends}", said_in(answer), kind="answer")


def said_in(answer: Answer) -> str:
    calls = [f"{call.name}({call.arguments})" for call in answer.calls]
    return "\n".join(filter(None, (answer.text, *calls)))


def reference_turn(item: Item) -> str:
    if item.reference is None:
        return ""
    right = item.reference
    said = right if isinstance(right, str) else json.dumps(right, ensure_ascii=False, default=str)
    return turn("reference", said, kind="reference")


def scores_list(scores: Mapping[str, Score]) -> str:
    """Every scorer's value and reason; what a judge said on demand."""
    rows = "".join(_score(name, score) for name, score in scores.items())
    return f'<div class="scores">{rows}</div>'


def _score(name: str, score: Score) -> str:
    read = f'<span class="soft">read as <code>{text(score.label)}</code></span>'
    return (
        f'<div class="score"><b>{escape(name)}</b>{score_pill(score)}'
        f'{read if score.label else ""}<span class="why">{text(score.reason)}</span>'
        f"{_detail(score)}</div>"
    )


def score_pill(score: Score | None) -> str:
    if score is None:
        return pill("plain", "no score")
    if score.value is None:
        return pill("warning", str(score.status).replace("_", " "))
    return pill("plain", f"{score.value:.4g}")


def sample_body(sample: Sample) -> str:
    """Prompt, answer, reference, scores."""
    answer = sample.answer
    took = [f"{answer.latency_s:.2f} s"] if answer.latency_s else []
    took += [f"{number(answer.n_tokens)} tokens"] if answer.n_tokens else []
    told = ", ".join([*took, f"attempt {sample.attempt + 1}"])
    return (
        f'<div class="item">{conversation(sample.prompt)}{answer_turn(sample.answer)}'
        f"{reference_turn(sample.item)}{scores_list(sample.scores)}"
        f'<p class="soft small">{escape(told)}</p></div>'
    )


def folded(summary: str, body: str) -> str:
    """
    Args:
        summary, body: HTML.
    """
    return f"<details><summary>{summary}</summary>{body}</details>"


def first_words(sample: Sample, most: int = 140) -> str:
    """What the user asked last, in one line."""
    asked = next((m.content for m in reversed(sample.prompt) if m.role == "user"), None)
    line = " ".join((asked or sample.item.key).split())
    return line if len(line) <= most else f"{line[:most]}…"


def record_table(records: Sequence[Record], names: Sequence[str]) -> str:
    """What runs rest on, side by side."""
    rows = [
        ("run", [r.run_id for r in records]),
        ("suite", [r.suite for r in records]),
        ("model", [f"{r.subject}: {r.model_id}" for r in records]),
        ("weights", [r.model_version for r in records]),
        ("items", [f"{r.n_items} × {r.attempts}" for r in records]),
        ("data", [r.dataset_sha256[:16] for r in records]),
        ("prompt", [r.prompt_sha256[:16] for r in records]),
        ("sampling", [_listed(r.sampling) for r in records]),
        ("scorers", [_listed(r.scorers) for r in records]),
        ("requests at a time", [str(r.concurrency) for r in records]),
        ("parity", [_parity(r.parity_passed) for r in records]),
        ("began", [f"{r.started_at:%Y-%m-%d %H:%M} UTC" for r in records]),
        ("Modiste", [r.code_version for r in records]),
    ]
    rows += [(name, [str(r.details.get(name, "")) for r in records]) for name in _details(records)]
    head = "".join(f"<th>{escape(name)}</th>" for name in ("", *names))
    body = "".join(
        f"<tr><td>{escape(name)}</td>{''.join(f'<td>{text(v)}</td>' for v in values)}</tr>"
        for name, values in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def statuses(samples: Iterable[Sample], scorer: str) -> dict[str, int]:
    """How many attempts have no score, by why."""
    found: dict[str, int] = {}
    for sample in samples:
        score = sample.scores.get(scorer)
        status = "missing" if score is None else str(score.status)
        if status != Status.SCORED:
            found[status] = found.get(status, 0) + 1
    return found


def _detail(score: Score) -> str:
    if not score.detail:
        return ""
    written = json.dumps(score.detail, ensure_ascii=False, indent=2, default=str)
    body = f'<pre class="transcript">{text(_unfolded(written))}</pre>'
    return folded('<span class="soft small">transcript</span>', body)


def _unfolded(written: str) -> str:
    """Line ends within texts as such: a transcript is there to be read."""
    return written.replace("\\n", "\n").replace('\\"', '"')


def _calls_of(message: Message) -> str:
    return "\n".join(f"{call.name}({call.arguments})" for call in message.tool_calls)


def _listed(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())


def _parity(passed: bool | None) -> str:
    return {True: "passed", False: "failed", None: "needs none"}[passed]


def _details(records: Sequence[Record]) -> list[str]:
    return sorted({str(name) for record in records for name in record.details})
