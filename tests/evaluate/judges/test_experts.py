"""People agree with each other so far and no further."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import pytest

from modiste.errors import InvalidInput
from modiste.evaluate.items import Item
from modiste.evaluate.judges.experts import ExpertPair, experts_of
from modiste.evaluate.judges.pairs import Outcome, Pair

DATA = Path(os.environ.get("MODISTE_DATA", Path(__file__).parents[3] / ".." / "shared" / "data"))
A, B, TIE = Outcome.A, Outcome.B, Outcome.TIE


def voted(*votes, key="k"):
    return ExpertPair(Pair(Item(key, {}), "x", "y"), votes)


def test_a_pair_has_a_mean_vote_and_a_majority():
    assert (voted(A, B, B).preference, voted(A, B, B).majority) == (pytest.approx(1 / 3), B)
    assert (voted(A, None, B).preference, voted(A, None, B).majority) == (0.0, None)
    assert voted(TIE).majority is TIE


def test_agreement_and_ceiling():
    pairs = [voted(A, A, A), voted(A, A, B), voted(B, B, B), voted(A, B, TIE)]
    found = experts_of(pairs, ("ann", "ben", "cat"), None)
    assert found.agreement.value == pytest.approx((1 + 1 / 3 + 1 + 0) / 4)
    # Left out in turn: 1; (½ + ½ + 0)/3; 1; 0. With three experts this is the agreement itself.
    assert found.ceiling.value == pytest.approx(found.agreement.value)
    assert found.n_undecided == 1
    assert [(one.first, one.second) for one in found.between] == [
        ("ann", "ben"),
        ("ann", "cat"),
        ("ben", "cat"),
    ]


def test_with_four_experts_ties_among_the_others_count_by_chance():
    found = experts_of([voted(A, A, B, B), voted(A, A, A, A)], tuple("wxyz"), None)
    # Of A A B B each expert faces one of its kind and two of the other: never right.
    assert found.ceiling.value == pytest.approx((0 + 1) / 2)


def test_gaps_leave_alpha_and_take_fleiss():
    pairs = [voted(A, A, None), voted(B, None, B), voted(A, B, B), voted(A, None, None)]
    found = experts_of(pairs, ("ann", "ben", "cat"), None)
    assert found.fleiss is None
    assert found.alpha.n == 3
    assert found.n_pairs == 4


def test_votes_that_are_all_the_same_have_no_agreement_beyond_chance():
    found = experts_of([voted(A, A), voted(A, A)], ("ann", "ben"), None)
    assert found.agreement.value == 1.0
    assert (found.fleiss, found.alpha) == (None, None)


def test_one_expert_alone_has_no_ceiling():
    found = experts_of([voted(A), voted(B)], ("ann",), None)
    assert (found.agreement, found.ceiling, found.alpha) == (None, None, None)


def test_no_pairs_are_refused():
    with pytest.raises(InvalidInput, match="no pairs"):
        experts_of([], ("ann",), None)


# Published with the data (κ) and recomputed in the reference (agreement, Fleiss, α).
def test_pandalms_people_agree_as_published():
    path = DATA / "i_pandalm" / "testset_v1.jsonl.gz"
    if not path.exists():
        pytest.skip(f"{path} is not there; set MODISTE_DATA")
    with gzip.open(path, "rt") as lines:
        rows = [json.loads(line) for line in lines]
    said = {0: TIE, 1: A, 2: B}
    pairs = [
        voted(*(said[row[f"annotator{n}"]] for n in (1, 2, 3)), key=str(row["idx"])) for row in rows
    ]
    found = experts_of(pairs, ("1", "2", "3"), None)
    assert found.n_pairs == 999
    assert found.agreement.value == pytest.approx(0.920, abs=5e-4)
    kappas = [between.kappa.value for between in found.between]
    assert kappas == pytest.approx([0.8520, 0.8789, 0.8617], abs=5e-5)
    assert found.fleiss.value == pytest.approx(0.8642, abs=5e-5)
    assert found.alpha.value == pytest.approx(0.8642, abs=5e-5)
