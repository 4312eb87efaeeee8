import errno
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from launcher.ports import Doors, url_of
from textdiffusion.configuration import ConfigurationError
from textdiffusion.router_settings import RouterSettings


@contextmanager
def doors(known: Doors | None = None, **settings: Any) -> Iterator[Doors]:
    taken = Doors.of(RouterSettings(**{"host": "127.0.0.1", "port": 0, **settings}), known)
    try:
        yield taken
    finally:
        taken.close()


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def connects(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def test_port_0_becomes_one_that_is_taken_but_not_open_yet() -> None:
    with doors() as taken:
        assert taken.main.port > 0
        assert not connects(taken.main.port)
        taken.open()
        assert connects(taken.main.port)


def test_whoever_connects_before_anyone_serves_waits() -> None:
    with doors() as taken:
        taken.open()
        with socket.create_connection(("127.0.0.1", taken.main.port)) as client:
            client.sendall(b"hello")
            taken.main.sockets[0].setblocking(True)
            served, _ = taken.main.sockets[0].accept()
            with served:
                assert served.recv(5) == b"hello"


def test_a_port_that_was_just_let_go_is_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            server.accept()[0].close()
    with doors(port=port) as taken:
        assert taken.main.port == port


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_port_that_another_listens_on_is_refused(host: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(ConfigurationError, match=rf"router\.port: {port} is in use"), doors(host=host, port=port):
            pass


def test_a_probe_port_that_another_listens_on_is_refused_and_nothing_is_kept() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        before = descriptors()
        probe_port = server.getsockname()[1]
        with (
            pytest.raises(ConfigurationError, match=r"router\.probe_port: \d+ is in use"),
            doors(probe_port=probe_port),
        ):
            pass
        assert descriptors() == before


@pytest.mark.parametrize(
    ("host", "words"), [("192.0.2.1", "no address of this machine"), ("no.such.invalid", "resolved")]
)
def test_a_host_that_is_not_here_is_refused(host: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words), doors(host=host, allow_anonymous=True):
        pass


def test_a_port_for_root_alone_is_refused_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(socket.socket, "bind", refuse)
    with pytest.raises(ConfigurationError, match="may not listen on 80"), doors(port=80):
        pass


def test_the_same_addresses_keep_their_sockets_and_only_the_others_are_closed() -> None:
    with doors(probe_port=0) as before, doors(before) as after:
        after.open()
        assert after.main is before.main
        assert after.probes is None
        before.close(but=after)
        assert connects(after.main.port)
        assert before.probes
        assert before.probes.sockets[0].fileno() == -1


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:80"),
        ("localhost", "http://localhost:80"),
        ("0.0.0.0", "http://127.0.0.1:80"),  # noqa: S104
        ("::", "http://[::1]:80"),
        ("::1", "http://[::1]:80"),
    ],
)
def test_the_url_is_one_that_a_client_here_can_use(host: str, url: str) -> None:
    assert url_of(host, 80) == url


def test_a_port_that_the_launcher_itself_holds_for_another_address_is_refused_in_those_words() -> None:
    with doors() as before, pytest.raises(ConfigurationError, match=r"this launcher has \d+ on 127.0.0.1; to use it"):
        Doors.of(RouterSettings(host="127.0.0.2", port=before.main.port), before)


def test_a_name_that_no_machine_can_have_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="no name of a machine"), doors(host="a..b", allow_anonymous=True):
        pass
