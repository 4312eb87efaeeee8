import pytest
from pydantic import ValidationError

from textdiffusion.origins import host_of, is_origin, parse_host_name, parse_origin
from textdiffusion.router_settings import RouterSettings


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("http://localhost:8080", "http://localhost:8080"),
        ("https://App.Example.com", "https://app.example.com"),
        ("https://app.example.com:443", "https://app.example.com"),
        ("http://app.example.com:80", "http://app.example.com"),
        ("https://app.example.com:80", "https://app.example.com:80"),
        ("http://[::1]:8080", "http://[::1]:8080"),
        ("chrome-extension://abcdefghijklmnop", "chrome-extension://abcdefghijklmnop"),
        ("*", "*"),
        ("null", "null"),
    ],
)
def test_an_origin_is_kept_as_browsers_send_it(text: str, origin: str) -> None:
    assert parse_origin(text) == origin
    assert is_origin(origin) is (origin != "*")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("app.example.com", "write its scheme too, as in http://app.example.com"),
        ("localhost:8080", "write its scheme too"),
        ("", "write its scheme too"),
        ("https://app.example.com/", "leave out its path, even a slash"),
        ("https://app.example.com/chat?x", "leave out its path"),
        ("https://*.example.com", "stands alone"),
        ("https://bücher.example", "as browsers send it"),
        ("https://app.example.com:99999", "write SCHEME://HOST"),
        ("https://", "write SCHEME://HOST"),
        ("https://user@app.example.com", "write SCHEME://HOST"),
    ],
)
def test_an_origin_that_no_browser_would_send_is_refused_in_words(text: str, words: str) -> None:
    with pytest.raises(ValidationError, match="is no origin of a page: .*" + words):
        RouterSettings(allowed_origins=(text,))


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("TDI.example.com", "tdi.example.com"),
        ("tdi.example.com.", "tdi.example.com"),
        ("192.168.1.5", "192.168.1.5"),
        ("[fe80::1]", "fe80::1"),
        ("fe80::1", "fe80::1"),
        ("*", "*"),
    ],
)
def test_a_name_of_a_host_is_kept_without_brackets_and_case(text: str, name: str) -> None:
    assert parse_host_name(text) == name


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("http://tdi.example.com", "leave out scheme and path"),
        ("tdi.example.com:3001", "leave out the port"),
        ("[::1]:3001", "leave out the port"),
        ("*.example.com", "stands alone"),
        ("a b", "write a DNS name"),
        ("", "write a DNS name"),
    ],
)
def test_what_is_no_name_of_a_host_is_refused_in_words(text: str, words: str) -> None:
    with pytest.raises(ValidationError, match="is no name of a host: .*" + words):
        RouterSettings(allowed_hosts=(text,))


@pytest.mark.parametrize(
    ("header", "host"),
    [
        ("localhost:3001", "localhost"),
        ("LocalHost", "localhost"),
        ("localhost.", "localhost"),
        ("[::1]:3001", "::1"),
        ("127.0.0.1", "127.0.0.1"),
        ("", ""),
        ("localhost:80@evil.example", "localhost:80@evil.example"),
        ("localhost:x", "localhost:x"),
    ],
)
def test_the_host_of_a_header_has_no_port(header: str, host: str) -> None:
    assert host_of(header) == host
