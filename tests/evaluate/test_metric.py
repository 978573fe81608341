"""Figures: the mean over items of the mean over attempts, never without n, interval and gaps."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from standin_models import Look

from modiste.evaluate.items import Answer, Item, Sample, Score, Status, scored, unscored
from modiste.evaluate.metric import METRICS, Metric, item_means, mean_metric
from modiste.evaluate.stats.estimates import Estimate, Interval

LOOK = Look(lambda item, answer: scored(1.0))
GONE = unscored(Status.TIMEOUT, "late")


def samples(
    *told: tuple[str, float | None], clusters: dict[str, str] | None = None
) -> list[Sample]:
    """One sample for each item's name and score; None is unscored."""
    made, seen = [], dict[str, int]()
    for key, value in told:
        item = Item(key, {}, cluster=(clusters or {}).get(key))
        score: Score = GONE if value is None else scored(value)
        attempt = seen[key] = seen.get(key, -1) + 1
        made.append(Sample(item, attempt, (), Answer(), {"look": score}))
    return made


def test_attempts_of_an_item_count_as_one_item() -> None:
    found = item_means("look", samples(("a", 1), ("a", 0), ("b", 1), ("b", 1)))
    assert (found.keys, found.values, found.n_unscored) == (("a", "b"), (0.5, 1.0), 0)
    metric = mean_metric(LOOK, samples(*[("a", 1)] * 50, ("b", 0)))
    assert metric.estimate is not None
    assert (metric.estimate.value, metric.estimate.n) == (0.5, 2)


def test_an_attempt_without_a_score_is_counted_and_drags_nothing_down() -> None:
    found = item_means("look", samples(("a", 1), ("a", None), ("b", None), ("c", 0)))
    assert (found.keys, found.values, found.n_unscored) == (("a", "c"), (1.0, 0.0), 2)


def test_a_scorer_that_never_spoke_has_no_figure() -> None:
    metric = mean_metric(Look(lambda i, a: scored(1.0), name="mute"), samples(("a", 1), ("b", 0)))
    assert (metric.estimate, metric.n_unscored) == (None, 2)
    assert mean_metric(LOOK, []).estimate is None


def test_items_of_one_cluster_are_not_independent_and_items_without_are_their_own() -> None:
    told = samples(*[(f"{c}{n}", float(c == "x")) for c in "xyz" for n in range(20)])
    in_clusters = samples(
        *[(f"{c}{n}", float(c == "x")) for c in "xyz" for n in range(20)],
        clusters={f"{c}{n}": c for c in "xy" for n in range(20)},
    )
    plain, clustered = mean_metric(LOOK, told).estimate, mean_metric(LOOK, in_clusters).estimate
    assert plain is not None
    assert clustered is not None
    assert clustered.n_clusters == 22, "two clusters, and twenty items of no cluster"
    assert clustered.ci.width > 1.5 * plain.ci.width


def test_a_cluster_and_an_item_of_the_same_name_are_two() -> None:
    found = item_means("look", samples(("a", 1), ("b", 0), clusters={"b": "a"}))
    assert found.clusters == ("item:a", "cluster:a")


def test_too_little_for_an_interval_is_told_and_gives_no_figure() -> None:
    alone = mean_metric(LOOK, samples(("a", 0.5)))
    assert alone.estimate is None
    assert "at least 2" in alone.notes[0]
    together = mean_metric(LOOK, samples(("a", 1), ("b", 0), clusters={"a": "x", "b": "x"}))
    assert together.estimate is None
    assert "one cluster" in together.notes[0]


def test_a_score_off_the_scale_is_told() -> None:
    metric = mean_metric(LOOK, samples(("a", 2.0), ("b", 0.0)))
    assert metric.estimate is None
    assert "off the scale" in metric.notes[0]


@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_a_figure_that_is_none_is_left_out_and_said(broken: float) -> None:
    ci = Interval(0.0, broken, 0.95, "m")
    estimate = Estimate(value=0.5, se=0.1, ci=ci, n=3, method="m")
    metric = Metric("s", "mean", estimate, notes=("first",), table={"row": [1.0, broken, "x"]}).told
    assert metric.estimate is None
    assert metric.notes[0] == "first"
    assert "none" in metric.notes[1]
    assert metric.table == {"row": [1.0, None, "x"]}


def test_figures_are_json_and_read_back_as_they_were() -> None:
    metric = mean_metric(LOOK, samples(*[(str(n), n / 7) for n in range(8)]), notes=("ä",))
    told: Any = json.loads(METRICS.dump_json((metric.told,)), parse_constant=pytest.fail)
    assert METRICS.validate_python(told) == (metric,)
    assert metric.id == "look.mean"
