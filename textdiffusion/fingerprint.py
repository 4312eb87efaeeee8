"""Tells whether two processes speak of the same tokenizer or the same weights."""

import hashlib
from pathlib import Path

# All that the library reads of a tokenizer; the last two only where tokenizer_config.json names no added tokens.
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "special_tokens_map.json",
    "added_tokens.json",
)
_SAMPLES = 16
_SAMPLE_BYTES = 64 * 1024


def tokenizer_fingerprint(folder: Path) -> str:
    """sha256 over the names and bytes of the tokenizer's files in `folder`; empty if there are none."""
    digest = hashlib.sha256()
    present = [folder / name for name in TOKENIZER_FILES if (folder / name).is_file()]
    for file in present:
        digest.update(file.name.encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest() if present else ""


def weights_fingerprint(config: Path, weights: list[Path], dtype: str) -> str:
    """sha256 over what decides tokens: the configuration, the dtype, and the weights by size and evenly spaced samples.

    Reading all of a large checkpoint again would double the time that it takes to load.
    """
    digest = hashlib.sha256(config.read_bytes() + dtype.encode())
    for file in sorted(weights):
        size = file.stat().st_size
        digest.update(f"{file.name}\0{size}\0".encode())
        with file.open("rb") as stream:
            for sample in range(_SAMPLES):
                stream.seek(max(0, size - _SAMPLE_BYTES) * sample // (_SAMPLES - 1))
                digest.update(stream.read(_SAMPLE_BYTES))
    return digest.hexdigest()
