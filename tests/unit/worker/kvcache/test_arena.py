from itertools import pairwise

import torch
from hypothesis import given
from hypothesis import strategies as st

from worker.kvcache.arena import KVCacheSpec, Reservation, SlotAllocator, max_positions_in_memory

SPEC = KVCacheSpec(layers=2, kv_heads=2, head_dim=16)


def test_slots_lie_side_by_side_and_a_gap_is_filled_again() -> None:
    slots = SlotAllocator(10)
    first, second = slots.take(4), slots.take(4)
    assert (first, second, slots.take(3)) == (Reservation(0, 4), Reservation(4, 4), None)
    assert first
    slots.free(first)
    assert (slots.take(3), slots.take(2), slots.take(1)) == (Reservation(0, 3), Reservation(8, 2), Reservation(3, 1))


@given(st.lists(st.tuples(st.integers(1, 40), st.integers(0, 5)), max_size=60))
def test_no_two_slots_ever_overlap_and_none_is_lost(wanted: list[tuple[int, int]]) -> None:
    slots, held = SlotAllocator(100), []
    for length, victim in wanted:
        slot = slots.take(length)
        if slot:
            held.append(slot)
        elif held:
            slots.free(held.pop(victim % len(held)))
        held.sort()
        assert all(before.end <= after.start for before, after in pairwise(held))
        assert not held or held[-1].end <= 100
        assert slots.used == sum(slot.length for slot in held)
    for slot in held:
        slots.free(slot)
    assert slots.take(100) == Reservation(0, 100)


def test_the_cache_is_as_large_as_all_requests_need_or_as_half_the_memory_allows() -> None:
    position = 2 * 2 * 2 * 16 * 4  # keys and values, layers, heads, numbers of a head, bytes
    assert max_positions_in_memory(SPEC, torch.float32, requests=3, max_length=512, free_bytes=1 << 30) == 3 * 512
    assert max_positions_in_memory(SPEC, torch.float32, requests=3, max_length=512, free_bytes=200 * position) == 100
