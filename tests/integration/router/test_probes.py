import json
import socket
import threading
import urllib.error
import urllib.request
from typing import Any

import pytest

from router.probes import STUCK_SECONDS, Heartbeat, Listener, build_probes, probes


def asked(url: str) -> tuple[int, Any]:
    try:
        with urllib.request.urlopen(url, timeout=60) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def asked_while_the_event_loop_stands_still(url: str) -> tuple[int, Any]:
    answers = list[tuple[int, Any]]()
    asking = threading.Thread(target=lambda: answers.append(asked(url)))
    asking.start()
    asking.join(10)
    return answers[0]


@pytest.mark.parametrize(("path", "status"), [("live", "live"), ("ready", "ready")])
async def test_probes_are_answered_while_the_router_is_busy(router: Any, path: str, status: str) -> None:
    async with probes(router.services, "127.0.0.1", 0) as address:
        answer = asked_while_the_event_loop_stands_still(f"http://{address}/health/{path}")
    assert answer == (200, {"status": status})


async def test_a_router_that_drains_is_live_and_not_ready(router: Any) -> None:
    async with probes(router.services, "127.0.0.1", 0) as address:
        router.services.draining = True
        statuses = {
            path: asked_while_the_event_loop_stands_still(f"http://{address}/health/{path}")[0]
            for path in ("live", "ready")
        }
    assert statuses == {"live": 200, "ready": 503}


async def test_a_router_that_stands_still_for_long_is_not_live(router: Any) -> None:
    now = 0.0
    heartbeat = Heartbeat(lambda: now)
    listener = Listener(build_probes(router.services, heartbeat), "127.0.0.1", 0)
    url = f"http://{await listener.start()}/health/live"
    try:
        now = STUCK_SECONDS
        assert asked_while_the_event_loop_stands_still(url)[0] == 200
        now += 1
        assert asked_while_the_event_loop_stands_still(url)[0] == 503
        heartbeat.mark()
        assert asked_while_the_event_loop_stands_still(url)[0] == 200
    finally:
        await listener.stop()


async def test_there_is_nothing_but_health_on_that_port(router: Any) -> None:
    async with probes(router.services, "127.0.0.1", 0) as address:
        status, body = asked_while_the_event_loop_stands_still(f"http://{address}/v1/models")
    assert (status, set(body["error"])) == (404, {"message", "type", "param", "code"})


async def test_a_port_that_is_taken_is_an_error_and_leaves_nothing_behind(router: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="in use"):
        async with probes(router.services, "127.0.0.1", taken.getsockname()[1]):
            pass
    assert not any(thread.name == "probes" for thread in threading.enumerate())
