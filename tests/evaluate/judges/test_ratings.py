"""Correlations of ratings name their level."""

from __future__ import annotations

import random

import pytest

from modiste.errors import InvalidInput
from modiste.evaluate.judges.ratings import levels_of

# The reference's vector: d and e of ten pairs.
D = [0.5, 1, -0.5, 0, 1, -1, 0, 0.5, 1, -1]
E = [1, 1, -1, 0, 1, -1, 1, 0, 0, -1]


def test_pooled_figures_are_those_of_the_reference():
    (pooled,) = levels_of(D, E)
    assert pooled.n == 10
    assert pooled.pearson.value == pytest.approx(0.785509, abs=1e-6)
    assert pooled.spearman.value == pytest.approx(0.734904, abs=1e-6)
    assert pooled.kendall_b.value == pytest.approx(0.641119, abs=1e-6)
    assert pooled.spearman.ci.lo < 0.734904 < pooled.spearman.ci.hi


@pytest.fixture
def sourced():
    """Twenty sources of which some are easy for everyone; within a source the judge is noise."""
    rng = random.Random(1)
    judge, people, groups, systems = [], [], [], []
    for source in range(20):
        for system in range(5):
            judge.append(source + rng.random())
            people.append(source + rng.random())
            groups.append(str(source))
            systems.append(str(system))
    return judge, people, groups, systems


def test_a_judge_may_know_what_is_easy_and_not_what_is_good(sourced):
    judge, people, groups, systems = sourced
    pooled, by_group, by_system = levels_of(judge, people, groups=groups, systems=systems)
    assert pooled.pearson.value > 0.95
    assert by_group.pearson.ci.lo < 0.1
    assert (by_group.n, by_system.n) == (20, 5)


def test_groups_in_which_nothing_varies_are_counted(sourced):
    judge, people, groups, _ = sourced
    people[:5] = [3.0] * 5
    by_group = levels_of(judge, people, groups=groups)[1]
    assert (by_group.n, by_group.n_left_out) == (19, 1)


def test_columns_must_fit():
    with pytest.raises(InvalidInput, match="groups has 3 values for 10"):
        levels_of(D, E, groups=["x"] * 3)
    with pytest.raises(InvalidInput, match="3 items cannot be correlated"):
        levels_of([1, 2, 3], [1, 2, 3])
