import numpy as np
import pytest

from worker.canvas.canvas import Canvas

MASK, END = 9, 7


def canvas(gen_length: int = 4, *, guided: bool = False) -> Canvas:
    return Canvas([1, 2], [3], gen_length=gen_length, mask_token_id=MASK, end_token_ids=frozenset({END}), guided=guided)


def test_the_generated_span_lies_between_prompt_and_suffix() -> None:
    assert canvas().streams.tolist() == [[1, 2, MASK, MASK, MASK, MASK, 3]]
    assert (canvas().start, canvas().end, canvas().length) == (2, 6, 7)


def test_the_unconditional_twin_sees_what_was_generated_and_nothing_that_was_given() -> None:
    twins = canvas(guided=True)
    twins.fill(np.array([3]), [5])
    assert twins.streams.tolist() == [[1, 2, MASK, 5, MASK, MASK, 3], [MASK, MASK, MASK, 5, MASK, MASK, MASK]]


def test_final_are_the_positions_before_the_first_mask() -> None:
    one = canvas()
    one.fill(np.array([3, 4]), [5, 5])
    assert (one.ready, one.masked(2, 6).tolist()) == (0, [2, 5])
    one.fill(np.array([2]), [5])
    assert (one.ready, one.is_full, one.is_ended) == (3, False, False)
    one.fill(np.array([5]), [5])
    assert (one.ready, one.is_full) == (4, True)


def test_an_end_token_ends_it_once_nothing_before_it_is_masked() -> None:
    one = canvas()
    one.fill(np.array([3]), [END])
    assert not one.is_ended
    one.fill(np.array([2]), [5])
    assert (one.ready, one.is_ended, one.is_full) == (1, True, False)


def test_a_growing_canvas_begins_without_masks_and_ends_at_its_limit() -> None:
    one = Canvas([1, 2], (), gen_length=3, mask_token_id=MASK, growing=True)
    assert (one.length, one.capacity, one.generated.tolist()) == (2, 5, [])
    one.extend(4)
    assert (one.length, one.end, one.generated.tolist()) == (4, 4, [MASK, MASK])
    one.fill(np.array([2, 3]), [5, 5])
    assert (one.ready, one.is_full, one.is_ended) == (2, False, False)
    one.extend(9)
    assert (one.length, one.masked(2, one.end).tolist()) == (5, [4])
    one.fill(np.array([4]), [5])
    assert one.is_full


def test_nothing_can_stand_behind_a_span_that_grows() -> None:
    with pytest.raises(ValueError, match="behind"):
        Canvas([1], [2], gen_length=3, mask_token_id=MASK, growing=True)
