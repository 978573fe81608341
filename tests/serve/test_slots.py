"""Ranges never overlap, never leak, and start where alignment wants them."""

from hypothesis import given
from hypothesis import strategies as st

from modiste.serve.slots import ALIGNMENT, Slot, Slots


@given(st.lists(st.tuples(st.booleans(), st.integers(min_value=1, max_value=90)), max_size=60))
def test_reserved_ranges_never_overlap_and_all_come_back(moves):
    slots, held = Slots(320), []
    for give_back, size in moves:
        if give_back and held:
            slots.release(held.pop(size % len(held)))
        elif (slot := slots.reserve(size)) is not None:
            assert slot.size >= size
            assert slot.first % ALIGNMENT == 0
            assert all(
                slot.first >= other.first + other.size or other.first >= slot.first + slot.size
                for other in held
            )
            held.append(slot)
        assert slots.n_free == 320 - sum(slot.size for slot in held)
    for slot in held:
        slots.release(slot)
    assert slots.reserve(320) == Slot(0, 320)


def test_more_than_there_is_gets_nothing():
    slots = Slots(64)
    assert slots.reserve(65) is None
    assert slots.reserve(40) == Slot(0, 48)
    assert slots.reserve(17) is None
    assert slots.reserve(16) == Slot(48, 16)


def test_a_memory_smaller_than_one_unit_holds_nothing():
    assert Slots(ALIGNMENT - 1).reserve(1) is None
