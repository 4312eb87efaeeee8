"""The files of the page, read once."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Final

FOLDER: Final = Path(__file__).parent / "page"
CONTENT_TYPES: Final[Mapping[str, str]] = MappingProxyType(
    {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
)


@dataclass(frozen=True, slots=True)
class PageFile:
    content: bytes
    content_type: str
    etag: str  # another one as soon as the content is another


@cache
def page_files() -> Mapping[str, PageFile]:
    """By their paths within the folder: `index.html`, `scripts/main.js`."""
    files = (file for file in FOLDER.rglob("*") if file.suffix in CONTENT_TYPES)
    return MappingProxyType({file.relative_to(FOLDER).as_posix(): _read(file) for file in files})


def _read(file: Path) -> PageFile:
    content = file.read_bytes()
    return PageFile(content, CONTENT_TYPES[file.suffix], hashlib.sha256(content).hexdigest()[:32])
