"""Gates and comparisons as Markdown, for the summary of a CI run or a pull request."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from modiste.evaluate.comparison import Comparison
from modiste.evaluate.differences import Difference, mark_told
from modiste.evaluate.gate_result import GateResult, Outcome
from modiste.evaluate.record import Record

SIGNS = {Outcome.PASS: "✅", Outcome.FAIL: "❌", Outcome.INSUFFICIENT: "❔"}


def gate_markdown(result: GateResult) -> str:
    """The outcome, every condition with its sentence, and what it was decided on."""
    rows = [(SIGNS[c.outcome], c.name, str(c.outcome), c.sentence) for c in result.conditions]
    lines = [
        f"## {SIGNS[result.outcome]} {_plain(str(result.gate.get('name', 'gate')))}: "
        f"{result.outcome}",
        "",
        *_table(["", "condition", "outcome", "evidence"], rows),
        "",
        *(f"Candidate: {_of(record)}  " for record in result.candidates),
        *(f"Baseline: {_of(record)}  " for record in result.baselines),
        f"Gate: sha256 `{result.gate_sha256[:16]}`",
    ]
    return "\n".join(lines) + "\n"


def summary_markdown(comparison: Comparison) -> str:
    """The verdict first, then every metric, slice and expense."""
    a, b = comparison.baseline, comparison.candidate
    primary = comparison.primary
    lines = [
        f"## {_plain(b.subject)} against {_plain(a.subject)}: {primary.verdict}",
        "",
        f"{_plain(primary.decision.sentence)}",
        "",
        *_differences("metric", comparison.differences),
    ]
    if comparison.slices:
        lines += ["", *_differences("slice", comparison.slices)]
    if comparison.expenses:
        lines += ["", *_differences("what answers take", comparison.expenses)]
    lines += ["", f"A: {_of(a)}  ", f"B: {_of(b)}  "]
    lines += [f"- {_plain(note)}" for note in notes_of(comparison)]
    return "\n".join(lines) + "\n"


def notes_of(comparison: Comparison) -> list[str]:
    """What a reader must know beside the figures."""
    notes = list(comparison.notes)
    for side, keys in (("A", comparison.only_baseline), ("B", comparison.only_candidate)):
        if keys:
            notes.append(f"{len(keys)} items are in {side} alone and left out, {keys[0]} first")
    notes += [f"{shown.metric} is not compared: {shown.why}" for shown in comparison.not_compared]
    return notes


def _differences(head: str, differences: Sequence[Difference]) -> list[str]:
    rows = [
        (
            each.name,
            amount(each, each.baseline),
            amount(each, each.candidate),
            each.counts,
            str(each.verdict),
            each.decision.sentence,
        )
        for each in differences
    ]
    table = _table([head, "A", "B", "B wins/ties/losses", "verdict", "evidence"], rows)
    said = mark_told(differences)
    return table if said is None else [*table, "", _plain(said)]


def amount(difference: Difference, value: float | None) -> str:
    """A value of a metric as people read it."""
    if value is None:
        return "–"
    if difference.kind.unit == "share":
        return f"{100 * value:.1f} %"
    return f"{value:.4g} {difference.kind.unit}"


def _of(record: Record) -> str:
    return (
        f"{_plain(record.model_id)} on suite {_plain(record.suite)}, run `{record.run_id}`, data "
        f"`{record.dataset_sha256[:12]}`"
    )


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [
        f"| {' | '.join(head)} |",
        f"|{'---|' * len(head)}",
        *(f"| {' | '.join(_plain(cell) for cell in row)} |" for row in rows),
    ]


def _plain(text: str) -> str:
    """On one line, and nothing that Markdown or HTML would obey."""
    for sign in "\\`|*_[]<>":
        text = text.replace(sign, f"\\{sign}")
    return " ".join(text.split())
