"""How various texts are."""

import pytest

from modiste.errors import InvalidInput
from modiste.evaluate.stats.variety import cluster_entropy, distinct_n, length_hist, vendi


def test_the_vendi_score_of_known_vectors() -> None:
    """vendi-score's own formula, computed in float64."""
    found = vendi([[1, 0], [1, 0], [0, 1], [0.6, 0.8]])
    assert found.value == pytest.approx(1.9106560008522477)
    assert found.n == 4
    assert vendi([[1, 0], [1, 0], [0, 1], [0, 1]]).value == pytest.approx(2.0)
    assert vendi([[3, 0], [0, 0.1]]).value == pytest.approx(2.0)


def test_runs_of_words_that_differ() -> None:
    assert distinct_n(["a b c", "a b d"], 2).value == 3 / 4
    assert distinct_n(["a b c", "a b d"], 1).method == "distinct-1"


def test_lengths_in_doubling_bins_without_gaps() -> None:
    found = length_hist(["a b", "a " * 9, "a b c"])
    assert found.bins == {"2-3": 2, "4-7": 0, "8-15": 1}
    assert (found.mean, found.median, found.n) == (14 / 3, 3, 3)
    assert length_hist(["", "a"]).bins == {"0": 1, "1": 1}


def test_topics_are_even_where_all_are_equally_large() -> None:
    assert cluster_entropy("aabbcc").value == pytest.approx(1)
    assert cluster_entropy("aaaa").value == 0
    assert 0 < cluster_entropy("aaab").value < 1


def test_nothing_has_no_variety() -> None:
    with pytest.raises(InvalidInput, match=r"x\[1\] is all zeros"):
        vendi([[1, 0], [0, 0]])
    with pytest.raises(InvalidInput, match="none of 1 texts has 4 words"):
        distinct_n(["a b"], 4)
    with pytest.raises(InvalidInput, match="no text"):
        length_hist([])
    with pytest.raises(InvalidInput, match="no cluster"):
        cluster_entropy([])
