"""What is counted, and what Prometheus reads of it."""

import asyncio
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import pytest
from prometheus_client import parser
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics import parser as openmetrics_parser

from router.metrics import Metrics, QueueState
from router.workers.stats import take_snapshots
from testing.waiting import eventually
from testing.worker import FakeWorker, running
from textdiffusion.v1 import textdiffusion_pb2 as pb

ASK = {"model": "fake", "messages": [{"role": "user", "content": "hi"}]}
OPEN_METRICS = "application/openmetrics-text"
FIGURES = pb.GetStatsResponse(
    running_requests=3,
    queued_requests=2,
    forward_passes_total=100,
    committed_tokens_total=450,
    finished_requests_total=7,
    cancelled_requests_total=2,
    memory_used_bytes=1 << 30,
    memory_total_bytes=1 << 40,
    uptime_seconds=12.5,
    failed_requests_total=1,
    kv_cache_positions_used=128,
    kv_cache_positions_total=512,
    step_batch_sizes=[50, 30, 15, 5],
    step_batch_size_sum=190,
)
WORKER = {"model_name": "fake", "worker": "0"}


async def scrape(router: Any, accept: str = "") -> str:
    async with router.http.get(f"{router.url}/metrics", headers={"Accept": accept}) as response:
        assert response.status == 200
        text: str = await response.text()
        return text


def samples(families: Iterable[Metric]) -> dict[str, float]:
    """By name and labels, as in the text."""
    return {f"{sample.name}{sorted(sample.labels.items())}": sample.value for one in families for sample in one.samples}


def value(text: str, name: str, **labels: str) -> float | None:
    return samples(parser.text_string_to_metric_families(text)).get(f"{name}{sorted(labels.items())}")


def counted(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(lambda: [QueueState("m", 2, 5)])


def finish(metrics: Metrics, **changes: Any) -> None:
    usage = {
        "prompt_tokens": 10,
        "completion_tokens": 20,
        "forward_passes": 8,
        "committed_tokens": 32,
        "canvas_positions": 42,
    }
    metrics.request_finished("m", "stop", **usage | changes)


def test_a_finished_choice_is_counted_with_all_that_it_cost(metrics: Metrics) -> None:
    finish(metrics)
    finish(metrics, completion_tokens=1)
    expected = {
        "tdi_prompt_tokens_total": 20,
        "tdi_generation_tokens_total": 21,
        "tdi_diffusion_num_forward_passes_total": 16,
        "tdi_diffusion_num_committed_tokens_total": 64,
        "tdi_diffusion_num_canvas_positions_total": 84,
        "tdi_request_prompt_tokens_sum": 20,
        "tdi_request_generation_tokens_count": 2,
        "tdi_diffusion_committed_tokens_per_forward_pass_sum": 8,
    }
    assert {name: counted(metrics, name, model_name="m") for name in expected} == expected
    assert counted(metrics, "tdi_request_success_total", model_name="m", finished_reason="stop") == 2


def test_a_choice_without_a_forward_pass_has_no_mean(metrics: Metrics) -> None:
    finish(metrics, forward_passes=0, committed_tokens=0)
    assert counted(metrics, "tdi_diffusion_committed_tokens_per_forward_pass_count", model_name="m") == 0


def test_every_way_to_end_has_its_own_count(metrics: Metrics) -> None:
    finish(metrics)
    metrics.request_aborted("m")
    metrics.request_failed("m")
    reasons = ("stop", "length", "abort", "error")
    found = [
        counted(metrics, "tdi_request_success_total", model_name="m", finished_reason=reason) for reason in reasons
    ]
    assert found == [1, 0, 1, 1]


def test_the_series_of_a_model_begin_at_zero(metrics: Metrics) -> None:
    metrics.meet(["m"])
    assert counted(metrics, "tdi_request_success_total", model_name="m", finished_reason="error") == 0
    assert counted(metrics, "tdi_admissions_total", model_name="m", outcome="queue_full") == 0
    assert counted(metrics, "tdi_e2e_request_latency_seconds_count", model_name="m") == 0


def test_waiting_and_admission_are_counted_by_model(metrics: Metrics) -> None:
    metrics.admission("m", "admitted")
    metrics.admission("m", "queue_full")
    metrics.queue_time("m", 0.25)
    metrics.time_to_first_block("m", 0.5)
    metrics.request_latency("m", 3)
    assert counted(metrics, "tdi_admissions_total", model_name="m", outcome="admitted") == 1
    assert counted(metrics, "tdi_admissions_total", model_name="m", outcome="no_worker") == 0
    assert counted(metrics, "tdi_request_queue_time_seconds_sum", model_name="m") == 0.25
    assert counted(metrics, "tdi_time_to_first_block_seconds_sum", model_name="m") == 0.5
    assert counted(metrics, "tdi_e2e_request_latency_seconds_sum", model_name="m") == 3


def test_gauges_are_asked_for_when_they_are_read() -> None:
    state = QueueState("m", 2, 5)
    metrics = Metrics(lambda: [state])
    assert counted(metrics, "tdi_num_requests_running", model_name="m") == 2
    state = QueueState("m", 1, 0)
    assert counted(metrics, "tdi_num_requests_running", model_name="m") == 1
    assert counted(metrics, "tdi_num_requests_waiting", model_name="m") == 0


def test_methods_that_clients_make_up_are_one(metrics: Metrics) -> None:
    for method in ("GET", "BREW", "SPLIT"):
        metrics.http_request("/metrics", method, 200, 0.1)
    assert counted(metrics, "tdi_http_requests_total", route="/metrics", method="GET", status="200") == 1
    assert counted(metrics, "tdi_http_requests_total", route="/metrics", method="other", status="200") == 2


def test_two_routers_in_one_process_count_apart(metrics: Metrics) -> None:
    other = Metrics(lambda: ())
    finish(metrics)
    assert b"tdi_prompt_tokens_total{" not in generate_latest(other.registry)


async def test_a_scrape_tells_what_every_worker_says(router: Any, worker: FakeWorker) -> None:
    worker.stats = FIGURES
    text = await scrape(router)
    expected = {
        "tdi_worker_up": 1,
        "tdi_worker_num_requests_running": 3,
        "tdi_worker_num_requests_waiting": 2,
        "tdi_worker_forward_passes_total": 100,
        "tdi_worker_committed_tokens_total": 450,
        "tdi_worker_memory_used_bytes": 1 << 30,
        "tdi_worker_memory_total_bytes": 1 << 40,
        "tdi_worker_uptime_seconds": 12.5,
        "tdi_worker_kv_cache_positions_used": 128,
        "tdi_worker_kv_cache_positions": 512,
        "tdi_kv_cache_usage_perc": 0.25,
        "tdi_worker_step_batch_size_sum": 190,
        "tdi_worker_step_batch_size_count": 100,
    }
    assert {name: value(text, name, **WORKER) for name in expected} == expected
    outcomes = {one: value(text, "tdi_worker_requests_total", **WORKER, outcome=one) for one in ("finished", "failed")}
    assert outcomes == {"finished": 7, "failed": 1}
    assert value(text, "tdi_worker_requests_total", **WORKER, outcome="cancelled") == 2
    assert value(text, "tdi_worker_state", **WORKER, state="serving") == 1
    assert value(text, "tdi_worker_state", **WORKER, state="not_serving") == 0
    bounds = ("1.0", "2.0", "4.0", "8.0", "+Inf")
    buckets = [value(text, "tdi_worker_step_batch_size_bucket", **WORKER, le=bound) for bound in bounds]
    assert buckets == [50, 80, 95, 100, 100]
    assert f'address="{worker.address}"' in text


async def test_a_model_is_there_before_its_first_request(router: Any) -> None:
    text = await scrape(router)
    assert value(text, "tdi_generation_tokens_total", model_name="fake") == 0
    assert value(text, "tdi_num_requests_running", model_name="fake") == 0


async def test_what_runs_and_waits_is_told_by_model(start_router: Any, worker: FakeWorker) -> None:
    router = await start_router(worker.address, max_running_requests=1)
    worker.script.hang_after = 0
    asked = [asyncio.create_task(router.post(ASK)) for _ in range(3)]
    await eventually(lambda: (router.services.queues.running, router.services.queues.waiting) == (1, 2))
    text = await scrape(router)
    assert value(text, "tdi_num_requests_running", model_name="fake") == 1
    assert value(text, "tdi_num_requests_waiting", model_name="fake") == 2
    worker.go_on.set()
    await asyncio.gather(*asked)


async def test_workers_that_hang_cost_a_scrape_the_deadline_once(
    make_worker: Callable[..., FakeWorker], start_router: Any, worker: FakeWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("router.endpoints.metrics.take_snapshots", partial(take_snapshots, seconds=3))
    async with running(make_worker()) as second, running(make_worker()) as third:
        router = await start_router(worker.address, second.address, third.address)
        pool = router.services.pool
        await eventually(lambda: len(pool.serving("fake")) == 3)
        for one in (worker, second, third):
            one.stats = None
        started = time.monotonic()
        text = await scrape(router)
        assert 3 <= time.monotonic() - started < 2 * 3
    assert value(text, "tdi_worker_up", **WORKER) == 0
    assert value(text, "tdi_worker_state", **WORKER, state="serving") == 1
    assert value(text, "tdi_worker_forward_passes_total", **WORKER) is None


async def test_a_worker_that_hangs_hides_no_other(
    make_worker: Callable[..., FakeWorker], start_router: Any, worker: FakeWorker
) -> None:
    worker.stats = None
    async with running(make_worker()) as second:
        router = await start_router(worker.address, second.address)
        await eventually(lambda: len(router.services.pool.serving("fake")) == 2)
        text = await scrape(router)
    assert value(text, "tdi_worker_up", **WORKER) == 0
    assert value(text, "tdi_worker_up", model_name="fake", worker="1") == 1


async def test_a_router_whose_workers_are_all_away_is_scraped_all_the_same(start_router: Any) -> None:
    router = await start_router("127.0.0.1:1", wait=False)
    text = await scrape(router)
    labels = {"model_name": "", "worker": "0"}
    assert value(text, "tdi_worker_up", **labels) == 0
    assert value(text, "tdi_worker_state", **labels, state="unreachable") == 1
    assert "# TYPE tdi_worker_step_batch_size histogram" in text


async def test_a_worker_without_a_cache_or_a_pass_uses_nothing(router: Any) -> None:
    text = await scrape(router)
    assert value(text, "tdi_kv_cache_usage_perc", **WORKER) == 0
    assert value(text, "tdi_worker_step_batch_size_count", **WORKER) == 0


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("", "text/plain; version=0.0.4; charset=utf-8"),
        ("*/*", "text/plain; version=0.0.4; charset=utf-8"),
        ("text/plain;version=0.0.4;q=0.5", "text/plain; version=0.0.4; charset=utf-8"),
        ("text/plain;version=x.y", "text/plain; version=0.0.4; charset=utf-8"),
        (f"{OPEN_METRICS};version=1.0.0,*/*;q=0.1", f"{OPEN_METRICS}; version=1.0.0; charset=utf-8"),
        (f"{OPEN_METRICS};version=nonsense", f"{OPEN_METRICS}; version=1.0.0; charset=utf-8"),
    ],
)
async def test_a_scraper_gets_the_format_that_it_accepts(router: Any, accept: str, content_type: str) -> None:
    async with router.http.get(f"{router.url}/metrics", headers={"Accept": accept}) as response:
        assert (response.status, response.headers["Content-Type"]) == (200, content_type)


async def busy_scrape(router: Any, worker: FakeWorker, accept: str = "") -> str:
    """With every family there is."""
    worker.stats = FIGURES
    metrics = router.services.metrics
    metrics.request_finished(
        "fake",
        "length",
        prompt_tokens=1,
        completion_tokens=2,
        forward_passes=3,
        committed_tokens=4,
        canvas_positions=5,
    )
    metrics.admission("fake", "client_left")
    metrics.queue_time("fake", 0.001)
    metrics.time_to_first_block("fake", 1)
    metrics.request_latency("fake", 1000)
    await router.get("/nowhere")
    return await scrape(router, accept)


async def test_both_formats_say_the_same(router: Any, worker: FakeWorker) -> None:
    plain_text, open_text = await busy_scrape(router, worker), await scrape(router, OPEN_METRICS)
    said = [
        samples(one for one in families if not one.name.startswith(("process_", "tdi_http_")))
        for families in (
            parser.text_string_to_metric_families(plain_text),
            openmetrics_parser.text_string_to_metric_families(open_text),
        )
    ]
    assert said[0] == said[1]
    assert "tdi_worker_step_batch_size_bucket" in open_text
    assert "_created" not in open_text


PROMTOOL = shutil.which("promtool")


def promtool(text: str) -> tuple[int, str]:
    """Its verdict, and what it has to say."""
    assert PROMTOOL
    checked = subprocess.run(
        [PROMTOOL, "check", "metrics"],
        input=text.encode(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=60,
        check=False,
    )
    return checked.returncode, checked.stdout.decode()


@pytest.mark.skipif(not PROMTOOL, reason="promtool, of Debian's package prometheus, is not on the PATH")
async def test_promtool_has_nothing_to_say(router: Any, worker: FakeWorker) -> None:
    text = await busy_scrape(router, worker)
    assert await asyncio.to_thread(promtool, text) == (0, "")
    assert (await asyncio.to_thread(promtool, text.replace("_bytes ", "_kilobytes ")))[0] != 0
