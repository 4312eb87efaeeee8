import asyncio
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import openai
import pytest
from prometheus_client.parser import text_string_to_metric_families

from router.workers.worker import WorkerState
from testing.waiting import eventually
from testing.worker import FakeWorker, running
from textdiffusion.v1.textdiffusion_pb2 import KV_CACHE_DUAL, DiffusionOptions

MESSAGES: Any = [{"role": "user", "content": "hi"}]


async def test_the_openai_client_lists_the_models(router: Any) -> None:
    (model,) = (await router.openai.models.list()).data
    assert (model.id, model.object) == ("fake", "model")
    assert model.created > 1_700_000_000
    assert model.model_extra["max_model_len"] == 512


async def test_a_model_is_listed_with_what_its_worker_does_by_default(
    make_worker: Callable[..., FakeWorker], start_router: Any
) -> None:
    fake = make_worker()
    fake.info.defaults.CopyFrom(
        DiffusionOptions(gen_length=64, block_length=32, threshold=0.9, top_p=1.0, kv_cache=KV_CACHE_DUAL)
    )
    async with running(fake) as worker:
        router = await start_router(worker.address)
        await eventually(lambda: router.services.pool.models)
        model = await router.openai.models.retrieve("fake")
    assert {name: value for name, value in model.model_extra["defaults"].items() if value is not None} == {
        "max_tokens": 64,
        "block_length": 32,
        "threshold": 0.9,
        "kv_cache": "dual",
        "top_p": 1.0,
    }


async def test_a_model_is_listed_with_its_family_and_the_options_that_it_knows(
    make_worker: Callable[..., FakeWorker], start_router: Any
) -> None:
    async with (
        running(make_worker(model_id="one")) as one,
        running(make_worker(model_id="two", family="illada")) as two,
    ):
        router = await start_router(one.address, two.address)
        await eventually(lambda: len(router.services.pool.models) == 2)
        cards = [(await router.openai.models.retrieve(name)).model_extra for name in ("one", "two")]
    assert [card["family"] for card in cards] == ["llada", "illada"]
    assert {"canvas", "seed", "min_p"} < set(cards[0]["options"])
    only_two = {"end_of_thinking_boost", "end_of_thinking_power", "thinking_budget", "end_of_thinking_ids"}
    assert set(cards[1]["options"]) - set(cards[0]["options"]) == only_two


async def test_the_openai_client_retrieves_one_model(router: Any) -> None:
    assert (await router.openai.models.retrieve("fake")).id == "fake"


async def test_an_unknown_model_is_not_found(router: Any) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        await router.openai.models.retrieve("organisation/other")
    assert caught.value.code == "model_not_found"


@pytest.mark.parametrize(
    "name",
    ["llada:8b", "ft:base:org::id", "organisation/m@v1", "a+b=c,d", "100%/50%25", "what?#!", "<b>'\"\\</b>", "模型-é"],
)
async def test_a_model_is_served_under_any_name_that_can_be_seen(
    make_worker: Callable[..., FakeWorker], start_router: Any, name: str
) -> None:
    async with running(make_worker(model_id=name)) as worker:
        router = await start_router(worker.address)
        await eventually(lambda: router.services.pool.models)
        assert [model.id for model in (await router.openai.models.list()).data] == [name]
        assert (await router.openai.models.retrieve(name)).id == name
        assert (await router.get(f"/v1/models/{quote(name, safe='')}"))[1]["id"] == name
        assert (await router.openai.chat.completions.create(model=name, messages=MESSAGES)).model == name
        async with router.http.get(f"{router.url}/metrics") as response:
            families = text_string_to_metric_families(await response.text())
            labels = {sample.labels.get("model_name") for family in families for sample in family.samples}
    assert labels - {None, ""} == {name}


@pytest.mark.parametrize("name", ["", "My model", "a\nb", "\x1b[31mred", "x" * 200])
async def test_a_worker_whose_model_cannot_be_called_so_is_refused_and_the_others_serve(
    make_worker: Callable[..., FakeWorker], start_router: Any, name: str
) -> None:
    foreign = make_worker()
    foreign.info.model_id = name
    async with running(foreign), running(make_worker()) as worker:
        router = await start_router(foreign.address, worker.address)
        await eventually(lambda: router.services.pool.workers[0].state is WorkerState.REFUSED)
        await eventually(lambda: router.services.pool.models)
        _, health = await router.get("/health")
        assert health["workers"][0]["reason"].startswith(f"{name[:128]!r} cannot be a model's id: it ")
        assert [model.id for model in (await router.openai.models.list()).data] == ["fake"]
        assert (await router.post({"model": "fake", "messages": MESSAGES}))[0] == 200
        async with router.http.get(f"{router.url}/metrics") as response:
            assert list(text_string_to_metric_families(await response.text()))


async def test_each_model_has_its_own_workers(make_worker: Callable[..., FakeWorker], start_router: Any) -> None:
    async with running(make_worker(model_id="one")) as one, running(make_worker(model_id="two")) as two:
        router = await start_router(one.address, two.address)
        await eventually(lambda: len(router.services.pool.models) == 2)
        for model, worker in (("one", one), ("two", two), ("two", two)):
            reply = await router.openai.chat.completions.create(model=model, messages=MESSAGES)
            assert reply.model == model
            assert worker.requests
    assert (len(one.requests), len(two.requests)) == (1, 2)


async def test_a_model_that_is_full_leaves_the_others_alone(
    make_worker: Callable[..., FakeWorker], start_router: Any
) -> None:
    async with running(make_worker(model_id="one")) as one, running(make_worker(model_id="two")) as two:
        one.script.hang_after = 0
        router = await start_router(one.address, two.address, max_running_requests=1, max_waiting_requests=0)
        await eventually(lambda: len(router.services.pool.models) == 2)
        asking = asyncio.create_task(router.post({"model": "one", "messages": MESSAGES}))
        await one.started.wait()
        refused, _ = await router.post({"model": "one", "messages": MESSAGES})
        taken, _ = await router.post({"model": "two", "messages": MESSAGES})
        assert (refused, taken) == (503, 200)
        one.go_on.set()
        await asking


async def test_the_workers_of_a_model_say_how_many_requests_are_at_them_at_once(
    make_worker: Callable[..., FakeWorker], start_router: Any
) -> None:
    async with running(make_worker(max_concurrent_requests=4)) as first, running(make_worker()) as second:
        first.script.hang_after = second.script.hang_after = 0
        second.info.max_concurrent_requests = 4
        router = await start_router(first.address, second.address)
        await eventually(lambda: len(router.services.pool.serving("fake")) == 2)
        asking = [asyncio.create_task(router.post({"model": "fake", "messages": MESSAGES})) for _ in range(12)]
        await eventually(lambda: router.services.queues.waiting == 2)
        await eventually(lambda: (first.running, second.running) == (5, 5))
        first.go_on.set()
        second.go_on.set()
        assert [status for status, _ in await asyncio.gather(*asking)] == [200] * 12


async def test_where_there_is_one_model_a_request_need_not_name_it(router: Any) -> None:
    status, reply = await router.post({"messages": MESSAGES})
    assert (status, reply["model"]) == (200, "fake")


async def test_where_there_are_several_models_a_request_that_names_none_is_told_which(
    make_worker: Callable[..., FakeWorker], start_router: Any
) -> None:
    async with running(make_worker(model_id="one")) as one, running(make_worker(model_id="two")) as two:
        router = await start_router(one.address, two.address)
        await eventually(lambda: len(router.services.pool.models) == 2)
        status, body = await router.post({"messages": MESSAGES})
    assert (status, body["error"]["param"]) == (400, "model")
    assert body["error"]["message"] in (
        "model is required; there is one, two.",
        "model is required; there is two, one.",
    )


async def test_before_there_is_a_model_a_request_that_names_none_is_to_try_again(start_router: Any) -> None:
    router = await start_router(wait=False)
    status, body = await router.post({"messages": MESSAGES})
    assert (status, body["error"]["code"]) == (503, "no_healthy_workers")
