"""Two runs as one HTML page: the verdict, a forest plot of differences, where they differ most.

Intervals are of candidate minus baseline, item by item; where they lie right of zero the candidate
scores higher. The largest gains and losses are shown side by side with what changed in the words.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import SequenceMatcher
from html import escape

from modiste.evaluate.comparison import Comparison, Delta
from modiste.evaluate.differences import MARK, Difference, mark_told
from modiste.evaluate.interval_plot import Axis, axis_labels, interval, wins_bar
from modiste.evaluate.items import Sample
from modiste.evaluate.markdown import notes_of
from modiste.evaluate.report_css import CSS
from modiste.evaluate.report_parts import (
    alarm,
    answer_turn,
    card,
    conversation,
    first_words,
    folded,
    pill,
    record_table,
    reference_turn,
    said_in,
    scores_list,
    shown,
    text,
    tiles,
)
from modiste.evaluate.verdict import Verdict
from modiste.prepare.charts import number
from modiste.prepare.report_html import document
from modiste.prepare.report_preview import visible

PILLS = {
    Verdict.BETTER: "good",
    Verdict.WORSE: "error",
    Verdict.EQUIVALENT: "plain",
    Verdict.INSUFFICIENT: "warning",
}
COLOURS = {Verdict.BETTER: "good", Verdict.WORSE: "bad"}
MOST_WORDS = 600
"""Of an answer whose changes are marked; longer ones stand side by side as they are."""


def comparison_page(comparison: Comparison, *, version: str = "") -> str:
    a, b, primary = comparison.baseline, comparison.candidate, comparison.primary
    title = f"{b.suite}: {b.subject} against {a.subject}"
    body = [
        f'<div class="head"><h1>{escape(title)}</h1>{verdict_pill(primary)}</div>',
        f'<p class="soft small">A: {escape(a.model_id)}. B: {escape(b.model_id)}.</p>',
        f'<p class="lead"><b>{escape(primary.kind.metric)}</b>: '
        f"{escape(primary.decision.sentence)}.</p>",
        *(alarm("warning", note) for note in notes_of(comparison)),
        tiles(_facts(comparison)),
        card("Differences", forest(comparison.differences), under=_family(comparison)),
    ]
    if comparison.slices:
        under = "The primary metric in each part of the data, with Holm's correction among them."
        body.append(card("Slices", forest(comparison.slices), under=under))
    if comparison.expenses:
        body.append(card("What answers take", forest(comparison.expenses)))
    body.append(_deltas("Where B is furthest behind", comparison.worst, comparison))
    body.append(_deltas("Where B is furthest ahead", comparison.best, comparison))
    body.append(card("What it rests on", record_table([a, b], ["A", "B"])))
    return document(title, "".join(body), version=version or b.code_version, css=CSS)


def verdict_pill(difference: Difference) -> str:
    return pill(PILLS[difference.verdict], str(difference.verdict))


def _facts(comparison: Comparison) -> list[tuple[str, str]]:
    primary = comparison.primary
    facts = [("items in both", number(comparison.n_both))]
    mark = "" if primary.of_items else MARK
    facts += [(f"B wins{mark}", number(primary.wins)), (f"ties{mark}", number(primary.ties))]
    facts.append((f"A wins{mark}", number(primary.losses)))
    if primary.mde is not None:
        facts.append(("smallest difference shown", amount(primary, primary.mde)))
    if primary.decision.more_items:
        facts.append(("more items would decide", f"≈ {number(primary.decision.more_items)}"))
    return facts


def _family(comparison: Comparison) -> str:
    n = len(comparison.differences) - 1
    if n < 1:
        return "B − A over the same items."
    return f"B − A over the same items; the {n} below the first share Holm's correction."


def amount(difference: Difference, value: float) -> str:
    """A difference as people read it."""
    wording = difference.kind.wording
    return f"{value * wording.factor:.3g} {wording.unit}".replace("-", "−")


def forest(differences: Sequence[Difference]) -> str:
    """A table per unit, so that its intervals share an axis through zero."""
    units = dict.fromkeys(each.kind.unit for each in differences)
    return "".join(_table([d for d in differences if d.kind.unit == unit]) for unit in units)


def _table(differences: Sequence[Difference]) -> str:
    intervals = [each.estimate.ci for each in differences if each.estimate is not None]
    axis = Axis.around([end for ci in intervals for end in (ci.lo, ci.hi)], through=(0.0,))
    wording = differences[0].kind.wording
    labels = axis_labels(axis, factor=wording.factor, unit=wording.unit)
    rows = "".join(_row(each, axis) for each in differences)
    said = mark_told(differences)
    return (
        '<table class="figures compared"><thead><tr><th>figure</th><th class="n">A</th>'
        '<th class="n">B</th>'
        f'<th class="n ends">B − A, {escape(wording.unit)}</th><th class="plot wide">{labels}</th>'
        '<th class="wide bar">won, tied, lost</th><th>verdict</th></tr></thead>'
        f"<tbody>{rows}</tbody></table>"
        + ("" if said is None else f'<p class="soft small">{escape(said)}.</p>')
    )


def _row(each: Difference, axis: Axis) -> str:
    unit, wording, found = each.kind.unit, each.kind.wording, each.estimate
    drawn, ends = "", "–"
    if found is not None:
        lo, hi, value = (
            f"{x * wording.factor:+.3g}".replace("-", "−")
            for x in (found.ci.lo, found.ci.hi, found.value)
        )
        ends = f"<b>{value}</b><br><span class='soft small'>{lo} … {hi}</span>"
        drawn = interval(
            axis,
            found.value,
            found.ci.lo,
            found.ci.hi,
            said=each.decision.sentence,
            kind=COLOURS.get(each.verdict, ""),
            marks=(0.0,),
        )
    name = each.kind.metric if each.part is None else f"{each.part[0]} = {each.part[1]}"
    note = escape(each.decision.sentence + _missing(each))
    return (
        f'<tr class="has-note"><td>{escape(name)}</td>'
        f'<td class="n">{_short(shown(each.baseline, unit))}</td>'
        f'<td class="n">{_short(shown(each.candidate, unit))}</td><td class="n">{ends}</td>'
        f'<td class="plot wide">{drawn}</td>'
        f'<td class="wide">{wins_bar(each.wins, each.ties, each.losses)}'
        f"{'' if each.of_items else MARK}</td>"
        f"<td>{verdict_pill(each)}</td></tr>"
        f'<tr class="note"><td colspan="7">{note}</td></tr>'
    )


def _short(figure: str) -> str:
    """Without a long unit, which the head of the table tells."""
    number, _, unit = figure.partition(" ")
    return figure if len(unit) <= 2 else number


def _missing(each: Difference) -> str:
    sides = (("A", each.baseline_unscored), ("B", each.candidate_unscored))
    told = [
        f"{number(side.n)} of {number(side.attempts)} unscored in {name}"
        for name, side in sides
        if side.n
    ]
    return f". {'; '.join(told)}" if told else ""


def _deltas(title: str, deltas: Sequence[Delta], comparison: Comparison) -> str:
    if not deltas:
        return card(title, '<p class="soft">On no item.</p>')
    unit = comparison.primary.kind.unit
    return card(title, "".join(_delta(each, unit) for each in deltas))


def _delta(delta: Delta, unit: str) -> str:
    values = f"{shown(delta.baseline_value, unit)} → {shown(delta.candidate_value, unit)}"
    summary = (
        f'<span class="first">{text(first_words(delta.baseline))}</span>{pill("plain", values)}'
    )
    left, right = _marked(delta.baseline, delta.candidate)
    body = (
        f'<div class="item">{conversation(delta.baseline.prompt)}{reference_turn(delta.item)}'
        f'<div class="side"><div>{left}{scores_list(delta.baseline.scores)}</div>'
        f"<div>{right}{scores_list(delta.candidate.scores)}</div></div></div>"
    )
    return folded(summary, body)


def _marked(a: Sample, b: Sample) -> tuple[str, str]:
    """Both answers, with the words that only one of them has marked."""
    if a.answer.failure is not None or b.answer.failure is not None:
        return answer_turn(a.answer, who="A"), answer_turn(b.answer, who="B")
    left, right = (re.findall(r"\s+|\w+|[^\w\s]", said_in(s.answer)) for s in (a, b))
    if max(len(left), len(right)) > 2 * MOST_WORDS or not left or not right:
        return answer_turn(a.answer, who="A"), answer_turn(b.answer, who="B")
    olds, news = [], []
    for how, i, j, k, m in SequenceMatcher(None, left, right, autojunk=False).get_opcodes():
        old, new = escape(visible("".join(left[i:j]))), escape(visible("".join(right[k:m])))
        olds.append(f"<del>{old}</del>" if old and how != "equal" else old)
        news.append(f"<ins>{new}</ins>" if new and how != "equal" else new)
    return _turn("A", "".join(olds)), _turn("B", "".join(news))


def _turn(who: str, marked: str) -> str:
    return f'<div class="turn answer"><b>{who}</b><div class="said">{marked}</div></div>'
