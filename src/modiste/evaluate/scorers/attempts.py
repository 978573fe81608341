"""Figures of right and wrong over several attempts at each item.

The items are the sample, never the attempts: intervals are over items (or clusters of them).
`mean` is the mean over items of the mean over attempts, which is pass@1; `attempt_k` the share
right in attempt k alone; `all_correct` of items right in every attempt, `any_correct` in one at
least; `majority` of items whose commonest answer is right (a tie is shared); `within_variance` how
much attempts at one item differ (mean of their variances, n − 1).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from statistics import variance

from modiste.evaluate.items import Sample, Score
from modiste.evaluate.metric import Metric, figure, mean_metric, score_of
from modiste.evaluate.scorer import Scorer

OfItem = Callable[[Sequence[Score]], float | None]


def attempt_metrics(
    scorer: Scorer, samples: Sequence[Sample], *, also: Sequence[str] = ()
) -> tuple[Metric, ...]:
    """
    Args:
        also: names in the scores' details that are shares of their own.
    """
    first = mean_metric(scorer, samples, notes=_notes(scorer.name, samples))
    extra = tuple(_of_detail(scorer, samples, name) for name in also)
    attempts = sorted({sample.attempt for sample in samples})
    if len(attempts) < 2:
        return (first, *extra)
    per_attempt = tuple(
        mean_metric(scorer, [s for s in samples if s.attempt == at], name=f"attempt_{at + 1}")
        for at in attempts
    )
    scores: dict[str, list[Score]] = defaultdict(list)
    for sample in samples:
        if (score := score_of(scorer.name, sample)) is not None:
            scores[sample.item.key].append(score)
    over = {
        "pass_at_1": lambda of: sum(one.value or 0 for one in of) / len(of),
        "all_correct": lambda of: float(all(one.value for one in of)),
        "any_correct": lambda of: float(any(one.value for one in of)),
        "majority": _majority,
        "within_variance": _within,
    }
    whole = {key: of for key, of in scores.items() if len(of) == len(attempts)}
    made = [_over_items(scorer, samples, name, of_item, whole) for name, of_item in over.items()]
    made[-1] = replace(made[-1], higher_is_better=False, unit="share²")
    return (first, *extra, *per_attempt, *made)


def _over_items(
    scorer: Scorer,
    samples: Sequence[Sample],
    name: str,
    of_item: OfItem,
    whole: Mapping[str, Sequence[Score]],
) -> Metric:
    """Of items with all attempts scored; others are unscored."""
    once = list({sample.item.key: sample for sample in samples}.values())

    def value(sample: Sample) -> float | None:
        scores = whole.get(sample.item.key)
        return None if scores is None else of_item(scores)

    return figure(scorer, once, value, name=name)


def _of_detail(scorer: Scorer, samples: Sequence[Sample], name: str) -> Metric:
    def value(sample: Sample) -> float | None:
        score = score_of(scorer.name, sample)
        return None if score is None else float(score.detail[name])

    return figure(scorer, samples, value, name=name)


def _majority(scores: Sequence[Score]) -> float:
    """By what was picked, which is the text behind a letter: letters are shuffled."""
    counts = Counter(str(score.detail.get("picked")) for score in scores)
    most = max(counts.values())
    tied = [picked for picked, count in counts.items() if count == most]
    right = {str(score.detail.get("picked")) for score in scores if score.value}
    return sum(picked in right for picked in tied) / len(tied)


def _within(scores: Sequence[Score]) -> float:
    return variance(score.value or 0.0 for score in scores)


def _notes(name: str, samples: Sequence[Sample]) -> tuple[str, ...]:
    found = [score for score in (score_of(name, sample) for sample in samples) if score is not None]
    unread = sum("unread" in score.detail for score in found)
    low = sum("low_mass" in score.detail for score in found)
    said = []
    if unread:
        said.append(f"{unread} of {len(found)} answers name no choice and count as wrong")
    if low:
        said.append(f"in {low} of {len(found)} answers letters have less than half of the mass")
    return tuple(said)
