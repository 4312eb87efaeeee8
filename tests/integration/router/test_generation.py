"""Text is generated with no HTTP at all: a pool of workers and the service before them."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any

import grpc
import pytest
from typing_extensions import override

from router.errors import ClientError, NoHealthyWorkersError
from router.generation.admission import Admission, Queues
from router.generation.call import GenerationCall, Prompt
from router.generation.output import ChoiceDelta
from router.generation.recorder import RequestObserver, RequestRecorder
from router.generation.service import GenerationService
from router.workers.pool import Pool
from testing.waiting import eventually
from testing.worker import FakeWorker, Script

TEXT = "Hello, wörld!"


class Observed(RequestObserver):
    """Keeps what it is told, by name."""

    def __init__(self) -> None:
        self.told: list[str] = []

    @override
    def admitted(self, waited: float, *, first: bool) -> None:
        self.told.append("admitted" if first else "admitted too")

    @override
    def first_token(self, seconds: float) -> None:
        self.told.append("first token")

    @override
    def retried(self, worker: str) -> None:
        self.told.append("retried")

    def choice_finished(self, choice: Any, reason: str, usage: Any) -> None:
        self.told.append(f"choice {choice.index} finished: {reason}, {usage.completion_tokens} tokens")

    def finished(self, usage: Any) -> None:
        self.told.append(f"finished: {usage.prompt_tokens} and {usage.completion_tokens} tokens")

    @override
    def answered(self, seconds: float) -> None:
        self.told.append("answered")

    @override
    def failed(self, error: BaseException, *, left: bool, admitted: bool, unfinished: int) -> None:
        self.told.append(f"failed: {type(error).__name__}, left {left}, unfinished {unfinished}")


@pytest.fixture
def script(worker: FakeWorker, ids: Callable[[str], list[int]]) -> Script:
    worker.script = Script(tokens=ids(TEXT))
    return worker.script


@asynccontextmanager
async def service_before(*addresses: str, capacity: int = 4) -> AsyncIterator[tuple[GenerationService, Pool]]:
    pool = Pool(addresses)
    queues = Queues(lambda _: Admission(lambda: capacity, 10, 10, time.monotonic))
    async with pool.connected():
        await eventually(lambda: pool.ready and sum(one.places for one in pool.workers) >= 16 * len(addresses))
        yield GenerationService(pool, queues, 10), pool


def call_of(pool: Pool, **fields: Any) -> GenerationCall:
    async def encode_prompts() -> Sequence[Prompt]:
        return [Prompt([1, 2, 3], "prompt")]

    deadline = asyncio.get_running_loop().time() + 60
    model = pool.model(None)
    return GenerationCall(request_id="r", model=model, encode_prompts=encode_prompts, deadline=deadline, **fields)


async def generated(service: GenerationService, call: GenerationCall, observed: Observed) -> list[ChoiceDelta]:
    recorder = RequestRecorder([observed], choices=call.choices)
    async with aclosing(service.generate(call, recorder)) as deltas:
        return [delta async for delta in deltas]


async def test_a_choice_comes_whole_or_as_it_is_denoised_and_both_are_the_same(
    worker: FakeWorker, script: Script
) -> None:
    observed = Observed()
    async with service_before(worker.address) as (service, pool):
        (whole,) = await generated(service, call_of(pool), observed)
        streamed = await generated(service, call_of(pool, stream=True), Observed())
    assert (whole.text, whole.finish_reason) == (TEXT, "stop")
    assert len(streamed) > 1
    assert "".join(delta.text for delta in streamed) == TEXT
    assert (streamed[-1].finish_reason, streamed[-1].usage) == ("stop", whole.usage)
    tokens = len(script.tokens)
    assert observed.told == [
        "admitted",
        f"choice 0 finished: stop, {tokens} tokens",
        f"finished: 3 and {tokens} tokens",
        "answered",
    ]


async def test_choices_share_the_slots_and_each_says_which_it_is(worker: FakeWorker, script: Script) -> None:
    observed = Observed()
    async with service_before(worker.address, capacity=2) as (service, pool):
        call = call_of(pool, n=3, choices=3, stream=True, options={"seed": 7})
        deltas = await generated(service, call, observed)
    assert {delta.index for delta in deltas} == {0, 1, 2}
    for index in range(3):
        assert "".join(delta.text for delta in deltas if delta.index == index) == TEXT
    assert sorted(request.options.seed for request in worker.requests) == [7, 8, 9]
    assert deltas[-1].usage.completion_tokens == 3 * len(script.tokens)
    assert observed.told.count("admitted too") == 2
    assert worker.most_running <= 2


@pytest.mark.parametrize("choices", [1, 2])
async def test_to_close_the_iterator_cancels_what_workers_do_for_it(
    worker: FakeWorker, script: Script, choices: int
) -> None:
    script.hang_after = 3
    observed = Observed()
    async with service_before(worker.address) as (service, pool):
        call = call_of(pool, n=choices, choices=choices, stream=True)
        async with aclosing(service.generate(call, RequestRecorder([observed], choices=choices))) as deltas:
            async for delta in deltas:
                assert delta.text
                break
        await eventually(lambda: worker.cancelled.is_set() and worker.running == 0)
    assert observed.told[-1] == f"failed: GeneratorExit, left True, unfinished {choices}"


async def test_what_was_shown_of_a_choice_is_not_begun_anew(worker: FakeWorker, script: Script) -> None:
    observed = Observed()
    async with service_before(worker.address) as (service, pool):
        script.fail_after = 2
        with pytest.raises(NoHealthyWorkersError):
            await generated(service, call_of(pool, stream=True), observed)
    assert "retried" not in observed.told
    assert observed.told[-1] == "failed: NoHealthyWorkersError, left False, unfinished 1"


async def test_what_a_worker_refuses_is_named_as_the_caller_calls_it(worker: FakeWorker, script: Script) -> None:
    script.reject = (grpc.StatusCode.INVALID_ARGUMENT, "gen_length: too long")
    observed = Observed()
    async with service_before(worker.address) as (service, pool):
        call = call_of(pool, field_of_worker=lambda name: {"gen_length": "length"}.get(name, name))
        with pytest.raises(ClientError) as caught:
            await generated(service, call, observed)
    assert caught.value.param == "length"


async def test_without_a_slot_nothing_is_encoded(worker: FakeWorker) -> None:
    observed, asked = Observed(), []

    async def encode_prompts() -> Sequence[Prompt]:
        asked.append("prompts")
        return []

    async with service_before(worker.address, capacity=0) as (service, pool):
        call = GenerationCall(request_id="r", model=pool.model(None), encode_prompts=encode_prompts, deadline=0.0)
        with pytest.raises(NoHealthyWorkersError):
            await generated(service, call, observed)
    assert asked == []
    assert observed.told == ["failed: NoHealthyWorkersError, left False, unfinished 1"]


async def test_tokens_of_the_caller_s_own_and_stop_strings_end_a_choice_as_it_says(
    worker: FakeWorker, ids: Callable[[str], list[int]]
) -> None:
    worker.script, comma = Script(tokens=ids(TEXT)), ids("Hello,")[-1]
    async with service_before(worker.address) as (service, pool):
        calls = {
            "Hello": call_of(pool, stream=True, options={"stop_token_ids": [comma]}),
            "Hello,": call_of(pool, stop=[","], include_stop=True),
            TEXT: call_of(pool, stream=True, options={"ignore_eos": True}),
        }
        for text, call in calls.items():
            assert "".join(delta.text for delta in await generated(service, call, Observed())) == text
    assert list(worker.requests[0].options.stop_token_ids) == [comma]


async def test_special_tokens_are_left_out_or_spelled(worker: FakeWorker, raw_tokenizer: Any) -> None:
    worker.script = Script(tokens=raw_tokenizer.encode("a<|start_header_id|>b").ids)
    async with service_before(worker.address) as (service, pool):
        (plain,) = await generated(service, call_of(pool), Observed())
        (spelled,) = await generated(service, call_of(pool, special_tokens=True), Observed())
    assert (plain.text, spelled.text) == ("ab", "a<|start_header_id|>b")
