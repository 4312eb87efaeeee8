import threading
from collections.abc import Callable
from typing import Any

import openai
import pytest

from router.errors import RateLimitExceededError
from router.http.limits import RateLimits, duration, subnet_of
from router.http.windows import Windows
from testing.clock import Clock
from testing.worker import FakeWorker

ASK: dict[str, Any] = {"model": "fake", "messages": [{"role": "user", "content": "hi"}]}
KEYS = {"alice": "sk-alice", "bob": "sk-bob"}


@pytest.fixture
def clock() -> Clock:
    return Clock()


def refused(call: Callable[..., None], *arguments: Any) -> RateLimitExceededError:
    with pytest.raises(RateLimitExceededError) as error:
        call(*arguments)
    return error.value


def test_requests_up_to_the_limit_are_taken_and_those_of_others_do_not_count(clock: Clock) -> None:
    limits = RateLimits(2, None, clock)
    for client in ("alice", "bob", "alice", "bob"):
        limits.take_request(client)
    assert "2 requests per minute" in refused(limits.take_request, "alice").message


def test_what_retry_after_promises_comes_true_and_not_a_second_earlier(clock: Clock) -> None:
    limits = RateLimits(1, None, clock)
    limits.take_request("alice")
    clock.now += 12.3
    seconds = int(refused(limits.take_request, "alice").headers["Retry-After"])
    assert seconds == 48
    clock.now += seconds - 1
    assert refused(limits.take_request, "alice").headers["Retry-After"] == "1"
    clock.now += 1
    limits.take_request("alice")


def test_tokens_are_taken_whole_or_not_at_all(clock: Clock) -> None:
    limits = RateLimits(None, 100, clock)
    limits.take_tokens("alice", 60)
    error = refused(limits.take_tokens, "alice", 41)
    assert all(part in error.message for part in ("41 tokens", "100 tokens per minute", "40 are left", "60 seconds"))
    assert "x-should-retry" not in error.headers
    limits.take_tokens("alice", 40)
    assert limits.headers("alice")["x-ratelimit-remaining-tokens"] == "0"
    clock.now += int(error.headers["Retry-After"])
    limits.take_tokens("alice", 41)


def test_what_could_never_be_let_through_is_not_to_be_tried_again(clock: Clock) -> None:
    limits = RateLimits(None, 100, clock)
    error = refused(limits.take_tokens, "alice", 101)
    assert all(part in error.message for part in ("101 tokens", "100 tokens per minute", "fewer"))
    assert error.headers == {"x-should-retry": "false"}
    limits.take_tokens("alice", 100)


def test_tokens_that_come_back_before_requests_do_not_promise_too_much(clock: Clock) -> None:
    limits = RateLimits(1, 100, clock)
    limits.take_request("alice")
    clock.now += 10
    limits.take_tokens("alice", 100)
    clock.now += 50
    limits.take_request("alice")  # in its second minute, while tokens are in their first
    error = refused(limits.take_tokens, "alice", 1)
    clock.now += int(error.headers["Retry-After"])
    limits.take_request("alice")
    limits.take_tokens("alice", 1)


def test_limits_that_there_are_not_refuse_nothing_and_say_nothing() -> None:
    limits = RateLimits(None, None)
    for _ in range(1000):
        limits.take_request("alice")
        limits.take_tokens("alice", 10**9)
    assert limits.headers("alice") == {}


def test_the_headers_say_what_is_left_and_when_all_of_it_is_back(clock: Clock) -> None:
    limits = RateLimits(60, 1000, clock)
    assert limits.headers("alice") == {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "60",
        "x-ratelimit-reset-requests": "0s",
        "x-ratelimit-limit-tokens": "1000",
        "x-ratelimit-remaining-tokens": "1000",
        "x-ratelimit-reset-tokens": "0s",
    }
    limits.take_request("alice")
    clock.now += 0.5
    limits.take_tokens("alice", 300)
    clock.now += 52.25
    told = limits.headers("alice")
    assert (told["x-ratelimit-remaining-requests"], told["x-ratelimit-remaining-tokens"]) == ("59", "700")
    assert (told["x-ratelimit-reset-requests"], told["x-ratelimit-reset-tokens"]) == ("7.25s", "7.75s")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0s"),
        (-1, "0s"),
        (0.0001, "1ms"),
        (0.12, "120ms"),
        (1, "1s"),
        (7.66, "7.66s"),
        (59.9991, "1m0s"),
        (60, "1m0s"),
        (90.5, "1m30.5s"),
        (360, "6m0s"),
    ],
)
def test_durations_are_written_as_openai_writes_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("address", "subnet"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::/64"),
        ("", ""),
        ("/run/socket", "/run/socket"),
    ],
)
def test_a_client_has_one_address_or_a_subnet(address: str, subnet: str) -> None:
    assert subnet_of(address) == subnet


def test_windows_that_have_ended_make_room(clock: Clock) -> None:
    windows = Windows(clock)
    for number in range(1000):
        windows.incr(str(number), 60)
        clock.now += 1
    assert len(windows) <= 61


def test_with_too_many_clients_the_oldest_is_forgotten(clock: Clock) -> None:
    windows = Windows(clock, most=10)
    for number in range(100):
        windows.incr(str(number), 60)
    assert len(windows) == 10
    assert (windows.get("89"), windows.get("90")) == (0, 1)


def test_a_window_counts_from_its_beginning_to_its_end(clock: Clock) -> None:
    windows = Windows(clock)
    assert windows.incr("a", 60, 3) == 3
    clock.now += 59
    assert windows.incr("a", 60, 2) == windows.get("a") == 5
    assert windows.get_expiry("a") == clock.now + 1
    clock.now += 1
    assert windows.get("a") == 0
    assert windows.get_expiry("a") == clock.now
    assert windows.incr("a", 60) == 1


def test_windows_can_be_cleared(clock: Clock) -> None:
    windows = Windows(clock)
    for key in "abc":
        windows.incr(key, 60)
    windows.clear("a")
    assert (windows.check(), windows.get("a"), windows.reset(), len(windows)) == (True, 0, 2, 0)


def test_counting_starts_no_thread() -> None:
    before = threading.active_count()
    limits = RateLimits(10**6, 10**6)
    for number in range(100):
        limits.take_request(str(number))
        limits.take_tokens(str(number), 1)
    assert threading.active_count() == before


async def test_the_openai_client_is_told_when_it_has_had_enough(worker: FakeWorker, start_router: Any) -> None:
    router = await start_router(worker.address, api_keys=KEYS, requests_per_minute=2)
    alice, bob = (router.openai.with_options(api_key=key) for key in KEYS.values())
    for left in ("1", "0"):
        answer = await alice.chat.completions.with_raw_response.create(**ASK)
        assert answer.headers["x-ratelimit-limit-requests"] == "2"
        assert answer.headers["x-ratelimit-remaining-requests"] == left
        assert "x-ratelimit-limit-tokens" not in answer.headers
    with pytest.raises(openai.RateLimitError) as refusal:
        await alice.chat.completions.create(**ASK)
    assert (refusal.value.code, refusal.value.type) == ("rate_limit_exceeded", "rate_limit_error")
    assert 0 < int(refusal.value.response.headers["Retry-After"]) <= 60
    assert refusal.value.response.headers["x-ratelimit-remaining-requests"] == "0"
    await bob.chat.completions.create(**ASK)
    assert len(worker.requests) == 3


async def headers_of(router: Any, body: Any, **kwargs: Any) -> Any:
    async with router.http.post(f"{router.url}/v1/chat/completions", json=body, **kwargs) as response:
        await response.read()
        return response.status, {name.lower() for name in response.headers if name.lower().startswith("x-ratelimit")}


@pytest.mark.parametrize(
    ("body", "status"), [(ASK, 200), ({**ASK, "stream": True}, 200), ({}, 400), ({**ASK, "model": "gpt"}, 404)]
)
async def test_every_answer_has_the_headers(worker: FakeWorker, start_router: Any, body: Any, status: int) -> None:
    router = await start_router(worker.address, requests_per_minute=5, tokens_per_minute=5000)
    kinds = ("limit", "remaining", "reset")
    names = {f"x-ratelimit-{kind}-{what}" for kind in kinds for what in ("requests", "tokens")}
    assert await headers_of(router, body) == (status, names)


async def test_a_stranger_is_neither_counted_nor_told(worker: FakeWorker, start_router: Any) -> None:
    router = await start_router(worker.address, api_keys=KEYS, requests_per_minute=1)
    for _ in range(3):
        assert await headers_of(router, ASK) == (401, set())
    status, _ = await headers_of(router, ASK, headers={"Authorization": "Bearer sk-bob"})
    assert status == 200


async def test_without_keys_the_address_is_counted(worker: FakeWorker, start_router: Any) -> None:
    router = await start_router(worker.address, requests_per_minute=1)
    assert [(await router.post(ASK))[0] for _ in range(2)] == [200, 429]


async def test_only_what_generates_is_counted(worker: FakeWorker, start_router: Any) -> None:
    router = await start_router(worker.address, requests_per_minute=1)
    for path, status in (("/v1/models", 200), ("/health", 200), ("/v1/nothing", 404), ("/v1/chat/completions", 405)):
        async with router.http.get(f"{router.url}{path}") as response:
            assert response.status == status
            assert "x-ratelimit-limit-requests" not in response.headers
    assert (await router.post(ASK))[0] == 200


async def test_a_request_takes_its_prompt_and_its_canvas_for_each_choice(worker: FakeWorker, start_router: Any) -> None:
    router = await start_router(worker.address, tokens_per_minute=200)
    ask = {**ASK, "max_tokens": 30, "n": 2}
    async with router.http.post(f"{router.url}/v1/chat/completions", json=ask) as response:
        prompt = (await response.json())["usage"]["prompt_tokens"]
        assert response.headers["x-ratelimit-remaining-tokens"] == str(200 - 2 * (prompt + 30))
    async with router.http.post(f"{router.url}/v1/chat/completions", json={**ask, "n": 3}) as response:
        assert (response.status, (await response.json())["error"]["code"]) == (429, "rate_limit_exceeded")
        assert int(response.headers["Retry-After"]) <= 60
    assert len(worker.requests) == 2
    assert router.services.queues.running == 0
