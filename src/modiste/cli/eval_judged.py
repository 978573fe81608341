"""What a judge prefers of two runs' answers, pair by pair: `eval compare A B --judge FILE`."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from modiste import settings
from modiste.cli.judge_text import estimate
from modiste.cli.output import print_table, printable, say
from modiste.client import connect
from modiste.errors import InvalidInput

if TYPE_CHECKING:
    from modiste.evaluate.judges.pairs import Paired
    from modiste.evaluate.judges.summary import PairSummary
    from modiste.evaluate.record import Run

AT_ONCE = 8


def judged(path: Path, baseline: Run, candidate: Run) -> PairSummary:
    """Every pair of answers to the same item, judged through the server.

    Raises:
        InvalidInput: no judge, no pair in common, or rows that lack what its templates name.
    """
    from modiste.cli.models_over_http import HttpModels
    from modiste.evaluate.judges.judge import judge_pairs, own_kin
    from modiste.evaluate.judges.pairs import pairs_of
    from modiste.evaluate.judges.specs import read_judge
    from modiste.evaluate.judges.summary import summary_of

    spec = read_judge(path)
    judge = spec.judge()
    found = pairs_of(baseline.samples, candidate.samples)
    if not found.pairs:
        raise InvalidInput("the two runs have no answers to the same item", param="judge")
    for pair in found.pairs:
        spec.material(pair.item)
    say(f"{spec.name}: {len(found.pairs)} pairs …")
    with (
        connect(settings.load(), needs_engine=True, report=say) as client,
        HttpModels(client, at_once=AT_ONCE) as models,
    ):
        judging = judge_pairs(spec, found.pairs, models, concurrency=AT_ONCE)
        verdicts = asyncio.run(judging)
    asked = [baseline.record.model_id, candidate.record.model_id]
    kin = dict.fromkeys(name for model in spec.models for name in own_kin(model, asked))
    notes = [f"{name} is of the judge's own family, which judges prefer" for name in kin]
    return summary_of(
        verdicts,
        scale=judge.scale,
        member_scales=judge.member_scales,
        notes=(*judge.warnings, *notes, *_left_out(found)),
    )


def print_judged(found: PairSummary) -> None:
    """B against A."""
    preference, signs, controlled = found.preference, found.signs, found.length_controlled
    rows = [
        ("points of A", estimate(found.a)),
        ("points of B", estimate(found.b)),
        ("B − A", estimate(found.difference)),
        ("won / tied / lost by B", f"{found.wins_b} / {found.ties} / {found.wins_a}"),
        ("win rate of B, ties half", estimate(preference.half_tie if preference else None)),
        ("  at equal length", estimate(controlled.controlled if controlled else None)),
        ("  pooled by weight", estimate(found.pooled)),
        ("position consistency", estimate(signs.consistency)),
        ("prefers the first slot", estimate(signs.first_slot)),
        ("longer answer wins", estimate(signs.longer)),
        ("unreadable replies", estimate(signs.unreadable)),
    ]
    if found.members:
        rows.append(("judges unanimous", estimate(found.unanimous)))
        rows.append(("judges' agreement (α)", estimate(found.alpha)))
    print_table(["judge", f"{found.n:,} pairs"], rows, empty="")
    if found.members:
        _print_members(found)
    for note in found.notes:
        say(printable(f"note: {note}"))


def _print_members(found: PairSummary) -> None:
    print_table(
        ["judge", "won / tied / lost by B", "win rate of B", "consistency", "first slot", "pairs"],
        [
            (
                name,
                f"{own.wins_b} / {own.ties} / {own.wins_a}",
                estimate(own.preference.half_tie if own.preference else None),
                estimate(own.signs.consistency),
                estimate(own.signs.first_slot),
                f"{own.n:,}",
            )
            for name, own in found.members.items()
        ],
        empty="",
        numbers=("pairs",),
    )


def _left_out(found: Paired) -> list[str]:
    reasons = Counter(one.reason.partition(":")[0] for one in found.left_out)
    return [f"{n} pairs are not judged: {reason}" for reason, n in reasons.most_common()]
