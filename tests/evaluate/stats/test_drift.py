"""Drift of one feature, and what no drift looks like."""

import numpy as np
import pytest

from modiste.errors import InvalidInput
from modiste.evaluate.stats.drift import g_test, js_distance, psi, psi_counts

REF, CUR = [100, 200, 300, 400], [150, 250, 300, 300]


def test_psi_and_js_distance_of_the_reference_shares() -> None:
    """scipy 1.17 `distance.jensenshannon(base=2)`."""
    assert psi_counts(REF, CUR).psi == pytest.approx(0.06019864021629681)
    assert js_distance(REF, CUR) == pytest.approx(0.10396737285119051)


def test_what_no_drift_gives_is_told_beside() -> None:
    found = psi_counts(REF, CUR)
    assert found.expected_null == pytest.approx(3 * (1 / 1000 + 1 / 1000))
    # 30.1 on 3 degrees of freedom.
    assert found.p == pytest.approx(1.3e-6, rel=0.05)


def test_the_g_test_is_scipys() -> None:
    from scipy.stats import chi2_contingency

    theirs = chi2_contingency([REF, CUR], lambda_="log-likelihood")
    ours = g_test(REF, CUR)
    assert (ours.statistic, ours.p) == pytest.approx((theirs.statistic, theirs.pvalue))
    assert g_test([5, 0, 5], [5, 0, 5]).p == 1


def test_bins_hold_equally_many_reference_items() -> None:
    ref = np.random.default_rng(0).exponential(size=1_000)
    found = psi(ref, ref + 0.5)
    assert [share for share, _ in found.bins] == pytest.approx([0.1] * 10)
    assert found.p < 1e-10
    assert psi(ref, ref).psi == pytest.approx(0)


def test_an_empty_bin_counts_as_half_an_item() -> None:
    found = psi_counts([10, 10], [20, 0])
    p, q = np.array([0.5, 0.5]), np.array([1.0, 0.025])
    assert found.psi == pytest.approx(float(((q - p) * np.log(q / p)).sum()))
    assert np.isfinite(found.p)


def test_values_of_few_kinds_make_few_bins() -> None:
    found = psi([0] * 50 + [1] * 50, [0] * 20 + [1] * 80)
    assert len(found.bins) == 2
    assert found.p < 0.01


def test_distances_are_0_for_equal_shares_and_1_for_nothing_in_common() -> None:
    assert js_distance([1, 2], [10, 20]) == pytest.approx(0)
    assert js_distance([1, 0], [0, 5]) == pytest.approx(1)


@pytest.mark.parametrize(("m", "share"), [(100, 0.45), (50, 0.87)])
def test_without_any_drift_the_rule_of_thumb_alarms_about_every_other_time(
    m: int, share: float
) -> None:
    """1,000 against m items in 10 bins, 800 runs: within .07 of the published share, 4 sigma."""
    rng = np.random.default_rng(m)
    runs = [psi(rng.normal(size=1_000), rng.normal(size=m)) for _ in range(800)]
    assert np.mean([run.psi > 0.1 for run in runs]) == pytest.approx(share, abs=0.07)
    assert np.mean([run.p < 0.05 for run in runs]) < 0.1


def test_what_cannot_drift_is_refused() -> None:
    with pytest.raises(InvalidInput, match="3 reference items do not fill 10 bins"):
        psi([1, 2, 3], [1, 2, 3])
    with pytest.raises(InvalidInput, match=r"every reference item is 1\.0"):
        psi([1] * 10, [1] * 10, bins=2)
    with pytest.raises(InvalidInput, match="only one category"):
        g_test([5], [5])
    with pytest.raises(InvalidInput, match="negative"):
        js_distance([-1, 2], [1, 1])
