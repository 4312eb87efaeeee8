"""Blocks of the generated span, and the share of the masked positions that each step commits.

The rule is that of LLaDA's `generate`; where numbers do not divide, the first blocks and the first steps get one more.
"""


def block_bounds(gen_length: int, block_length: int) -> list[tuple[int, int]]:
    """Start and end of each block, in generated positions; the last may be shorter."""
    return [(start, min(start + block_length, gen_length)) for start in range(0, gen_length, block_length)]


def steps_of_block(steps: int, blocks: int, block: int) -> int:
    """The denoising steps that block number `block` gets of `steps` for `blocks`: at least one."""
    return max(1, steps // blocks + (block < steps % blocks))


def quota(masked: int, steps: int, step: int) -> int:
    """The positions that step number `step` of a block's `steps` commits of the `masked` that it started with."""
    return masked // steps + (step < masked % steps)
