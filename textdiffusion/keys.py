"""API keys as they are configured: tables of names and keys.

A key is forgotten as soon as it has been read, and its digest takes its place. So whatever is printed, logged or handed
on later cannot give it away. Nothing here shows a key; nor a name that is none, for it may be a key in the wrong place.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from pydantic import SecretStr

from textdiffusion.toml import read_toml

Digests = dict[str, SecretStr]  # name -> "sha256:" and 64 hexadecimal digits

SHA256 = "sha256:"
NAME = re.compile(r"[\w.@-]{1,64}")
HEX_DIGEST = re.compile(r"[0-9a-f]{64}")
SENDABLE = re.compile(r"[!-~]+")  # what a header carries as it is
NAME_RULE = "a name has 1 to 64 letters, digits or any of ._@-, and its key comes after it"


def digest_of(key: bytes) -> str:
    return SHA256 + hashlib.sha256(key).hexdigest()


EMPTY = digest_of(b"")


def parse_keys(given: object) -> Digests:
    """The digests of a table of keys, each of which may be its digest already. Raises `ValueError`."""
    if not isinstance(given, Mapping):
        raise ValueError("has to be a table of names and keys")  # noqa: TRY004 - what pydantic understands
    keys = {name: key.get_secret_value() if isinstance(key, SecretStr) else key for name, key in given.items()}
    _complain(_problems(keys))
    digests = {name: SecretStr(_digest(key)) for name, key in keys.items()}
    _complain(_twins(digests))
    return digests


def read_keys(path: Path) -> Digests:
    """The same of a TOML file that has nothing else in it. Raises `ValueError`, which names the file."""
    table = read_toml(path)
    if not table:
        raise ValueError(f'{path}: has no key in it; a line of it reads NAME = "KEY"')
    try:
        return parse_keys(table)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def union(some: Digests, others: Digests) -> Digests:
    """Both together. Raises `ValueError` where they do not go together."""
    _complain(
        f"{name} has a key twice, in the settings and in the file of keys" for name in some.keys() & others.keys()
    )
    both = {**some, **others}
    _complain(_twins(both))
    return both


def _digest(key: str) -> str:
    return key.lower() if key.lower().startswith(SHA256) else digest_of(key.encode())


def _problems(keys: Mapping[object, object]) -> Iterator[str]:
    for name, key in keys.items():
        if not isinstance(name, str) or not NAME.fullmatch(name):
            yield NAME_RULE
        elif problem := _problem(key):
            yield f"the key of {name} {problem}"


def _problem(key: object) -> str | None:
    if not isinstance(key, str):
        return "has to be a string"
    if key == "" or key.lower() == EMPTY:
        return "is empty"
    if not SENDABLE.fullmatch(key):
        return "has spaces, control characters or characters beyond ASCII, which a header cannot carry"
    if not key.strip("*"):
        return "is nothing but asterisks, which is how --print-config hides keys"
    if key.lower().startswith(SHA256) and not HEX_DIGEST.fullmatch(key.lower().removeprefix(SHA256)):
        return f"begins with {SHA256}, after which there have to be 64 hexadecimal digits"
    return None


def _twins(digests: Digests) -> Iterator[str]:
    first: dict[str, str] = {}
    for name, digest in digests.items():
        other = first.setdefault(digest.get_secret_value(), name)
        if other != name:
            yield f"{other} and {name} have the same key"


def _complain(problems: Iterator[str]) -> None:
    said = list(dict.fromkeys(problems))
    if said:
        raise ValueError("; ".join(said))
