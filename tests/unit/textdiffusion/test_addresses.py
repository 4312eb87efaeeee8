import pytest
from hypothesis import given
from hypothesis import strategies as st

from textdiffusion.addresses import TcpAddress, UnixAddress, is_local, is_loopback, parse_address, parse_host


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("unix:/run/worker.sock", UnixAddress("/run/worker.sock")),
        ("unix:worker.sock", UnixAddress("worker.sock")),
        ("127.0.0.1:50051", TcpAddress("127.0.0.1", 50051)),
        ("[::1]:50051", TcpAddress("::1", 50051)),
        ("workers.internal:1", TcpAddress("workers.internal", 1)),
        ("my_worker-0:65535", TcpAddress("my_worker-0", 65535)),
    ],
)
def test_an_address_is_read_and_written_alike(text: str, address: TcpAddress | UnixAddress) -> None:
    assert parse_address(text) == address
    assert str(address) == text


@given(st.ip_addresses().map(str), st.integers(1, 65535))
def test_any_ip_address_is_read_as_it_was_written(ip: str, port: int) -> None:
    address = TcpAddress(ip, port)
    assert parse_address(str(address)) == address
    assert not address.is_name


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("::1:50051", r"in brackets, and its port behind them: \[::1\]:50051"),
        ("[::1]", r"in brackets, and its port behind them: \[::1\]:50051"),
        ("::1", r"in brackets, and its port behind them: \[::1\]:50051"),
        ("unix:/a,b", "path cannot have any of # % , ?"),
        ("unix:/a%20b", "path cannot have any of # % , ?"),
        ("dns:///host:1", "neither unix:PATH nor HOST:PORT"),
        ("http://host:1", "neither"),
        ("host", "neither"),
        ("host:", "neither"),
        ("unix:", "neither"),
        ("my host:1", "neither"),
        ("[host]:1", "only an IPv6 address"),
        ("[]:1", "neither"),
        ("host:0", "from 1 to 65535"),
        ("host:65536", "from 1 to 65535"),
        ("host:٣", "neither"),
    ],
)
def test_what_is_no_address_is_refused_in_words(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse_address(text)


@pytest.mark.parametrize("host", ["::1", "::", "127.0.0.1", "localhost", "my_host.internal", "fe80::1%eth0"])
def test_a_host_by_itself_is_as_it_was_written(host: str) -> None:
    assert parse_host(host) == host


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[::1]", "without brackets: ::1"),
        ("[127.0.0.1]", "without brackets: 127.0.0.1"),
        ("[::1]:3001", "its port in a setting of its own"),
        ("localhost:3001", "its port in a setting of its own"),
        ("http://localhost:3001", "is a URL"),
    ],
)
def test_what_is_more_than_a_host_is_refused_in_words(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as error:
        parse_host(text)
    assert str(error.value).startswith(f"{text}: ")


def test_only_who_listens_may_leave_the_port_open() -> None:
    assert parse_address("[::]:0", lowest_port=0) == TcpAddress("::", 0)
    with pytest.raises(ValueError, match="from 0 to 65535"):
        parse_address("host:65536", lowest_port=0)


@pytest.mark.parametrize(
    ("text", "is_here"), [("unix:w.sock", True), ("[::1]:1", True), ("localhost:1", True), ("unixhost:1", False)]
)
def test_an_address_on_this_machine_is_told_from_others(text: str, is_here: bool) -> None:
    assert is_local(parse_address(text)) is is_here


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost", "LocalHost"])
def test_this_machine_is_known(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "localhost.example.org"])  # noqa: S104
def test_other_machines_are_known_too(host: str) -> None:
    assert not is_loopback(host)
