import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from router.inherited import NOTHING, Inherited
from router.listening import CannotListenError


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    """A copy, as a child process has it: what takes it over may close it."""
    with socket.create_server(("127.0.0.1", 0)) as original:
        copy = original.dup()
        copy.set_inheritable(True)
        yield copy
        copy.detach()


def test_sockets_and_paths_are_taken_out_of_the_environment(listening: socket.socket) -> None:
    environment = {
        "TDI_SOCKETS": f" {listening.fileno()} ",
        "TDI_CONTROL": "/run/router.sock",
        "TDI_STATUS": "/run/launcher.sock",
        "HOME": "/home/alice",
    }
    inherited = Inherited.from_environment(environment)
    (taken,) = inherited.sockets
    assert taken.getsockname() == listening.getsockname()
    assert not taken.get_inheritable()
    assert (inherited.control_path, inherited.status_path) == ("/run/router.sock", "/run/launcher.sock")
    assert environment == {"HOME": "/home/alice"}
    taken.close()


def test_where_nothing_is_said_nothing_is_inherited() -> None:
    empty = {"TDI_SOCKETS": "", "TDI_PROBE_SOCKETS": "", "TDI_CONTROL": "", "TDI_STATUS": ""}
    assert Inherited.from_environment(empty) == Inherited.from_environment({}) == NOTHING


@pytest.mark.parametrize("numbers", ["seven", "-1", "³", "999", "1.0", "999,"])
def test_what_is_no_file_descriptor_is_refused_by_name(numbers: str) -> None:
    with pytest.raises(CannotListenError, match=r"TDI_PROBE_SOCKETS: '.*' is not the file descriptor"):
        Inherited.from_environment({"TDI_PROBE_SOCKETS": numbers})


def test_a_socket_can_be_given_once(listening: socket.socket) -> None:
    with pytest.raises(CannotListenError, match="twice"):
        Inherited.from_environment({"TDI_SOCKETS": f"{listening.fileno()},{listening.fileno()}"})


def test_a_file_is_no_socket_and_stays_open(tmp_path: Path) -> None:
    with (tmp_path / "file").open("w") as file:
        with pytest.raises(CannotListenError):
            Inherited.from_environment({"TDI_SOCKETS": str(file.fileno())})
        os.fstat(file.fileno())


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM])
def test_a_socket_that_does_not_listen_is_of_no_use_and_stays_open(kind: socket.SocketKind) -> None:
    with socket.socket(socket.AF_INET, kind) as idle:
        with pytest.raises(CannotListenError, match="that listens"):
            Inherited.from_environment({"TDI_SOCKETS": str(idle.fileno())})
        assert idle.getsockname()


def test_a_unix_socket_is_not_what_clients_connect_to(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as local:
        local.bind(str(tmp_path / "s.sock"))
        local.listen()
        with pytest.raises(CannotListenError, match="TCP"):
            Inherited.from_environment({"TDI_SOCKETS": str(local.fileno())})
