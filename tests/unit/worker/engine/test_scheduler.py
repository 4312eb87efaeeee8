from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worker.engine.request import CommittedToken, FinishReason, Request, build_request
from worker.engine.scheduler import Limits, QueueFullError, Scheduler
from worker.sampling_params import CacheMode, SamplingParams

MASK = 9


def request(
    prompt: int = 10, gen: int = 8, block: int = 4, cache: CacheMode = CacheMode.DUAL, cfg_scale: float = 0.0
) -> Request:
    options = SamplingParams(gen_length=gen, block_length=block, steps=gen, kv_cache=cache, cfg_scale=cfg_scale)
    return build_request("test", [1] * prompt, options, mask_token_id=MASK)


def scheduler(max_running: int = 8, max_waiting: int = 100, positions: int = 1000, max_rows: int = 40) -> Scheduler:
    limits = Limits(max_running=max_running, max_waiting=max_waiting, positions=positions, max_rows=max_rows)
    return Scheduler(limits)


def run(step: list[Request]) -> None:
    for one in step:
        one.commit([CommittedToken(int(one.next_pass.candidates[0]) - one.canvas.start, 1, 0.0, 1)])


def test_first_come_is_first_served_and_nobody_overtakes() -> None:
    queue = scheduler(positions=40)
    first, large, small = request(), request(prompt=30), request(prompt=1, gen=1, block=1)
    for one in (first, large, small):
        queue.add(one)
    assert queue.schedule() == [first]
    first.cancelled = True
    queue.take_finished()
    assert large in queue.schedule()
    assert queue.running == [large, small]


def test_whole_canvases_take_turns_within_the_bound_on_rows() -> None:
    queue = scheduler()
    first, second, third = (request(cache=CacheMode.NONE) for _ in range(3))
    for one in (first, second, third):
        queue.add(one)
    assert [queue.schedule() for _ in range(3)] == [[first, second], [first, third], [first, second]]


def test_a_stream_of_short_requests_starves_nobody() -> None:
    queue = scheduler(max_running=3)
    long = request(cache=CacheMode.NONE)
    queue.add(long)
    steps = 0
    while not long.finish_reason:
        for _ in range(3):
            queue.add(request(prompt=29, gen=1, block=1))
        run(queue.schedule())
        queue.take_finished()
        steps += 1
        assert steps <= 3 * long.params.gen_length
    assert queue.waiting


def test_a_canvas_above_the_bound_runs_alone_or_beside_short_passes() -> None:
    queue = scheduler()
    short, long = request(), request(prompt=90)
    queue.add(short)
    run(queue.schedule())
    queue.add(long)
    assert queue.schedule() == [short, long]


def test_requests_in_the_middle_of_a_block_run_in_every_step() -> None:
    queue = scheduler()
    middle = request(gen=4)
    queue.add(middle)
    run(queue.schedule())
    for _ in range(5):
        queue.add(request(prompt=30))
    for _ in range(2):
        step = queue.schedule()
        assert middle in step
        assert sum(one.next_pass.rows for one in step) <= 40 + 38
        run(step)


def test_a_request_whose_short_passes_would_break_the_bound_waits() -> None:
    queue = scheduler(max_rows=12)
    for _ in range(4):
        queue.add(request(gen=4))
    queue.schedule()
    assert len(queue.running) == 3


def test_a_request_that_is_over_leaves_its_slot_wherever_it_is() -> None:
    queue = scheduler(max_running=1)
    first, second = request(), request()
    queue.add(first)
    queue.add(second)
    queue.schedule()
    first.failure = "the device ran out of memory"
    second.cancelled = True
    assert queue.take_finished() == [(first, FinishReason.FAILED), (second, FinishReason.CANCELLED)]
    assert (queue.running, list(queue.waiting), queue.slots.used) == ([], [], 0)


def test_a_full_queue_refuses() -> None:
    queue = scheduler(max_running=1, max_waiting=1)
    queue.add(request())
    queue.add(request())
    with pytest.raises(QueueFullError):
        queue.add(request())


sizes = st.builds(
    request,
    prompt=st.integers(0, 60),
    gen=st.integers(1, 20),
    block=st.integers(1, 20),
    cache=st.sampled_from(CacheMode),
    cfg_scale=st.sampled_from([0.0, 1.0]),
)


@settings(deadline=None)
@given(st.lists(sizes, min_size=1, max_size=30), st.integers(1, 200))
def test_every_request_ends_and_no_step_costs_more_than_the_bound(requests: list[Request], max_rows: int) -> None:
    queue = scheduler(max_rows=max_rows, positions=200)
    for one in requests:
        queue.add(one)
    ended: list[Request] = []
    for step in steps(queue, ended):
        short = sum(one.next_pass.rows for one in step if one.next_pass.cost == "cached")
        whole = [one.next_pass.rows for one in step if one.next_pass.cost == "refresh"]
        assert short <= max(max_rows, *(one.max_cached_rows for one in requests))
        assert short + sum(whole) <= max_rows or len(whole) <= 1
        run(step)
    assert set(ended) == set(requests)


def steps(queue: Scheduler, ended: list[Request]) -> Iterator[list[Request]]:
    while True:
        ended += [one for one, _ in queue.take_finished()]
        step = queue.schedule()
        if not step:
            return
        yield step
