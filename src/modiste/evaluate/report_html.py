"""One run as one HTML page that is read offline: figures, slices, confusions, the worst answers.

No script and no network; everything that a model, a judge or a user wrote is escaped. The page
stays small whatever the run's size: it shows the worst items, the samples' file has all of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from statistics import median
from typing import Any

from modiste.errors import InvalidInput
from modiste.evaluate.differences import MOST_UNSCORED
from modiste.evaluate.interval_plot import Axis, axis_labels, interval
from modiste.evaluate.items import Sample
from modiste.evaluate.metric import Metric, item_means
from modiste.evaluate.record import Run
from modiste.evaluate.report_css import CSS
from modiste.evaluate.report_parts import (
    alarm,
    card,
    first_words,
    folded,
    pill,
    record_table,
    sample_body,
    score_pill,
    shown,
    statuses,
    text,
    tiles,
)
from modiste.evaluate.stats.estimates import Estimate, mean_estimate
from modiste.prepare.charts import number
from modiste.prepare.report_html import document

SHARES = Axis(-0.02, 1.02)
MOST_WORST = 50
MOST_UNSCORED_SHOWN = 20
MOST_LABELS = 30
"""Rows of a confusion matrix; larger ones show the commonest confusions only."""
MOST_CONFUSIONS = 40


def run_page(run: Run, *, version: str = "") -> str:
    """A finished run."""
    record = run.record
    title = f"{record.suite}: {record.subject}"
    body = [
        f'<div class="head"><h1>{escape(title)}</h1>{_headline(run)}</div>',
        f'<p class="soft small">{escape(record.model_id)}, {record.started_at:%Y-%m-%d %H:%M} UTC,'
        f" run {escape(record.run_id)}</p>",
        *_alarms(run),
        tiles(_facts(run)),
        card("Figures", _figures(run.metrics), under=f"Decides: {record.primary}."),
        _slices(run),
        *(_confusion(metric) for metric in run.metrics if metric.table.get("confusion")),
        _worst(run),
        _unscored(run),
        card("What it rests on", record_table([record], ["this run"])),
    ]
    return document(title, "".join(body), version=version or record.code_version, css=CSS)


def _headline(run: Run) -> str:
    primary = _primary(run)
    if primary is None or primary.estimate is None:
        return pill("warning", "nothing was scored")
    ci = primary.estimate.ci
    ends = f"{shown(ci.lo, primary.unit)} … {shown(ci.hi, primary.unit)}"
    return pill("plain", f"{primary.id} {shown(primary.estimate.value, primary.unit)} ({ends})")


def _primary(run: Run) -> Metric | None:
    found = [m for m in run.metrics if run.record.primary in (m.id, m.scorer)]
    return next(iter((*found, *run.metrics)), None)


def _alarms(run: Run) -> list[str]:
    """What a reader must know before any figure."""
    told = []
    for scorer in dict.fromkeys(metric.scorer for metric in run.metrics):
        why = statuses(run.samples, scorer)
        missing, made = sum(why.values()), len(run.samples)
        if missing:
            reasons = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in why.items())
            much = missing / max(1, made) > MOST_UNSCORED
            told.append(
                alarm(
                    "error" if much else "warning",
                    f"{number(missing)} of {number(made)} attempts have no score of {scorer} "
                    f"({reasons}); its figures are of the others"
                    + (", and no gate counts them as passed" if much else "")
                    + ".",
                )
            )
    if run.record.parity_passed is False:
        told.append(alarm("error", "The served model does not compute what was trained."))
    return told


def _facts(run: Run) -> list[tuple[str, str]]:
    answers = [sample.answer for sample in run.samples]
    there = [answer for answer in answers if answer.failure is None]
    facts = [("items", number(run.record.n_items)), ("answers", number(len(there)))]
    if len(there) < len(answers):
        facts.append(("no answer", number(len(answers) - len(there))))
    if measured := [answer.latency_s for answer in there if answer.latency_s]:
        facts.append(("median latency", f"{median(measured):.2f} s"))
    if any(answer.n_tokens for answer in there):
        facts.append(("tokens asked", number(sum(a.prompt_tokens for a in there))))
        facts.append(("tokens answered", number(sum(a.completion_tokens for a in there))))
    costs = [answer.cost_micro for answer in there if answer.cost_micro is not None]
    if costs:
        facts.append(("cost", f"{sum(costs) / 1e6:,.4g}"))
    return facts


def _figures(metrics: Sequence[Metric]) -> str:
    """A table per unit, so that intervals of one table share an axis."""
    units = dict.fromkeys(metric.unit for metric in metrics)
    return "".join(
        figure_table(
            [(m.id, m.estimate, m.n_unscored, m.notes) for m in metrics if m.unit == unit], unit
        )
        for unit in units
    )


FigureRow = tuple[str, Estimate | None, int, Sequence[str]]


def figure_table(rows: Sequence[FigureRow], unit: str, *, head: str = "figure") -> str:
    """Name, value and interval, drawn and in figures, n, unscored; notes below each."""
    there = [estimate for _, estimate, _, _ in rows if estimate is not None]
    ends = [end for estimate in there for end in (estimate.ci.lo, estimate.ci.hi)]
    axis = SHARES if unit == "share" else Axis.around(ends, through=(0.0,))
    labels = axis_labels(axis, factor=100.0 if unit == "share" else 1.0, unit=unit)
    body = "".join(_figure_row(row, unit, axis) for row in rows)
    return (
        f'<table class="figures"><thead><tr><th>{escape(head)}</th><th class="n">value</th>'
        f'<th class="n ends">interval</th><th class="plot wide">{labels}</th><th class="n">n</th>'
        f'<th class="n">unscored</th></tr></thead><tbody>{body}</tbody></table>'
    )


def _figure_row(row: FigureRow, unit: str, axis: Axis) -> str:
    name, estimate, n_unscored, notes = row
    said = [*notes, *(estimate.notes if estimate else ())]
    if estimate is None:
        cells = '<td class="n">–</td><td></td><td class="wide"></td><td class="n">0</td>'
    else:
        ci = estimate.ci
        ends = f"{shown(ci.lo, unit)} … {shown(ci.hi, unit)}"
        words = f"{name}: {shown(estimate.value, unit)}, {ci.level:.0%} interval {ends}"
        drawn = interval(axis, estimate.value, ci.lo, ci.hi, said=words)
        clusters = f"<br><span class='soft small'>{estimate.n_clusters} clusters</span>"
        cells = (
            f'<td class="n"><b>{shown(estimate.value, unit)}</b></td><td class="n">{ends}</td>'
            f'<td class="plot wide">{drawn}</td>'
            f'<td class="n">{number(estimate.n)}{clusters if estimate.n_clusters else ""}</td>'
        )
    missing = f'<td class="n">{number(n_unscored) if n_unscored else ""}</td>'
    kind = ' class="has-note"' if said else ""
    first = f"<tr{kind}><td>{escape(name)}</td>{cells}{missing}</tr>"
    note = "".join(f'<tr class="note"><td colspan="6">{escape(each)}</td></tr>' for each in said)
    return first + note


def _slices(run: Run) -> str:
    """The primary scorer's mean in each part of the dataset."""
    primary = _primary(run)
    parts: dict[tuple[str, str], list[Sample]] = {}
    for sample in run.samples:
        for part in sample.item.slices.items():
            parts.setdefault(part, []).append(sample)
    if primary is None or not parts:
        return ""
    rows: list[FigureRow] = []
    for (name, value), samples in sorted(parts.items()):
        found = item_means(primary.scorer, samples)
        try:
            scale = (0.0, 1.0) if primary.unit == "share" else None
            estimate = mean_estimate(found.values, found.clusters, scale=scale)
            notes: tuple[str, ...] = ()
        except InvalidInput as error:
            estimate, notes = None, (error.message,)
        rows.append((f"{name} = {value}", estimate, found.n_unscored, notes))
    table = figure_table(rows, primary.unit, head="slice")
    return card("Slices", table, under=f"Mean of {primary.scorer} in each part of the data.")


def _confusion(metric: Metric) -> str:
    """What is right by rows, what was said by columns; the last column named no label."""
    table: Mapping[str, Any] = metric.table
    labels = [str(label) for label in table.get("labels", ())]
    counts: Sequence[Sequence[int]] = table["confusion"]
    title = f"Confusions of {metric.scorer}"
    named = [*labels, "(none)"][: len(counts[0]) if counts else 0]
    if len(labels) > MOST_LABELS:
        return card(title, _confusion_list(labels, named, counts))
    head = "".join(f"<th>{text(name)}</th>" for name in named)
    rows = "".join(
        f"<tr><th>{text(label)}</th>{_matrix_row(at, row)}</tr>"
        for at, (label, row) in enumerate(zip(labels, counts, strict=True))
    )
    return card(
        title,
        f'<div class="scroll" tabindex="0"><table class="matrix"><tr><th></th>{head}</tr>{rows}'
        "</table></div>",
        under="Rows: what is right. Columns: what the model said.",
    )


def _matrix_row(at: int, row: Sequence[int]) -> str:
    total = sum(row) or 1
    cells = []
    for column, count in enumerate(row):
        share = round(70 * count / total)
        colour = "var(--trained)" if column == at else "var(--error-back)"
        back = f"background:color-mix(in srgb, {colour} {share + 20}%, transparent)"
        style = f' style="{back}"' if count else ""
        cells.append(
            f'<td class="{"hit" if column == at else ""}"{style}>{number(count) if count else "·"}'
            "</td>"
        )
    return "".join(cells)


def _confusion_list(
    labels: Sequence[str], named: Sequence[str], counts: Sequence[Sequence[int]]
) -> str:
    wrong = [
        (count, labels[at], named[column])
        for at, row in enumerate(counts)
        for column, count in enumerate(row)
        if column != at and count
    ]
    wrong.sort(key=lambda each: -each[0])
    rows = "".join(
        f'<tr><td class="n">{number(count)}</td><td>{text(right)}</td><td>{text(said)}</td></tr>'
        for count, right, said in wrong[:MOST_CONFUSIONS]
    )
    rest = len(wrong) - MOST_CONFUSIONS
    more = f'<p class="soft small">… and {number(rest)} more pairs.</p>' if rest > 0 else ""
    return (
        f"<p>{number(len(labels))} labels; the commonest confusions:</p>"
        '<div class="scroll" tabindex="0"><table><thead><tr><th class="n">times</th><th>right</th>'
        f"<th>said</th></tr></thead><tbody>{rows}</tbody></table></div>{more}"
    )


def _worst(run: Run) -> str:
    primary = _primary(run)
    if primary is None:
        return ""
    sign = 1.0 if primary.higher_is_better else -1.0
    graded = [
        (sign * score.value, sample)
        for sample in run.samples
        if (score := sample.scores.get(primary.scorer)) is not None and score.value is not None
    ]
    graded.sort(key=lambda each: (each[0], each[1].item.key, each[1].attempt))
    if not graded:
        return ""
    best = 1.0 if primary.unit == "share" and sign > 0 else float("inf")
    worst = [sample for value, sample in graded[:MOST_WORST] if value < best]
    if not worst:
        return card("Worst answers", '<p class="soft">None: all have the full score.</p>')
    under = f"{number(len(worst))} of {number(len(run.samples))}, by {primary.scorer}, worst first."
    return card("Worst answers", "".join(map(_folded_sample, worst)), under=under)


def _unscored(run: Run) -> str:
    """Attempts that some scorer has nothing to say of."""
    scorers = dict.fromkeys(metric.scorer for metric in run.metrics)
    holes = [
        sample
        for sample in run.samples
        if any((s := sample.scores.get(name)) is None or s.value is None for name in scorers)
    ]
    if not holes:
        return ""
    listed = "".join(map(_folded_sample, holes[:MOST_UNSCORED_SHOWN]))
    n = min(len(holes), MOST_UNSCORED_SHOWN)
    return card("Without a score", listed, under=f"{number(n)} of {number(len(holes))}.")


def _folded_sample(sample: Sample) -> str:
    pills = "".join(
        f'<span class="small soft">{escape(name)}</span>{score_pill(score)}'
        for name, score in sample.scores.items()
    )
    summary = f'<span class="first">{text(first_words(sample))}</span>{pills}'
    return folded(summary, sample_body(sample))
