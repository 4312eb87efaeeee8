from typing import Any

import pytest

from launcher.acceptance import RefusedError, uses_all

WORKERS = {"unix:/0": "worker-0", "unix:/1": "worker-1"}


def health(first: str, second: str, reason: str | None = None) -> dict[str, Any]:
    return {
        "workers": [
            {"address": "unix:/0", "state": first, "reason": None},
            {"address": "unix:/1", "state": second, "reason": reason},
        ],
    }


def test_a_router_uses_workers_that_it_sees_serving() -> None:
    assert uses_all(health("serving", "serving"), WORKERS)


@pytest.mark.parametrize("state", ["unreachable", "not serving"])
def test_a_worker_that_it_does_not_see_serving_it_does_not_use(state: str) -> None:
    assert not uses_all(health("serving", state), WORKERS)


def test_a_worker_that_it_does_not_know_it_does_not_use() -> None:
    assert not uses_all({"workers": []}, WORKERS)


def test_a_router_that_does_not_answer_uses_none() -> None:
    assert not uses_all(None, WORKERS)


def test_workers_that_nobody_waits_for_may_be_in_any_state() -> None:
    assert uses_all(health("serving", "refused"), {"unix:/0": "worker-0"})


def test_a_worker_that_it_refuses_is_named_with_the_reason() -> None:
    with pytest.raises(RefusedError, match="the router refuses worker-1: its model has no tokenizer"):
        uses_all(health("serving", "refused", "its model has no tokenizer"), WORKERS)
