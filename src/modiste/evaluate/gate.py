"""The gate before deployment: every condition of `gate.yaml` with its sentence and its numbers.

Passed is what is shown, failed is what is shown not to be so, and all between is insufficient
evidence, which opens no gate either. All conditions must hold together, so each is tested at its
own level: a chain of conditions that must all hold needs no correction for their number
(intersection–union test, Berger 1982).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace

from modiste.errors import InvalidInput
from modiste.evaluate.comparison import compare
from modiste.evaluate.differences import Difference
from modiste.evaluate.gate_result import (
    Condition,
    GateResult,
    Outcome,
    numbers_of,
    own_numbers,
)
from modiste.evaluate.gate_spec import Ceiling, Floor, Gate, Guard, OfSuite, Win
from modiste.evaluate.own_figures import OwnFigure, own_figure
from modiste.evaluate.record import Record, Run
from modiste.evaluate.stats.estimates import Estimate, Interval
from modiste.evaluate.stats.paired import noninferiority
from modiste.evaluate.verdict import Verdict, told


def check(
    gate: Gate,
    candidates: Sequence[Run],
    baselines: Sequence[Run] = (),
    *,
    approved_by: Sequence[str] | None = None,
) -> GateResult:
    """
    Args:
        candidates: runs of the model that is to be deployed, one a suite; the first one's suite is
            meant where a condition names none.
        baselines: runs of the model that it is held against, on the same suites.
        approved_by: who agreed; None leaves approval out, for a look before anybody is asked.

    Raises:
        InvalidInput: a run is missing, is of another model than the others, or cannot be compared
            with its counterpart; all problems at once.
    """
    new = _by_suite(candidates, "run")
    old = _by_suite(baselines, "baseline")
    _runs_there(gate, new, old)
    conditions: list[Condition] = []
    if gate.primary is not None:
        conditions.append(_win(gate, gate.primary, *_pair(gate.primary, new, old)))
    conditions += [_guard(gate, guard, *_pair(guard, new, old)) for guard in gate.guards]
    conditions += [_floor(gate, floor, _of(floor, new)) for floor in gate.floors]
    conditions += [_ceiling(gate, ceiling, _of(ceiling, new)) for ceiling in gate.ceilings]
    if gate.parity:
        conditions.append(_parity(next(iter(new.values())).record))
    if not gate.allow_imported:
        conditions += _made_here([*new.values(), *old.values()])
    if gate.approvers is not None and approved_by is not None:
        conditions.append(_approval(gate, approved_by))
    asked = gate.model_dump(mode="json")
    canonical = json.dumps(asked, sort_keys=True, ensure_ascii=False)
    return GateResult(
        gate=asked,
        gate_sha256=hashlib.sha256(canonical.encode()).hexdigest(),
        conditions=tuple(conditions),
        candidates=tuple(run.record for run in new.values()),
        baselines=tuple(run.record for run in old.values()),
        approved_by=None if approved_by is None else tuple(approved_by),
    )


def _by_suite(runs: Sequence[Run], what: str) -> dict[str, Run]:
    """
    Raises:
        InvalidInput: two of one suite, or of different models.
    """
    suites = [run.record.suite for run in runs]
    if twice := sorted({suite for suite in suites if suites.count(suite) > 1}):
        raise InvalidInput(
            f"two runs of suite {twice[0]!r} are given as {what}; give one", param=what
        )
    models = {(run.record.model_id, run.record.model_version) for run in runs}
    if len(models) > 1:
        named = ", ".join(f"{run.record.run_id} of {run.record.model_id}" for run in runs)
        raise InvalidInput(f"runs given as {what} are of different models: {named}", param=what)
    return {run.record.suite: run for run in runs}


def _runs_there(gate: Gate, new: Mapping[str, Run], old: Mapping[str, Run]) -> None:
    """
    Raises:
        InvalidInput: naming every suite without a run.
    """
    if not new:
        raise InvalidInput("no run of the candidate is given", param="run")
    first = next(iter(new))
    compared = {part.suite or first for part in (gate.primary, *gate.guards) if part is not None}
    looked_at = {part.suite or first for part in (*gate.floors, *gate.ceilings)}
    missing = [
        f"a run of the candidate on suite {s!r}" for s in sorted((compared | looked_at) - set(new))
    ]
    missing += [f"a run of the baseline on suite {s!r}" for s in sorted(compared - set(old))]
    if missing:
        raise InvalidInput(f"gate {gate.name!r} needs {', '.join(missing)}", param="run")


def _of(part: OfSuite, runs: Mapping[str, Run]) -> Run:
    return runs[part.suite or next(iter(runs))]


def _pair(part: OfSuite, new: Mapping[str, Run], old: Mapping[str, Run]) -> tuple[Run, Run]:
    """Candidate and baseline."""
    candidate = _of(part, new)
    return candidate, old[candidate.record.suite]


def _win(gate: Gate, win: Win, candidate: Run, baseline: Run) -> Condition:
    metric = win.metric or candidate.record.primary
    comparison = compare(baseline, candidate, metrics=[metric], delta=win.delta)
    difference = comparison.primary
    name = f"better on {difference.kind.metric}{_on(win)}"
    numbers = {**numbers_of(difference), "notes": list(comparison.notes)}
    numbers |= {"min_effect": win.min_effect, "delta": win.delta}
    found = _oriented(difference)
    if found is None or difference.estimate is None:
        return Condition(name, Outcome.INSUFFICIENT, difference.decision.sentence, numbers)
    if found.ci.lo > win.min_effect:
        outcome = Outcome.PASS
    elif found.ci.hi <= win.min_effect or difference.verdict is Verdict.EQUIVALENT:
        outcome = Outcome.FAIL
    else:
        outcome = Outcome.INSUFFICIENT
    sentence = difference.decision.sentence
    if win.min_effect:
        line = told(difference.estimate, difference.kind.wording)
        above = "above" if outcome is Outcome.PASS else "not shown above"
        sentence = f"{line}: {above} the effect of {_amount(difference, win.min_effect)} asked for"
    noted = "; ".join([sentence, *comparison.notes])
    return _with_evidence(gate, Condition(name, outcome, noted, numbers), difference)


def _guard(gate: Gate, guard: Guard, candidate: Run, baseline: Run) -> Condition:
    comparison = compare(baseline, candidate, metrics=[guard.metric])
    difference = comparison.primary
    name = f"not worse on {difference.kind.metric}{_on(guard)}"
    numbers = {**numbers_of(difference), "notes": list(comparison.notes), "delta": guard.delta}
    found = _oriented(difference)
    if found is None or difference.estimate is None:
        return Condition(name, Outcome.INSUFFICIENT, difference.decision.sentence, numbers)
    held = noninferiority(found, guard.delta)
    hopeless = noninferiority(_mirrored(found), guard.delta)
    # What is lost at the least, from the other side's bound.
    outcome = Outcome.PASS if held.passed else Outcome.INSUFFICIENT
    if -hopeless.bound < -guard.delta:
        outcome = Outcome.FAIL
    said = {
        Outcome.PASS: "non-inferior",
        Outcome.FAIL: "worse",
        Outcome.INSUFFICIENT: "not shown to be non-inferior",
    }[outcome]
    line = told(difference.estimate, difference.kind.wording)
    sentence = f"{line}: {said} at δ = {_amount(difference, guard.delta)}"
    numbers |= {"bound": held.bound, "alpha": held.alpha}
    noted = "; ".join([sentence, *comparison.notes])
    return _with_evidence(gate, Condition(name, outcome, noted, numbers), difference)


def _floor(gate: Gate, floor: Floor, run: Run) -> Condition:
    figure = own_figure(run, floor.metric)
    return _bounded(gate, figure, floor.at_least, low=True, where=_on(floor))


def _ceiling(gate: Gate, ceiling: Ceiling, run: Run) -> Condition:
    figure = own_figure(run, ceiling.metric)
    load = f", {run.record.concurrency} requests at a time" if figure.unit == "s" else ""
    return _bounded(gate, figure, ceiling.at_most, low=False, where=f"{load}{_on(ceiling)}")


def _bounded(
    gate: Gate, figure: OwnFigure, threshold: float, *, low: bool, where: str
) -> Condition:
    """Of a figure that must lie at or above (`low`), or at or below, a threshold."""
    limit = f"at {'least' if low else 'most'} {_shown(threshold, figure.unit)}"
    name = f"{figure.metric} {limit}{where}"
    numbers = {**own_numbers(figure), "threshold": threshold}
    estimate = figure.estimate
    if estimate is None:
        n_scored = figure.n_attempts - figure.n_unscored
        why = f"{n_scored} of {figure.n_attempts} attempts have a value, too few for an interval"
        return Condition(name, Outcome.INSUFFICIENT, why, numbers)
    ci = estimate.ci
    inside, outside = (
        (ci.lo >= threshold, ci.hi < threshold) if low else (ci.hi <= threshold, ci.lo > threshold)
    )
    outcome = Outcome.PASS if inside else Outcome.FAIL if outside else Outcome.INSUFFICIENT
    unscored = f", {figure.n_unscored} unscored" if figure.n_unscored else ""
    sentence = (
        f"{figure.metric} = {_shown(estimate.value, figure.unit)} ({ci.level * 100:.4g} % CI "
        f"{_shown(ci.lo, figure.unit)} … {_shown(ci.hi, figure.unit)}, n={estimate.n}{unscored}); "
        f"{limit} is asked for"
    )
    held = Condition(name, outcome, sentence, numbers)
    return _if_enough(gate, held, estimate.n, figure.unscored_share)


def _parity(record: Record) -> Condition:
    name, numbers = "parity passed", {"parity_passed": record.parity_passed}
    if record.parity_passed is None:
        said = f"{record.model_id} has no certificate and needs none: nothing was trained into it"
        return Condition(name, Outcome.PASS, said, numbers)
    if record.parity_passed:
        said = f"{record.model_id} answers as it was trained, says its certificate"
        return Condition(name, Outcome.PASS, said, numbers)
    said = f"{record.model_id} does not compute what was trained, says its certificate"
    return Condition(name, Outcome.FAIL, said, numbers)


def _made_here(runs: Sequence[Run]) -> list[Condition]:
    """Whoever imports a run says what its answers are; nobody saw them made."""
    imported = [run.record.run_id for run in runs if "imported" in run.record.details]
    if not imported:
        return []
    said = f"{', '.join(imported)} was imported; allow_imported lets such a run count"
    return [Condition("runs were made here", Outcome.FAIL, said, {"imported": imported})]


def _approval(gate: Gate, approved_by: Sequence[str]) -> Condition:
    if gate.approvers is None:
        raise ValueError("no approvers are named")
    may = [name for name in dict.fromkeys(approved_by) if name in gate.approvers.names]
    strangers = [name for name in approved_by if name not in gate.approvers.names]
    enough = len(may) >= gate.approvers.needed
    said = f"approved by {', '.join(may)}" if may else "approved by nobody"
    said += f"; {gate.approvers.needed} of {', '.join(gate.approvers.names)} must agree"
    if strangers:
        said += f"; {', '.join(strangers)} is not among them"
    numbers = {"approved": len(may), "needed": gate.approvers.needed}
    return Condition("approved", Outcome.PASS if enough else Outcome.INSUFFICIENT, said, numbers)


def _with_evidence(gate: Gate, condition: Condition, difference: Difference) -> Condition:
    n = 0 if difference.estimate is None else difference.estimate.n
    share = max(difference.baseline_unscored.share, difference.candidate_unscored.share)
    return _if_enough(gate, condition, n, share)


def _if_enough(gate: Gate, condition: Condition, n: int, unscored: float) -> Condition:
    """A pass only on enough items, nearly all of them scored."""
    why = []
    if n < gate.min_items:
        why.append(f"n = {n}, and the gate asks for {gate.min_items} items")
    if unscored > gate.max_unscored:
        why.append(
            f"{unscored:.1%} of the attempts have no score, and the gate allows "
            f"{gate.max_unscored:.1%}"
        )
    if not why or condition.outcome is not Outcome.PASS:
        return condition
    sentence = f"{condition.sentence}; {'; '.join(why)}"
    return replace(condition, outcome=Outcome.INSUFFICIENT, sentence=sentence)


def _oriented(difference: Difference) -> Estimate | None:
    """By how much the candidate is better."""
    found = difference.estimate
    if found is None or difference.kind.higher_is_better:
        return found
    return _mirrored(found)


def _mirrored(found: Estimate) -> Estimate:
    ci = found.ci
    return replace(found, value=-found.value, ci=Interval(-ci.hi, -ci.lo, ci.level, ci.method))


def _on(part: OfSuite) -> str:
    return f" (suite {part.suite})" if part.suite else ""


def _amount(difference: Difference, value: float) -> str:
    wording = difference.kind.wording
    return f"{value * wording.factor:.3g} {wording.unit}"


def _shown(value: float, unit: str) -> str:
    return f"{100 * value:.4g} %" if unit == "share" else f"{value:.4g} {unit}"
