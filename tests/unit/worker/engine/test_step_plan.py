import pickle
from typing import Any

import numpy as np

from worker.engine.request import build_request
from worker.engine.step_plan import StepPlan, rounded_down, rounded_up
from worker.kvcache.arena import Reservation
from worker.sampling_params import CacheMode, Remasking, SamplingParams


def test_row_counts_come_in_few_sizes_that_waste_little() -> None:
    sizes = {rounded_up(rows) for rows in range(1, 2049)}
    assert len(sizes) < 50
    assert all(rows <= rounded_up(rows) < rows + max(4, rows / 4 + 1) for rows in range(1, 10_000))
    assert all(rounded_up(size) == size for size in sizes)


def test_a_chunk_is_one_of_the_sizes_and_not_above_its_bound() -> None:
    assert [rounded_down(rows) for rows in (131, 128, 65, 4, 2, 0)] == [128, 128, 64, 4, 4, 4]
    assert all(rounded_up(rounded_down(rows)) == rounded_down(rows) for rows in range(5000))


def planned() -> StepPlan:
    """The first pass of two requests, the second with guidance and a bias."""
    plain = SamplingParams(gen_length=3, block_length=2, steps=3, kv_cache=CacheMode.DUAL, threshold=0.5)
    odd = SamplingParams(
        gen_length=2, block_length=2, steps=1, cfg_scale=1.0, seed=2**64 - 1, temperature=0.5, logit_bias={4: 1.0},
        remasking=Remasking.MARGIN, top_logprobs=2,
    )  # fmt: skip
    requests = [
        build_request("plain", [1, 2], plain, mask_token_id=9),
        build_request("odd", [3], odd, mask_token_id=9),
    ]
    requests[0].reservation, requests[1].reservation = Reservation(0, 5), Reservation(5, 6)
    return StepPlan.pack(requests, padding_slot=20)


def test_rows_lie_one_behind_the_other_and_are_filled_up() -> None:
    plan = planned()
    assert plan.token_ids.tolist() == [1, 2, 9, 9, 9, 3, 9, 9, 9, 9, 9, 0]
    assert plan.positions.tolist() == [0, 1, 2, 3, 4, 0, 1, 2, 0, 1, 2, 0]
    assert plan.slot_mapping.tolist() == [*range(11), 20]
    assert [(one.start, one.end, one.kv_start, one.kv_length) for one in plan.segments] == [
        (0, 5, 0, 5),
        (5, 8, 5, 3),
        (8, 11, 8, 3),
        (11, 12, 20, 1),
    ]


def test_logits_are_computed_for_the_candidates_and_then_for_their_twins() -> None:
    plan = planned()
    assert plan.logits_indices.tolist() == [2, 3, 6, 7, 9, 10, 0, 0]
    assert plan.request_indices.tolist() == [0, 0, 1, 1]
    assert plan.rank_in_request.tolist() == [0, 1, 0, 1]
    assert plan.rules.least.tolist() == [1, 2]
    assert plan.rules.thresholds[0] == 0.5
    assert np.isnan(plan.rules.thresholds[1])


def test_a_plan_that_was_sent_is_the_same() -> None:
    def flat(part: Any) -> list[Any]:
        if hasattr(part, "__dataclass_fields__"):
            return [flat(getattr(part, name)) for name in part.__dataclass_fields__]
        return part.tolist() if isinstance(part, np.ndarray) else part

    plan = planned()
    assert str(flat(pickle.loads(pickle.dumps(plan)))) == str(flat(plan))  # noqa: S301 - nan is not equal to itself
