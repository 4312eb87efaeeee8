import socket
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


V4, V6 = ["10.0.0.1", "10.0.0.2"], ["fd00::1", "fd00::2"]


@pytest.mark.parametrize(
    ("answers", "taken"), [(V6 + V4, V6), (V4 + V6, V4), ([V6[0], *V4, V6[1]], V6), (V4, V4), (V6, V6)]
)
async def test_machines_that_have_two_addresses_count_once(
    monkeypatch: pytest.MonkeyPatch, answers: list[str], taken: list[str]
) -> None:
    def getaddrinfo(*_: object, **__: object) -> list[tuple[Any, ...]]:
        families = [socket.AF_INET6 if ":" in ip else socket.AF_INET for ip in answers]
        return [(family, socket.SOCK_STREAM, 6, "", (ip, 0)) for family, ip in zip(families, answers, strict=True)]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    assert await resolve("workers.internal") == taken


@pytest.mark.parametrize("name", ["no-such-machine.invalid", "a..b", "a" * 64, "ä" * 64])
async def test_a_name_that_nobody_has_is_an_error(name: str) -> None:
    with pytest.raises(OSError, match=r"\w"):
        await resolve(name)
