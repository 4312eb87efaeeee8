from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.workers.names import resolve, workers_behind
from textdiffusion.addresses import TcpAddress

NAME = TcpAddress("workers.internal", 50051)


@pytest.mark.parametrize("ips", [["127.0.0.1"], ["::1"], ["127.0.0.1", "::1"], ["127.0.0.1", "127.0.1.1"]])
def test_a_name_for_this_machine_is_one_worker_by_whatever_way(ips: list[str]) -> None:
    assert workers_behind(NAME, ips) == [NAME]


def test_each_other_address_is_a_worker_of_its_own() -> None:
    assert list(map(str, workers_behind(NAME, ["10.0.0.2", "10.0.0.1", "fd00::1"]))) == [
        "10.0.0.1:50051",
        "10.0.0.2:50051",
        "[fd00::1]:50051",
    ]


@given(st.lists(st.ip_addresses().map(str), min_size=1), st.randoms())
def test_neither_order_nor_repetition_matters(ips: list[str], random: Any) -> None:
    others = [*ips, *ips]
    random.shuffle(others)
    assert workers_behind(NAME, others) == workers_behind(NAME, ips)


async def test_localhost_is_this_machine() -> None:
    address = TcpAddress("localhost", 50051)
    assert workers_behind(address, await resolve("localhost")) == [address]


@pytest.mark.parametrize("name", ["no-such-machine.invalid", "a..b", "a" * 64, "ä" * 64])
async def test_a_name_that_nobody_has_is_an_error(name: str) -> None:
    with pytest.raises(OSError, match=r"\w"):
        await resolve(name)
