"""The mask preview as a part of the HTML report: trained text marked, control tokens visible."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from modiste.prepare.charts import number, percent

Json = Mapping[str, Any]

FOLDED_LETTERS, FOLDED_LINES = 1_000, 14
LEGEND = (
    '<div class="legend"><span><span class="t">trained</span></span><span>not trained</span>'
    '<span><span class="c">control token</span></span>'
    '<span><span class="o">over length</span></span></div>'
)


def preview_section(preview: Json) -> str:
    shown = len({sample["line"] for sample in preview["samples"]})
    drawn = f"{number(preview['rows'])} rows" if preview["whole_file"] else ""
    drawn = drawn or f"the first {number(preview['rows'])} rows"
    alarms = "".join(map(_alarm, preview["alarms"]))
    samples = "".join(map(_sample, preview["samples"]))
    tokens = f" Tokens of {escape(preview['tokens_of'])}." if preview.get("tokens_of") else ""
    return (
        f'<h3>What is trained</h3><p class="soft small">{shown} of {drawn}, drawn with seed '
        f"{preview['seed']}; the longest is among them.{tokens}</p>{alarms}{LEGEND}{samples}"
    )


def _alarm(alarm: Json) -> str:
    where = "" if alarm["line"] is None else f"<b>Line {number(alarm['line'])}:</b> "
    hint = f' <span class="soft">→ {escape(alarm["hint"])}</span>' if alarm.get("hint") else ""
    said = escape(alarm["message"])
    return f'<div class="alarm {escape(alarm["severity"])}">{where}{said}.{hint}</div>'


def _sample(sample: Json) -> str:
    counts = sample["counts"]
    where = [f"<b>Line {number(sample['line'])}</b>"]
    if sample["parts"] > 1:
        where.append(f"sequence {sample['part']} of {sample['parts']}")
    if sample.get("answer"):
        where.append(f"{escape(sample['answer'])} answer")
    if sample["picked"] == "longest":
        where.append("the longest row")
    share = counts["trained"] / counts["tokens"] if counts["tokens"] else 0.0
    body = "".join(map(_span, sample["spans"]))
    if sample.get("labels") is not None:
        labels = "; ".join(f"{k}: {', '.join(v)}" for k, v in sample["labels"].items())
        body += f'<span class="learns">→ {escape(labels)}</span>'
    if sample.get("problem"):
        body += f'<span class="o">not trained: {escape(sample["problem"]["message"])}</span>'
    return (
        f'<article class="sample"><header><span>{" · ".join(where)}</span>'
        f'<span class="soft">{_counts(counts, sample["kind"])}</span></header>'
        f'<div class="share"><b style="width:{share:.2%}"></b></div>'
        f'<div class="spans" tabindex="0">{body}</div></article>'
    )


def _counts(counts: Json, kind: str) -> str:
    if not counts["tokens"]:
        return ""
    if kind == "classifier":
        return f"{number(counts['tokens'])} tokens"
    share = counts["trained"] / counts["tokens"]
    said = f"{number(counts['tokens'])} tokens: {number(counts['trained'])} trained "
    said += f"({percent(share)}), {number(counts['untrained'])} not, "
    said += f"{number(counts['special'])} control"
    if counts["over_length"]:
        said += f", {number(counts['over_length'])} over length"
    return said


def _span(span: Json) -> str:
    if span.get("omitted"):
        kind = "trained and untrained" if span.get("trained") else "untrained"
        return f'<span class="gap">… {number(span["tokens"])} {kind} tokens not shown …</span>'
    flags = (("c", "special"), ("t", "trained"), ("o", "over_length"))
    classes = [name for name, flag in flags if span.get(flag)]
    text = escape(visible(span["text"]))
    if not classes:
        return _folded(span["text"]) if _is_long(span["text"]) else text
    said = f"{number(span['tokens'])} token{'s' if span['tokens'] != 1 else ''}"
    return f'<span class="{" ".join(classes)}" title="{said}">{text}</span>'


def _is_long(text: str) -> bool:
    return len(text) > FOLDED_LETTERS or text.count("\n") > FOLDED_LINES


def _folded(text: str) -> str:
    """A long prompt must not push the answer out of sight; its middle unfolds."""
    head, tail = _border(text, len(text) // 3), _border(text, -(len(text) // 6))
    head, tail = min(head, _border(text, 400)), max(tail, _border(text, -200))
    return (
        f"{escape(visible(text[:head]))}<details><summary>… {number(tail - head)} letters, not "
        f"trained …</summary>{escape(visible(text[head:tail]))}</details>"
        f"{escape(visible(text[tail:]))}"
    )


def _border(text: str, at: int) -> int:
    """The nearest place before `at` where a word ends."""
    at = at % len(text)
    found = max(text.rfind(" ", 0, at), text.rfind("\n", 0, at)) + 1
    return found if at - found < 60 else at


INVISIBLE = frozenset("\n\t\u00a0\u202f\u3000\u200c\u200d")
"""Not printable, and still a part of ordinary writing."""


def visible(text: str) -> str:
    """Control characters, and those that turn the direction of writing, by their code."""
    return "".join(c if c.isprintable() or c in INVISIBLE else f"⟨U+{ord(c):04X}⟩" for c in text)
