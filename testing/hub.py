"""A hub on this machine: as much of its protocol as fetching a model takes, with the faults of proxies before it."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha1
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import MappingProxyType
from urllib.parse import unquote

import huggingface_hub.constants
import pytest

COMMIT = "c0ffee" + "0" * 34
REPOSITORY = "somebody/some-model"
PIECE = 1 << 16


@dataclass
class Hub:
    """Serves one folder as `REPOSITORY`; what it was asked for is kept."""

    folder: Path
    knows_ranges: bool = True
    hidden: set[str] = field(default_factory=set)  # files that it lists and does not have
    cut_after: int | None = None  # bytes of a file of weights, after which the connection is closed
    sent: dict[str, int] = field(default_factory=dict)  # bytes of each file

    def files(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir())


@contextmanager
def running_hub(folder: Path, cache: Path, patch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """Serve `folder`, and have huggingface_hub ask there and keep its files in `cache`."""
    hub = Hub(folder)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            _answer(self, hub)

        do_HEAD = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None: ...  # type: ignore[override]

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    serving = Thread(target=server.serve_forever)
    serving.start()
    url = f"http://127.0.0.1:{server.server_port}"
    patch.setattr(huggingface_hub.constants, "ENDPOINT", url)
    patch.setattr(
        huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", url + "/{repo_id}/resolve/{revision}/{filename}"
    )
    patch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(cache))
    patch.setattr(huggingface_hub.constants, "HF_HUB_DISABLE_XET", True)
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        serving.join()


def _answer(request: BaseHTTPRequestHandler, hub: Hub) -> None:
    path = unquote(request.path).partition("?")[0]
    if path.startswith(f"/api/models/{REPOSITORY}/tree/"):
        sizes = {name: (hub.folder / name).stat().st_size for name in hub.files()}
        files = [{"type": "file", "path": name, "size": size, "oid": COMMIT} for name, size in sizes.items()]
        return _send(request, json.dumps(files).encode())
    if path.startswith(f"/api/models/{REPOSITORY}"):
        siblings = [{"rfilename": name} for name in hub.files()]
        return _send(request, json.dumps({"id": REPOSITORY, "sha": COMMIT, "siblings": siblings}).encode())
    start, _, name = path.partition(f"/resolve/{COMMIT}/")
    file = hub.folder / name
    if start != f"/{REPOSITORY}" or not name or name in hub.hidden or not file.is_file():
        error = "EntryNotFound" if start == f"/{REPOSITORY}" else "RepoNotFound"
        return _send(request, b"", 404, {"X-Error-Code": error})
    return _send_file(request, hub, file)


def _send_file(request: BaseHTTPRequestHandler, hub: Hub, file: Path) -> None:
    content, status = file.read_bytes(), 200
    headers = {"ETag": f'"{sha1(content, usedforsecurity=False).hexdigest()}"', "X-Repo-Commit": COMMIT}
    wanted = request.headers.get("Range", "").removeprefix("bytes=")
    if wanted and hub.knows_ranges:
        first, _, last = wanted.partition("-")
        end = min(int(last) + 1 if last else len(content), len(content))
        headers["Content-Range"] = f"bytes {first}-{end - 1}/{len(content)}"
        content, status = content[int(first) : end], 206
    cut = hub.cut_after if file.suffix == ".safetensors" else None
    _send_head(request, len(content), status, headers)
    if request.command == "HEAD":
        return
    for start in range(0, len(content[:cut]), PIECE):
        piece = content[:cut][start : start + PIECE]
        hub.sent[file.name] = hub.sent.get(file.name, 0) + len(piece)
        try:
            request.wfile.write(piece)
        except OSError:  # it has read enough
            request.close_connection = True
            return
    if cut is not None:
        request.close_connection = True


def _send(
    request: BaseHTTPRequestHandler,
    content: bytes,
    status: int = 200,
    headers: Mapping[str, str] = MappingProxyType({}),
) -> None:
    _send_head(request, len(content), status, headers)
    if request.command != "HEAD":
        request.wfile.write(content)


def _send_head(request: BaseHTTPRequestHandler, length: int, status: int, headers: Mapping[str, str]) -> None:
    request.send_response(status)
    for name, value in {**headers, "Content-Length": str(length)}.items():
        request.send_header(name, value)
    request.end_headers()
