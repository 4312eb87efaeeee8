from hypothesis import given
from hypothesis import strategies as st

from worker.canvas.unmasking import block_bounds, quota, steps_of_block

lengths = st.integers(1, 400)


@given(lengths, lengths)
def test_blocks_cover_the_span_without_gap_or_overlap(gen_length: int, block_length: int) -> None:
    blocks = block_bounds(gen_length, block_length)
    assert [position for start, end in blocks for position in range(start, end)] == list(range(gen_length))
    assert all(end - start == block_length for start, end in blocks[:-1])


@given(lengths, lengths)
def test_a_block_s_steps_commit_all_of_its_masks(masked: int, steps: int) -> None:
    quotas = [quota(masked, steps, step) for step in range(steps)]
    assert sum(quotas) == masked
    assert quotas == sorted(quotas, reverse=True)
    assert max(quotas) - min(quotas) <= 1


@given(lengths, lengths)
def test_steps_are_shared_out_among_the_blocks(steps: int, blocks: int) -> None:
    shares = [steps_of_block(steps, blocks, block) for block in range(blocks)]
    assert sum(shares) == max(steps, blocks)
    assert max(shares) - min(shares) <= 1


def test_where_numbers_divide_the_shares_are_llada_s() -> None:
    assert [steps_of_block(128, 4, block) for block in range(4)] == [32] * 4
    assert [quota(32, 12, step) for step in range(12)] == [3] * 8 + [2] * 4
