"""Two runs side by side."""

from __future__ import annotations

import numpy as np
from scripted_runs import item, run, run_of, sample

from modiste.evaluate.pairing import Pairs


def test_items_meet_by_their_keys_whatever_order_their_samples_ended_in() -> None:
    a = run("a", {"exact": [1, 0, 1]})
    backwards = run_of("b", list(reversed(run("b", {"exact": [0, 0, 1]}).samples)), ["exact"])
    column = Pairs.of(a, backwards).scores("exact")
    assert column.baseline.means.tolist() == [1, 0, 1]
    assert column.candidate.means.tolist() == [0, 0, 1]


def test_attempts_are_averaged_over_those_that_have_a_score() -> None:
    samples = [sample(item(0), {"exact": value}, attempt=k) for k, value in enumerate([1, None, 0])]
    samples.append(sample(item(1), {"exact": None}))
    samples.append(sample(item(2), {"exact": 1}))
    one = run_of("a", samples, ["exact"])
    side = Pairs.of(one, one).scores("exact").baseline
    assert side.means[0] == 0.5
    assert np.isnan(side.means[1])
    assert side.unscored.tolist() == [1, 1, 0]
    assert side.attempts.tolist() == [3, 1, 1]


def test_the_first_attempt_stands_for_an_item() -> None:
    samples = [sample(item(0), {"exact": 1}, attempt=k, text=f"try {k}") for k in (2, 0, 1)]
    one = run_of("a", samples, ["exact"])
    assert Pairs.of(one, one).baseline.first[0].answer.text == "try 0"


def test_items_without_a_source_are_clusters_of_their_own() -> None:
    def some(at: int):  # type: ignore[no-untyped-def]
        return item(at, cluster="doc" if at < 2 else None)

    one = run("a", {"exact": [1, 0, 1, 0]}, items=some)
    clusters = Pairs.of(one, one).clusters
    assert clusters is not None
    assert clusters.tolist() == [0, 0, 1, 2]
    plain = run("a", {"exact": [1, 0]})
    assert Pairs.of(plain, plain).clusters is None


def test_slices_are_masks_over_the_items() -> None:
    def by(at: int):  # type: ignore[no-untyped-def]
        return item(at, slices={"topic": "law" if at else "tax"})

    one = run("a", {"exact": [1, 0, 1]}, items=by)
    masks = {part: mask.tolist() for part, mask in Pairs.of(one, one).slices.items()}
    assert masks == {
        ("topic", "law"): [False, True, True],
        ("topic", "tax"): [True, False, False],
    }
