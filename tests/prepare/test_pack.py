from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modiste.errors import InvalidInput
from modiste.prepare.pack import pack


@given(st.lists(st.integers(0, 50)), st.randoms())
def test_every_sample_lies_whole_in_exactly_one_pack(lengths, rng):
    order = list(range(len(lengths)))
    rng.shuffle(order)

    packs = pack(lengths, 50, order=order)

    assert sorted(at for members in packs for at in members) == sorted(order)
    assert all(sum(lengths[at] for at in members) <= 50 for members in packs)


@given(st.lists(st.integers(1, 50)), st.randoms())
def test_packs_and_their_members_keep_the_order_they_were_given(lengths, rng):
    order = list(range(len(lengths)))
    rng.shuffle(order)
    place = {at: position for position, at in enumerate(order)}

    packs = pack(lengths, 50, order=order)

    assert all(members == sorted(members, key=place.__getitem__) for members in packs)
    firsts = [place[members[0]] for members in packs]
    assert firsts == sorted(firsts)


def test_a_sample_goes_to_the_fullest_pack_that_has_room():
    assert pack([6, 8, 2, 4], 10) == [[0, 3], [1, 2]]


def test_real_lengths_fill_their_packs():
    rng = random.Random(0)
    lengths = [min(2048, int(rng.lognormvariate(5.5, 0.8))) + 1 for _ in range(20_000)]

    packs = pack(lengths, 2_049)

    # Measured 0.994; closing a pack at the first sample that does not fit gives 0.859.
    assert sum(lengths) / (2_049 * len(packs)) > 0.99


def test_a_subset_can_be_packed():
    assert pack([1, 2, 3], 10, order=[2, 0]) == [[2, 0]]
    assert pack([], 10) == []


def test_samples_that_do_not_fit_are_all_named():
    with pytest.raises(InvalidInput, match=r"1 \(11 tokens\), 2 \(12 tokens\)"):
        pack([10, 11, 12], 10)
