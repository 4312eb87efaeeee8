import asyncio
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from router.text.tokenizer import ChatTokenizer
from router.workers.pool import Pool
from testing.tokenizer import CHAT_TEMPLATE
from testing.waiting import eventually
from testing.worker import FakeWorker, running
from textdiffusion.fingerprint import tokenizer_fingerprint

ASK = {"model": "fake", "messages": [{"role": "user", "content": "hi"}]}

MakeWorker = Callable[..., FakeWorker]


def states(router: Any) -> list[str]:
    return [worker.state.value for worker in router.services.pool.workers]


async def test_requests_go_to_the_worker_with_less_to_do(make_worker: MakeWorker, start_router: Any) -> None:
    async with running(make_worker()) as first, running(make_worker()) as second:
        router = await start_router(first.address, second.address)
        await eventually(lambda: states(router) == ["serving", "serving"])
        for worker in (first, second):
            worker.script.hang_after = 0
        asked = [asyncio.create_task(router.post(ASK)) for _ in range(4)]
        await eventually(lambda: len(first.requests) + len(second.requests) == 4)
        assert (len(first.requests), len(second.requests)) == (2, 2)
        for worker in (first, second):
            worker.go_on.set()
        assert all(status == 200 for status, _ in await asyncio.gather(*asked))


async def test_requests_go_to_the_workers_of_their_model(make_worker: MakeWorker, start_router: Any) -> None:
    async with running(make_worker()) as first, running(make_worker(model_id="other")) as second:
        router = await start_router(first.address, second.address)
        await eventually(lambda: states(router) == ["serving", "serving"])
        assert (await router.post({**ASK, "model": "other"}))[0] == 200
        assert (len(first.requests), len(second.requests)) == (0, 1)


async def test_a_worker_with_other_weights_is_refused_while_the_first_serves(
    make_worker: MakeWorker, start_router: Any
) -> None:
    async with running(make_worker()) as first, running(make_worker(fingerprint="other weights")) as second:
        router = await start_router(first.address)
        late = await start_router(first.address, second.address)
        await eventually(lambda: sorted(states(late)) == ["refused", "serving"])
        assert states(router) == ["serving"]


async def test_a_worker_whose_tokenizer_is_not_the_one_on_disk_is_refused(
    make_worker: MakeWorker, start_router: Any
) -> None:
    async with running(make_worker(tokenizer_fingerprint="another")) as worker:
        router = await start_router(worker.address, wait=False)
        await eventually(lambda: states(router) == ["refused"])
        assert (await router.get("/health/ready"))[0] == 503


async def test_a_worker_whose_tokenizer_is_missing_is_refused(make_worker: MakeWorker, start_router: Any) -> None:
    worker = make_worker()
    worker.info.tokenizer = ""
    async with running(worker):
        router = await start_router(worker.address, wait=False)
        await eventually(lambda: states(router) == ["refused"])


def with_template(folder: Path, tokenizer_folder: Path, template: str) -> dict[str, str]:
    """What a worker says whose tokenizer, in `folder`, has this chat template."""
    for file in tokenizer_folder.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    (folder / "chat_template.jinja").write_text(template)
    return {"tokenizer": str(folder), "tokenizer_fingerprint": tokenizer_fingerprint(folder)}


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("{% if tools|length > 0 %}{{ tools }}{% endif %}" + CHAT_TEMPLATE, "object of type 'NoneType' has no len()"),
        (CHAT_TEMPLATE.replace("message['content']", "message['text']"), "what the user says is lost"),
    ],
)
async def test_a_worker_is_refused_whose_chat_template_can_never_work(
    make_worker: MakeWorker, start_router: Any, tokenizer_folder: Path, tmp_path: Path, *, template: str, reason: str
) -> None:
    worker = make_worker(**with_template(tmp_path, tokenizer_folder, template))
    async with running(worker):
        router = await start_router(worker.address, wait=False)
        await eventually(lambda: states(router) == ["refused"])
        (told,) = (await router.get("/health"))[1]["workers"]
        assert f"the chat template of {tmp_path} cannot be used: " in told["reason"]
        assert reason in told["reason"]


async def test_a_chat_with_a_template_that_reads_parts_says_what_the_user_said(
    make_worker: MakeWorker, start_router: Any, tokenizer_folder: Path, tmp_path: Path
) -> None:
    parts = CHAT_TEMPLATE.replace("message['content']", "message['content'][0]['text']")
    other = make_worker(model_id="parts", **with_template(tmp_path, tokenizer_folder, parts))
    async with running(make_worker()) as worker, running(other):
        router = await start_router(worker.address, other.address)
        await eventually(lambda: states(router) == ["serving", "serving"])
        content = [{"type": "text", "text": "Spell"}, {"type": "text", "text": "river"}]
        for model in ("fake", "parts"):
            await router.post({"model": model, "messages": [{"role": "user", "content": content}]})
        assert list(worker.requests[0].prompt.ids) == list(other.requests[0].prompt.ids)


async def test_the_template_of_a_model_can_be_another_than_its_tokenizers(
    make_worker: MakeWorker, start_router: Any, tmp_path: Path, ids: Callable[[str], list[int]]
) -> None:
    file = tmp_path / "mine.jinja"
    file.write_text("{% for m in messages %}({{ m['content'] }}){% endfor %}")
    async with running(make_worker()) as worker, running(make_worker(model_id="other")) as other:
        router = await start_router(worker.address, other.address, chat_templates={"other": file})
        await eventually(lambda: states(router) == ["serving", "serving"])
        for model in ("fake", "other"):
            assert (await router.post({**ASK, "model": model}))[0] == 200
        assert list(other.requests[0].prompt.ids) == ids("(hi)")
        assert list(worker.requests[0].prompt.ids) != ids("(hi)")


async def test_a_worker_that_comes_back_is_used_again(make_worker: MakeWorker, start_router: Any) -> None:
    async with running(make_worker()) as worker:
        router = await start_router(worker.address)
    await eventually(lambda: not router.services.ready)
    status, body = await router.post(ASK)
    assert (status, body["error"]["code"]) == (503, "no_healthy_workers")
    async with running(make_worker(fingerprint="new weights"), worker.address):
        await eventually(lambda: router.services.ready)
        status, body = await router.post(ASK)
        assert (status, body["system_fingerprint"]) == (200, "fp_new weight")


async def test_a_request_that_waited_does_not_go_to_other_weights(make_worker: MakeWorker, start_router: Any) -> None:
    async with running(make_worker()) as worker:
        router = await start_router(worker.address, max_running_requests=1)
        worker.script.hang_after = 0
        first = asyncio.create_task(router.post(ASK))
        await eventually(lambda: worker.running == 1)
        second = asyncio.create_task(router.post(ASK))
        await eventually(lambda: router.services.queues.waiting == 1)
        await worker.set_serving(False)
        await eventually(lambda: not router.services.ready)
    async with running(make_worker(fingerprint="new weights"), worker.address) as other:
        await eventually(lambda: router.services.ready)
        assert (await first)[0] >= 500
        status, body = await second
        assert (status, body["error"]["code"]) == (503, "no_healthy_workers")
        assert (await router.post(ASK))[0] == 200
        assert len(other.requests) == 1


async def test_a_model_holds_what_each_worker_that_serves_it_has_room_for(
    make_worker: MakeWorker, start_router: Any
) -> None:
    async with running(make_worker()) as large:
        async with running(make_worker(max_sequence_length=128)) as small:
            router = await start_router(large.address, small.address)
            await eventually(lambda: states(router) == ["serving", "serving"])
            assert (await router.get("/v1/models/fake"))[1]["max_model_len"] == 128
            assert (await router.post({**ASK, "max_tokens": 400}))[1]["error"]["code"] == "context_length_exceeded"
        await eventually(lambda: states(router)[1] != "serving")
        assert (await router.get("/v1/models/fake"))[1]["max_model_len"] == 512
        assert (await router.post({**ASK, "max_tokens": 400}))[0] == 200


async def test_a_worker_that_comes_back_with_other_limits_is_asked_within_those(
    make_worker: MakeWorker, start_router: Any
) -> None:
    async with running(make_worker()) as worker:
        router = await start_router(worker.address)
    await eventually(lambda: not router.services.ready)
    changed = make_worker(max_sequence_length=128)
    changed.info.defaults.gen_length = 32
    async with running(changed, worker.address):
        await eventually(lambda: router.services.ready)
        assert (await router.post(ASK))[0] == 200
        assert changed.requests[0].options.gen_length == 32
        assert (await router.get("/v1/models/fake"))[1]["max_model_len"] == 128


async def test_a_model_that_a_late_worker_may_serve_is_not_called_unknown(
    make_worker: MakeWorker, start_router: Any
) -> None:
    async with running(make_worker()) as first, running(make_worker(model_id="late"), serving=False) as second:
        router = await start_router(first.address, second.address)
        status, body = await router.post({**ASK, "model": "late"})
        assert (status, body["error"]["code"]) == (503, "no_healthy_workers")
        assert (await router.get("/v1/models/late"))[0] == 503
        await second.set_serving(True)
        await eventually(lambda: states(router) == ["serving", "serving"])
        assert (await router.post({**ASK, "model": "late"}))[0] == 200
        assert (await router.post({**ASK, "model": "never"}))[0] == 404


async def test_the_model_of_a_refused_worker_is_not_called_unknown(make_worker: MakeWorker, start_router: Any) -> None:
    refused = make_worker(model_id="refused", tokenizer_fingerprint="another")
    async with running(make_worker()) as first, running(refused) as second:
        router = await start_router(first.address, second.address)
        await eventually(lambda: states(router) == ["serving", "refused"])
        assert (await router.post({**ASK, "model": "refused"}))[0] == 503
        assert (await router.post({**ASK, "model": "never"}))[0] == 404


async def test_whoever_waits_for_workers_hears_of_those_too_that_do_not_answer(
    make_worker: MakeWorker, start_router: Any
) -> None:
    async with running(make_worker()) as good, running(make_worker(), serving=False) as loading:
        router = await start_router(good.address, loading.address, "127.0.0.1:1", wait=False)
        await asyncio.wait_for(router.services.pool.heard_of_all(600, 600), 60)
        assert states(router) == ["serving", "not serving", "unreachable"]


async def test_nobody_waits_for_ever_for_a_worker_that_says_nothing(start_router: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        host, port = mute.getsockname()
        router = await start_router(f"{host}:{port}", wait=False)
        await asyncio.wait_for(router.services.pool.heard_of_all(0.05, 600), 60)
        assert not router.services.pool.workers[0].heard_of


async def test_a_worker_that_serves_is_waited_for_until_its_tokenizer_is_there(
    worker: FakeWorker, tokenizer: ChatTokenizer
) -> None:
    loaded = threading.Event()

    def load(*_: object) -> ChatTokenizer:
        assert loaded.wait(60)
        return tokenizer

    pool = Pool([worker.address], load=load)
    async with pool.connected():
        await eventually(lambda: pool.workers[0].info is not None)
        waiting = asyncio.create_task(pool.heard_of_all(0.05, 600))
        done, _ = await asyncio.wait({waiting}, timeout=0.3)
        loaded.set()
        assert not done
        await asyncio.wait_for(waiting, 60)
        assert pool.ready
