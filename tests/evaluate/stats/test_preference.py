"""Wins, ties and losses: the published case, and what must hold."""

import pytest

from modiste.errors import InvalidInput
from modiste.evaluate.stats.bootstrap import bootstrap
from modiste.evaluate.stats.estimates import wilson
from modiste.evaluate.stats.preference import Outcome, decisive_needed, preference, preference_of


def test_the_published_case_38_wins_9_ties_3_losses() -> None:
    """94 % win or tie; 85 % ± 4.1 with ties as half; 38/41 = .927 [.806, .975]; p = 1.0e-8."""
    found = preference(38, 9, 3)
    assert found.win_or_tie.value == 0.94
    assert found.half_tie.value == 0.85
    assert found.half_tie.se == pytest.approx(0.041, abs=0.0005)
    assert found.decisive == wilson(38, 41)
    assert found.decisive is not None
    assert (found.decisive.lo, found.decisive.hi) == pytest.approx((0.806, 0.975), abs=0.0005)
    assert found.decisive_share == pytest.approx(0.927, abs=0.0005)
    assert found.sign_p == pytest.approx(1.0e-8, rel=0.05)
    drawn = bootstrap(lambda x: float(x.mean()), [1.0] * 38 + [0.5] * 9 + [0.0] * 3, n=5_000)
    assert (drawn.ci.lo, drawn.ci.hi) == pytest.approx((0.77, 0.92), abs=0.011)


def test_both_bad_is_half_a_win_but_no_praise() -> None:
    found = preference(10, 0, 10, 20)
    assert found.half_tie.value == 0.5
    assert found.win_or_tie.value == 0.25
    assert found.n == 40
    assert found.both_bad == 20


def test_outcomes_and_their_clusters_may_come_in_any_order() -> None:
    outcomes = [Outcome.LOSS, Outcome.WIN, Outcome.TIE, Outcome.WIN, Outcome.BOTH_BAD, Outcome.WIN]
    clusters = ["q1", "q2", "q1", "q2", "q3", "q3"]
    found = preference_of(outcomes, clusters)
    sorted_by_outcome = preference(3, 1, 1, 1, ["q2", "q2", "q3", "q1", "q1", "q3"])
    assert found == sorted_by_outcome
    assert found.half_tie.n_clusters == 3
    assert "independent" in found.notes[0]


def test_swapping_the_answers_mirrors_everything() -> None:
    forth, back = preference(12, 5, 7), preference(7, 5, 12)
    assert back.half_tie.value == pytest.approx(1 - forth.half_tie.value)
    assert back.half_tie.ci.hi == pytest.approx(1 - forth.half_tie.ci.lo)
    assert back.sign_p == forth.sign_p


def test_ties_only_decide_nothing() -> None:
    found = preference(0, 8, 0)
    assert found.decisive is None
    assert found.sign_p == 1
    assert found.half_tie.ci.lo < 0.5 < found.half_tie.ci.hi


@pytest.mark.parametrize(
    ("p", "needed"), [(0.55, 783), (0.60, 194), (0.65, 85), (0.70, 47), (0.75, 29)]
)
def test_the_published_numbers_of_decisive_comparisons(p: float, needed: int) -> None:
    """80 % power at 5 %, normal approximation."""
    assert decisive_needed(p) == needed


def test_what_is_no_comparison_is_refused() -> None:
    with pytest.raises(InvalidInput, match="0 comparisons"):
        preference(0, 0, 0)
    with pytest.raises(InvalidInput, match="w = -1"):
        preference(-1, 0, 3)
    with pytest.raises(InvalidInput, match="clusters has 2"):
        preference(1, 1, 1, clusters=["a", "b"])
    with pytest.raises(InvalidInput, match=r"p = 0\.5"):
        decisive_needed(0.5)
