"""Origins of web pages and names of hosts, as browsers send them and settings list them.

A setting that could never match what a browser sends is refused, with a sentence that says how to write it.
"""

import re
from ipaddress import IPv6Address
from typing import Final

ANY: Final = "*"
OPAQUE: Final = "null"  # the origin of a page in a file or a sandbox

ORIGIN: Final = re.compile(
    r"(?P<scheme>[a-z][a-z0-9+.-]*)://(?P<host>\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:(?P<port>[0-9]{1,5}))?", re.ASCII
)
HOST_NAME: Final = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*", re.ASCII)
HOST_AND_PORT: Final = re.compile(r"(?P<host>\[[^\[\]]*\]|[^:\[\]]*)(:[0-9]*)?", re.ASCII)
DEFAULT_PORTS: Final = {"http": "80", "https": "443"}
HIGHEST_PORT: Final = 65535


def parse_origin(text: str) -> str:
    """Return the origin as browsers send it; `*` and `null` stand for themselves. Raises `ValueError`."""
    origin = text.strip().lower()
    if origin in (ANY, OPAQUE):
        return origin
    found = ORIGIN.fullmatch(origin)
    if not found or int(found["port"] or 0) > HIGHEST_PORT:
        raise ValueError(f"{text!r} is no origin of a page: {_wrong_with_origin(origin)}")
    if found["port"] == DEFAULT_PORTS.get(found["scheme"]):  # which browsers leave out
        return f"{found['scheme']}://{found['host']}"
    return origin


def parse_host_name(text: str) -> str:
    """Return the name or address, without brackets; `*` stands for itself. Raises `ValueError`."""
    name = text.strip().lower()
    if name == ANY:
        return name
    host = name.removeprefix("[").removesuffix("]")
    if _is_ipv6(host) or HOST_NAME.fullmatch(host.removesuffix(".")):
        return host.removesuffix(".")
    raise ValueError(f"{text!r} is no name of a host: {_wrong_with_host(name)}")


def host_of(header: str) -> str:
    """Return the name or address in a Host header, without port and brackets; whatever is malformed as it is."""
    found = HOST_AND_PORT.fullmatch(header.strip().lower())
    return found["host"].removeprefix("[").removesuffix("]").removesuffix(".") if found else header


def is_origin(header: str) -> bool:
    """Tell whether an Origin header has the form of one, and so can be sent back."""
    return header == OPAQUE or ORIGIN.fullmatch(header.lower()) is not None


def _wrong_with_origin(origin: str) -> str:
    _, scheme, rest = origin.partition("://")
    if not scheme:
        return f"write its scheme too, as in http://{origin or 'localhost:8080'}"
    if ANY in origin:
        return f'"{ANY}" stands alone, for every origin'
    if "/" in rest or "?" in rest or "#" in rest:
        return "leave out its path, even a slash, as in https://app.example.com"
    if not origin.isascii():
        return "write a name in other letters as browsers send it, in ASCII (xn--…)"
    return "write SCHEME://HOST or SCHEME://HOST:PORT, as in http://localhost:8080"


def _wrong_with_host(name: str) -> str:
    if "/" in name:
        return "leave out scheme and path, as in tdi.example.com"
    if re.search(r":[0-9]*$", name):
        return "leave out the port, which may be any"
    if ANY in name:
        return f'"{ANY}" stands alone, for every name'
    return "write a DNS name or an IP address, as in tdi.example.com"


def _is_ipv6(host: str) -> bool:
    try:
        IPv6Address(host)
    except ValueError:
        return False
    return True
