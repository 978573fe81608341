"""Items drawn again: the same seed the same interval, whole clusters, within strata."""

import time

import numpy as np
import pytest
from scipy import stats as scipy_stats

from modiste.errors import InvalidInput
from modiste.evaluate.stats.bootstrap import bootstrap, interval_of_draws
from modiste.evaluate.stats.estimates import mean_estimate

RNG = np.random.default_rng(0)
SKEWED = RNG.lognormal(size=60)


def test_the_same_seed_gives_the_same_interval_and_stands_in_the_method() -> None:
    one, again = (
        bootstrap(np.mean, SKEWED, n=500, seed=7),
        bootstrap(np.mean, SKEWED, n=500, seed=7),
    )
    assert one == again
    assert one.method == "expanded percentile bootstrap, 500 draws, seed 7"
    assert bootstrap(np.mean, SKEWED, n=500, seed=8).ci != one.ci


def skewness(x: np.ndarray, axis: int = -1) -> np.ndarray:
    apart = x - x.mean(axis=axis, keepdims=True)
    return (apart**3).mean(axis=axis) / (apart**2).mean(axis=axis) ** 1.5


@pytest.mark.parametrize("kind", ["percentile", "BCa"])
def test_from_the_same_draws_scipy_gives_the_same_interval(kind: str) -> None:
    """It does not expand, which of a billion items makes no difference."""
    theirs = scipy_stats.bootstrap(
        (SKEWED,), skewness, n_resamples=2_000, method=kind, random_state=1
    )
    left_out = [np.array([skewness(np.delete(SKEWED, at)) for at in range(60)])]
    ours = interval_of_draws(
        float(skewness(SKEWED)),
        theirs.bootstrap_distribution,
        items=10**9,
        left_out=left_out if kind == "BCa" else None,
        seed=1,
    )
    expected = theirs.confidence_interval
    assert (ours.ci.lo, ours.ci.hi) == pytest.approx((expected.low, expected.high), abs=1e-6)
    assert ours.se == pytest.approx(theirs.standard_error)


def test_bca_leaves_each_unit_out_once() -> None:
    seen: list[int] = []

    def mean(x: np.ndarray) -> float:
        seen.append(len(x))
        return float(x.mean())

    bootstrap(mean, SKEWED, n=10, kind="bca", clusters=np.arange(60) // 4)
    assert sorted(seen[11:]) == [56] * 15
    seen.clear()
    bootstrap(mean, SKEWED, n=10, kind="bca", strata=np.arange(60) // 20)
    assert sorted(seen[11:]) == [59] * 60


def test_few_items_read_quantiles_further_out() -> None:
    """Of 1,001 evenly spaced draws and 10 items: Φ(−√(10/9) · 2.2622) = .0085 instead of .025."""
    found = interval_of_draws(0.5, np.linspace(0, 1, 1_001), items=10, seed=0)
    assert found.ci.lo == pytest.approx(0.00855, abs=1e-4)
    assert found.ci.hi == pytest.approx(1 - 0.00855, abs=1e-4)


def test_the_fast_way_of_means_is_the_slow_way() -> None:
    """10 % is 4 sigma of 2,000 draws each."""
    clusters = np.arange(60) // 4
    for labels in ({}, {"clusters": clusters}, {"strata": clusters}):
        fast = bootstrap(np.mean, SKEWED, n=2_000, **labels)
        slow = bootstrap(lambda x: float(x.mean()), SKEWED, n=2_000, seed=1, **labels)
        assert fast.se == pytest.approx(slow.se, rel=0.1)
        assert fast.ci.lo == pytest.approx(slow.ci.lo, abs=0.1 * slow.ci.width)


def test_clusters_are_drawn_whole() -> None:
    """The bootstrap's error is the clustered one, up to √((C − 1)/C); 2 % is 3 sigma of it."""
    rng = np.random.default_rng(1)
    clusters = np.repeat(np.arange(40), 5)
    scores = np.repeat(rng.normal(size=40), 5) + 0.1 * rng.normal(size=200)
    drawn = bootstrap(np.mean, scores, clusters=clusters, n=20_000)
    expected = mean_estimate(scores, clusters).se * (39 / 40) ** 0.5
    assert drawn.se == pytest.approx(expected, rel=0.02)
    assert drawn.n_clusters == 40
    assert drawn.se > 2 * bootstrap(np.mean, scores, n=20_000).se


def test_within_strata_each_keeps_its_number() -> None:
    groups = [0] * 10 + [1] * 30
    column = np.array(groups, dtype=float)
    drawn = bootstrap(lambda x: float(x.sum()), column, strata=groups, n=200)
    assert drawn.se == 0
    assert "the interval is a point" in drawn.notes[0]


def test_columns_are_drawn_together() -> None:
    x = np.random.default_rng(2).normal(size=50)
    drawn = bootstrap(lambda a, b: float(np.abs(a - b).max()), x, x, n=100)
    assert drawn.ci.hi == 0


def test_draws_without_a_value_are_counted_and_too_many_refused() -> None:
    def mean_of_positive(x: np.ndarray) -> float:
        return float(x[x > 0].mean()) if (x > 0).any() else float("nan")

    few = [1.0] + [-1.0] * 9
    found = bootstrap(mean_of_positive, few, n=2_000)
    # (9/10)^10 = 35 % of draws hold no positive.
    missing = int(found.notes[0].split()[2])
    assert missing / 2_000 == pytest.approx(0.349, abs=0.05)
    with pytest.raises(InvalidInput, match="undefined on"):
        bootstrap(lambda x: float("nan") if x[0] < 0 else 1.0, [1.0] + [-1.0] * 9, n=500)
    with pytest.raises(InvalidInput, match="items themselves"):
        bootstrap(lambda x: float("nan"), few)


def test_a_thousand_clusters_of_five_take_a_third_of_a_second() -> None:
    """10,000 draws of a mean over 5,000 items took 0.2 s of one core, clusters 0.05 s."""
    scores = np.random.default_rng(0).normal(size=5_000)
    start = time.process_time()
    bootstrap(np.mean, scores)
    items = time.process_time() - start
    start = time.process_time()
    bootstrap(np.mean, scores, clusters=np.arange(5_000) // 5)
    assert items < 1.0
    assert time.process_time() - start < 0.6


def test_what_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(InvalidInput, match="no column"):
        bootstrap(np.mean)
    with pytest.raises(InvalidInput, match="draw by one of them"):
        bootstrap(np.mean, [1.0, 2.0], clusters=[0, 1], strata=[0, 1])
    with pytest.raises(InvalidInput, match="clusters has 1 labels for 2 items"):
        bootstrap(np.mean, [1.0, 2.0], clusters=[0])
    with pytest.raises(InvalidInput, match="one cluster"):
        bootstrap(np.mean, [1.0, 2.0], clusters=[0, 0])
    with pytest.raises(InvalidInput, match="nan"):
        bootstrap(np.mean, [1.0, float("nan")])
