"""Strengths from games: a published league, noiseless tournaments, groups that never met."""

import numpy as np
import pytest

from modiste.errors import InvalidInput
from modiste.evaluate.stats.bradley_terry import bradley_terry, bt_logistic

# Agresti, Categorical Data Analysis, table of the American League East 1987: 13 games a pair.
TEAMS = ("Milwaukee", "Detroit", "Toronto", "New York", "Boston", "Cleveland", "Baltimore")
LEAGUE = np.array([
    [0, 7, 9, 7, 7, 9, 11],
    [6, 0, 7, 5, 11, 9, 9],
    [4, 6, 0, 7, 7, 8, 12],
    [6, 8, 6, 0, 6, 7, 10],
    [6, 2, 6, 7, 0, 7, 12],
    [4, 4, 5, 6, 6, 0, 6],
    [2, 4, 1, 3, 1, 7, 0],
])  # fmt: skip
PUBLISHED = (1.5814, 1.4364, 1.2945, 1.2476, 1.1077, 0.6839, 0.0)


def rows_of(wins: np.ndarray) -> tuple[list[int], list[int], list[float]]:
    games = [(i, j) for i, j in np.argwhere(wins) for _ in range(int(wins[i, j]))]
    return [int(i) for i, _ in games], [int(j) for _, j in games], [1.0] * len(games)


def test_the_published_league() -> None:
    found = bradley_terry(LEAGUE, ref=6)
    assert found.theta == pytest.approx(PUBLISHED, abs=5e-5)
    assert found.notes == ()
    assert found.n == 273
    # Baltimore is surely below the first five, Cleveland surely below none.
    assert found.rank_ci[6] == (6, 7)
    assert found.rank_ci[0][0] == 1


def test_logistic_regression_without_covariates_is_the_same() -> None:
    by_games = bt_logistic(*rows_of(LEAGUE), ref=6)
    by_table = bradley_terry(LEAGUE, ref=6)
    assert by_games.theta == pytest.approx(by_table.theta, abs=1e-6)
    assert by_games.se == pytest.approx(by_table.se, abs=1e-6)
    assert by_games.notes == ()


def test_a_tournament_without_noise_is_ordered_and_says_what_holds_it_up() -> None:
    order = [3, 0, 4, 1, 2]
    wins = np.zeros((5, 5))
    for place, winner in enumerate(order):
        for loser in order[place + 1 :]:
            wins[winner, loser] = 4
    found = bradley_terry(wins)
    assert sorted(range(5), key=lambda i: -found.theta[i]) == order
    assert "no chain of wins" in found.notes[0]
    assert "0.1 pseudo-games" in found.notes[1]
    with pytest.raises(InvalidInput, match="prior above 0"):
        bradley_terry(wins, prior=0)


def test_groups_that_never_met_are_not_compared_in_silence() -> None:
    wins = np.zeros((4, 4))
    wins[0, 1] = wins[1, 0] = wins[2, 3] = wins[3, 2] = 5
    assert "2 groups that never met" in bradley_terry(wins).notes[0]
    left, right, won = rows_of(wins)
    assert "2 groups that never met" in bt_logistic(left, right, won).notes[0]


def test_ties_are_half_a_win_each() -> None:
    wins, ties = np.array([[0, 6], [2, 0]]), np.array([[0, 4], [4, 0]])
    found = bradley_terry(wins, ties)
    assert found.theta[0] - found.theta[1] == pytest.approx(np.log(8 / 4))
    assert found.n == 12


def test_renumbering_the_models_renumbers_the_result() -> None:
    order = np.array([4, 2, 0, 6, 1, 3, 5])
    straight, moved = bradley_terry(LEAGUE), bradley_terry(LEAGUE[np.ix_(order, order)])
    assert moved.theta == pytest.approx([straight.theta[i] for i in order])
    assert moved.rank_ci == tuple(straight.rank_ci[i] for i in order)
    assert sum(straight.theta) == pytest.approx(0)


def test_coming_first_is_held_apart_from_being_better() -> None:
    """A judge that adds a log-odds of 1 to whoever comes first, over 6,000 games.

    The errors are about .06, the tolerance is 4 of them.
    """
    rng = np.random.default_rng(0)
    theta = np.array([0.0, 0.7, -0.4])
    left = rng.integers(0, 3, 6_000)
    right = (left + rng.integers(1, 3, 6_000)) % 3
    first = rng.choice([-1.0, 1.0], 6_000)
    p = 1 / (1 + np.exp(-(theta[left] - theta[right] + 1.0 * first)))
    found = bt_logistic(left, right, rng.uniform(size=6_000) < p, first[:, None], ref=0)
    assert found.coefficients[0] == pytest.approx(1.0, abs=0.15)
    assert found.theta == pytest.approx(theta, abs=0.25)
    assert max(found.se) < 0.08


def test_a_difference_of_400_points_is_ten_to_one() -> None:
    found = bradley_terry([[0, 10], [1, 0]])
    assert found.elo[0] - found.elo[1] == pytest.approx(400)


def test_what_is_no_table_of_games_is_refused() -> None:
    with pytest.raises(InvalidInput, match="square"):
        bradley_terry([[0, 1, 2], [1, 0, 2]])
    with pytest.raises(InvalidInput, match="symmetric"):
        bradley_terry([[0, 1], [1, 0]], [[0, 1], [2, 0]])
    with pytest.raises(InvalidInput, match="ref = 5"):
        bradley_terry([[0, 1], [1, 0]], ref=5)
    with pytest.raises(InvalidInput, match="two different models"):
        bt_logistic([0], [0], [1])
    with pytest.raises(InvalidInput, match="outside 0 to 1"):
        bt_logistic([0], [1], [2])
