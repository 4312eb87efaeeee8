"""A checkpoint on the hub: its small files first, then the headers of its weights, and only then the weights."""

import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from huggingface_hub import hf_hub_url, snapshot_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
)
from huggingface_hub.utils import build_hf_headers, get_session, hf_raise_for_status  # type: ignore[attr-defined]

# The first bytes of a safetensors file say how long its header is, which the format limits to this.
LENGTH_BYTES = 8
MAX_HEADER_BYTES = 100_000_000
TIMEOUT_SECONDS = 30
CONNECTIONS = 4


class HubError(Exception):
    """The hub does not give what was asked for; the message says why."""


class MissingFileError(HubError):
    """The hub has the model, and no such file in it."""


def fetch(source: str, patterns: Sequence[str], revision: str | None = None) -> Path:
    """Return the folder of a snapshot that holds the files that match, fetched with a progress bar if need be."""
    try:
        return Path(snapshot_download(source, revision=revision, allow_patterns=list(patterns)))
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise HubError(f"{source}: neither a folder here nor a model on the hub") from error
    except LocalEntryNotFoundError as error:
        raise HubError(
            f"{source}: there is no such folder, and the hub cannot be reached to fetch a model of that name"
        ) from error
    except Exception as error:  # a download can break in as many ways as there are layers below it
        raise HubError(f"{source}: cannot be fetched from the hub: {_in_one_line(error)}") from error


def fetch_headers(source: str, revision: str, names: Sequence[str]) -> list[Mapping[str, Any]]:
    """Return the headers of safetensors files, without the tensors behind them. Raises `HubError`."""
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        return list(pool.map(lambda name: _header(source, revision, name), names))


def _header(source: str, revision: str, name: str) -> Mapping[str, Any]:
    try:
        header = json.loads(_read_header(hf_hub_url(source, name, revision=revision)))
    except EntryNotFoundError as error:
        raise MissingFileError(f"{source}: {name} is missing on the hub") from error
    except Exception as error:  # as above
        raise HubError(f"{source}: the header of {name} cannot be read: {_in_one_line(error)}") from error
    if not isinstance(header, dict):
        raise HubError(f"{source}: the header of {name} is not a JSON object")
    return header


def _in_one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _read_header(url: str) -> bytes:
    """Read no more of a file than its header, whether or not the server knows ranges.

    `HfApi.parse_safetensors_file_metadata` would hold the whole file in memory where a proxy ignores the range.
    """
    headers = {**build_hf_headers(), "Range": f"bytes=0-{LENGTH_BYTES + MAX_HEADER_BYTES - 1}"}
    content, needed = bytearray(), LENGTH_BYTES
    with get_session().stream("GET", url, headers=headers, timeout=TIMEOUT_SECONDS, follow_redirects=True) as response:
        hf_raise_for_status(response)
        for piece in response.iter_bytes():
            content += piece
            if needed == LENGTH_BYTES and len(content) >= LENGTH_BYTES:
                needed += _length(content)
            if needed > LENGTH_BYTES and len(content) >= needed:
                return bytes(content[LENGTH_BYTES:needed])
    raise ValueError(f"it ends after {len(content)} bytes")


def _length(content: bytearray) -> int:
    length = int.from_bytes(content[:LENGTH_BYTES], "little")
    if not 0 < length <= MAX_HEADER_BYTES:
        raise ValueError("it is not a safetensors file")
    return length
