"""The card of a judge: how its verdicts compare with those of experts on the same pairs.

A judge is calibrated for one model, one set of prompts and criteria, and one kind of data; the
card's identity says which, and it says nothing of another. Pairs without a verdict stay out of
every figure and are told; accuracy is also given with them counted as wrong and as ties.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from modiste.errors import InvalidInput
from modiste.evaluate.items import Status
from modiste.evaluate.judges.costs import Costs, costs_of
from modiste.evaluate.judges.experts import LABELS, ExpertPair, where_defined
from modiste.evaluate.judges.judge import family
from modiste.evaluate.judges.pairs import Outcome, PairVerdict
from modiste.evaluate.judges.summary import Signs, estimated, share, signs_of
from modiste.evaluate.stats.agreement import Agreement, cohen_kappa
from modiste.evaluate.stats.classification import ClassificationReport, classification_report
from modiste.evaluate.stats.correlation import (
    TieCalibrated,
    kendall_b,
    spearman,
    tie_calibrated_accuracy,
)
from modiste.evaluate.stats.estimates import Estimate

FEW = 100
"""Pairs below which a card says that its intervals are wide."""


@dataclass(frozen=True)
class JudgeCard:
    name: str
    identity: str
    model: str | None
    pairs_sha256: str
    """Of the pairs and votes it rests on."""
    n: int
    """Pairs with a verdict and a majority."""
    n_unscored: int
    accuracy: Estimate | None
    """Share of pairs on which it says a, b or tie as the majority does."""
    accuracy_unscored_wrong: Estimate | None
    unscored_as_tie: ClassificationReport | None
    """Accuracy, precision, recall and F1 with unreadable verdicts taken as ties."""
    decided: Estimate | None
    """Agreement where both the majority and the judge prefer one answer."""
    tie_calibrated: TieCalibrated | None
    """Accuracy where |difference| ≤ ε is a tie, ε chosen on one half, told on the other."""
    kappa: Agreement | None
    """Linear weights: a tie is half way."""
    rho: Estimate | None
    """Spearman, difference against mean vote."""
    tau: Estimate | None
    """Kendall's τ-b of the same."""
    signs: Signs
    longer_on_ties: Estimate | None
    """Share of pairs that experts call a tie and the judge does not, where it prefers the longer
    answer."""
    own_excess: Estimate | None
    """How much more often answers of its own family win with it than with the experts."""
    retest: Estimate | None
    """Share of pairs with the same outcome when asked a second time."""
    costs: Costs
    differences: Mapping[str, float]
    """Its difference on each pair it scored, by key: what choosing between judges rests on."""
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Judged:
    """A judge's verdicts on the pairs of experts."""

    name: str
    identity: str
    verdicts: Sequence[PairVerdict]
    model: str | None = None
    again: Sequence[PairVerdict] = ()
    """A second time, on some of them."""
    notes: Sequence[str] = ()


class _Both(NamedTuple):
    """A pair with a verdict."""

    expert: ExpertPair
    verdict: PairVerdict

    @property
    def difference(self) -> float:
        return self.verdict.difference or 0.0

    @property
    def outcome(self) -> Outcome:
        return self.verdict.outcome or Outcome.TIE


def card_of(
    judged: Judged, pairs: Sequence[ExpertPair], *, clusters: Mapping[str, str] | None = None
) -> JudgeCard:
    """
    Args:
        clusters: by key of a pair, what it shares with others (the request); intervals of shares
            count clusters then.

    Raises:
        InvalidInput: a verdict on a pair that no expert has judged, or none at all.
    """
    verdicts = _by_key(judged, pairs)
    both = [
        _Both(pair, verdicts[pair.pair.item.key])
        for pair in pairs
        if pair.pair.item.key in verdicts and verdicts[pair.pair.item.key].status is Status.SCORED
    ]
    voted = [one for one in both if one.expert.majority is not None]
    asked = [pair for pair in pairs if pair.pair.item.key in verdicts]
    n_unscored = len(asked) - len(both)
    decided = [one for one in voted if Outcome.TIE not in (one.outcome, one.expert.majority)]
    d = [one.difference for one in both]
    e = [one.expert.preference for one in both]
    return JudgeCard(
        name=judged.name,
        identity=judged.identity,
        model=judged.model,
        pairs_sha256=sha256_of(pairs),
        n=len(voted),
        n_unscored=n_unscored,
        accuracy=_accuracy(voted, clusters, n_unscored),
        accuracy_unscored_wrong=_with_wrong(asked, verdicts),
        unscored_as_tie=_as_ties(asked, verdicts),
        decided=_accuracy(decided, clusters, n_unscored),
        tie_calibrated=_tie_calibrated(voted),
        kappa=_kappa(voted),
        rho=where_defined(lambda: spearman(d, e)),
        tau=where_defined(lambda: kendall_b(d, e)),
        signs=signs_of(judged.verdicts),
        longer_on_ties=_longer_on_ties(voted),
        own_excess=_own_excess(judged.model, both, clusters),
        retest=_retest(judged),
        costs=costs_of(judged.verdicts),
        differences={one.verdict.key: one.difference for one in both},
        notes=(*judged.notes, *_notes(len(voted), n_unscored, len(asked))),
    )


def sha256_of(pairs: Sequence[ExpertPair]) -> str:
    digest = hashlib.sha256()
    for pair in pairs:
        votes = ",".join("" if vote is None else vote.value for vote in pair.votes)
        told = "\x1f".join((pair.pair.item.key, pair.pair.a, pair.pair.b, votes))
        digest.update(told.encode() + b"\x1e")
    return digest.hexdigest()[:16]


def _by_key(judged: Judged, pairs: Sequence[ExpertPair]) -> dict[str, PairVerdict]:
    known = {pair.pair.item.key for pair in pairs}
    verdicts = {verdict.key: verdict for verdict in judged.verdicts}
    strange = sorted(set(verdicts) - known)
    if strange:
        raise InvalidInput(
            f"{judged.name} has verdicts on {len(strange)} pairs that are not among those judged "
            f"by experts, such as {strange[0]!r}"
        )
    if not verdicts:
        raise InvalidInput(f"{judged.name} has no verdicts")
    return verdicts


def _clusters(of: Sequence[_Both], clusters: Mapping[str, str] | None) -> list[str] | None:
    if clusters is None:
        return None
    return [clusters[one.verdict.key] for one in of]


def _accuracy(
    of: Sequence[_Both], clusters: Mapping[str, str] | None, n_unscored: int
) -> Estimate | None:
    right = [float(one.outcome is one.expert.majority) for one in of]
    return estimated(right, _clusters(of, clusters), (0.0, 1.0), n_unscored)


def _with_wrong(
    asked: Sequence[ExpertPair], verdicts: Mapping[str, PairVerdict]
) -> Estimate | None:
    right = [
        float(verdicts[pair.pair.item.key].outcome is pair.majority)
        for pair in asked
        if pair.majority is not None
    ]
    return estimated(right, None, (0.0, 1.0), 0)


def _as_ties(
    asked: Sequence[ExpertPair], verdicts: Mapping[str, PairVerdict]
) -> ClassificationReport | None:
    told = [
        (pair.majority.value, (verdicts[pair.pair.item.key].outcome or Outcome.TIE).value)
        for pair in asked
        if pair.majority is not None
    ]
    if len(told) < 2:
        return None
    right, said = zip(*told, strict=True)
    return classification_report(right, said, LABELS)


def _kappa(voted: Sequence[_Both]) -> Agreement | None:
    right = [one.expert.majority.value for one in voted if one.expert.majority]
    said = [one.outcome.value for one in voted]
    return where_defined(lambda: cohen_kappa(right, said, "linear", labels=LABELS))


def _tie_calibrated(voted: Sequence[_Both]) -> TieCalibrated | None:
    """The halves are drawn by key, so that a pair stays in its half."""
    d = [one.difference for one in voted]
    e = [float(one.expert.majority.sign) for one in voted if one.expert.majority]
    half = [hashlib.sha256(one.verdict.key.encode()).digest()[0] < 128 for one in voted]
    return where_defined(lambda: tie_calibrated_accuracy(d, e, half))


def _longer_on_ties(voted: Sequence[_Both]) -> Estimate | None:
    preferred = [
        one.verdict
        for one in voted
        if one.expert.majority is Outcome.TIE
        and one.outcome is not Outcome.TIE
        and one.verdict.length_a != one.verdict.length_b
    ]
    return share([(v.length_b > v.length_a) == (v.outcome is Outcome.B) for v in preferred])


def _own_excess(
    model: str | None, both: Sequence[_Both], clusters: Mapping[str, str] | None
) -> Estimate | None:
    """On pairs of which exactly one answer is of the judge's family."""
    if model is None:
        return None
    excess: list[float] = []
    of: list[_Both] = []
    for one in both:
        own = [family(name) == family(model) for name in one.expert.models or ()]
        if own.count(True) == 1:
            side = 1 if own[1] else -1
            excess.append(side * (one.outcome.sign - one.expert.preference) / 2)
            of.append(one)
    return estimated(excess, _clusters(of, clusters), (-1.0, 1.0), 0)


def _retest(judged: Judged) -> Estimate | None:
    before = {verdict.key: verdict.outcome for verdict in judged.verdicts}
    told = [
        verdict.outcome is before[verdict.key]
        for verdict in judged.again
        if verdict.outcome is not None and before.get(verdict.key) is not None
    ]
    return share(told)


def _notes(n: int, n_unscored: int, n_asked: int) -> list[str]:
    found: list[str] = []
    if n < FEW:
        found.append(f"{n} pairs are few: at 100 a correlation of 0.5 is known to ±0.15 only")
    if n_unscored:
        found.append(f"{n_unscored} of {n_asked} pairs have no verdict")
    return found
