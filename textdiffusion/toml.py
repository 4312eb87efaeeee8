"""Reads TOML files, as editors and shells on any system write them."""

import codecs
import io
from pathlib import Path
from typing import Any

import tomli

UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def read_toml(path: Path) -> dict[str, Any]:
    """Return the tables of a file; a byte order mark at its beginning is skipped.

    Raises `ValueError`, whose words begin with the path.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {error.strerror}") from error
    if _is_utf16(content):
        raise ValueError(f"{path}: is encoded in UTF-16, as some editors and PowerShell's > do; save it as UTF-8")
    try:
        text = io.TextIOWrapper(io.BytesIO(content), "utf-8-sig").read()  # with line ends of any system
        tree: dict[str, Any] = tomli.loads(text)
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: is not TOML, which is encoded in UTF-8: {error}") from error
    except tomli.TOMLDecodeError as error:
        raise ValueError(f"{path}: is not TOML: {error}") from error
    except RecursionError as error:
        raise ValueError(f"{path}: is nested too deeply") from error
    return tree


def _is_utf16(content: bytes) -> bool:
    """Return whether it begins with a mark, or with an ASCII character in two bytes."""
    return content.startswith(UTF16_MARKS) or content[:2].count(0) == 1
