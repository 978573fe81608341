"""Slots never overlap, never hold more cells than there are, and give everything back."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from modiste.serve.slots import ALIGNMENT, Slot, Slots

MOVES = st.lists(
    st.tuples(st.sampled_from(["take", "grow", "leave"]), st.integers(1, 100)), max_size=80
)


@given(MOVES)
def test_cells_in_use_are_never_more_than_there_are_and_all_come_back(moves):
    slots, held = Slots(4, size=100, n_cells=320), {}
    for move, n in moves:
        if move == "take":
            before, slot = slots.n_free, slots.reserve(n)
            assert (slot is None) == (len(held) == 4 or -(-n // 16) * 16 > before)
            if slot is not None:
                assert slot not in held
                assert slot.first % ALIGNMENT == 0
                held[slot] = n
        elif held:
            slot = list(held)[n % len(held)]
            if move == "leave":
                assert slots.release(slot) >= held.pop(slot)
            elif slots.grow(slot, n):
                held[slot] = max(n, held[slot])
        assert slots.n_free == 320 - sum(-(-n // 16) * 16 for n in held.values())
        firsts = sorted(slot.first for slot in held)
        assert all(b - a >= slots.size for a, b in itertools.pairwise(firsts))
    for slot in held:
        slots.release(slot)
    assert slots.n_free == 320
    assert slots.reserve(100) == Slot(0, 112)


def test_the_first_idle_slot_is_taken_and_more_than_there_is_gets_nothing():
    slots = Slots(2, size=64, n_cells=96)
    first, second = slots.reserve(64), slots.reserve(32)
    assert (first, second) == (Slot(0, 64), Slot(64, 64))
    assert not slots.grow(second, 33)
    assert slots.grow(second, 32)
    assert slots.release(first) == 64
    assert slots.grow(second, 33)
    assert slots.reserve(49) is None
    assert slots.reserve(48) == Slot(0, 64)


def test_a_memory_smaller_than_one_unit_holds_nothing():
    assert Slots(1, size=5, n_cells=ALIGNMENT - 1).reserve(1) is None
