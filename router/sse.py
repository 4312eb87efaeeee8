"""Server-sent events."""

import json
from collections.abc import Mapping
from typing import Any

from aiohttp import web

HEADERS = (
    ("Content-Type", "text/event-stream; charset=utf-8"),
    ("Cache-Control", "no-cache"),
    ("X-Accel-Buffering", "no"),  # else nginx collects them
)


def json_text(value: Any) -> str:
    """Compact, and with text as it is in any language."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


class EventStream:
    """A response that is sent event by event."""

    def __init__(self) -> None:
        self.response = web.StreamResponse(headers=HEADERS)

    async def open(self, request: web.Request) -> None:
        await self.response.prepare(request)

    async def send(self, event: Mapping[str, Any]) -> None:
        await self.response.write(f"data: {json_text(event)}\n\n".encode())

    async def keep_alive(self) -> None:
        """A comment, so that no proxy takes silence for death."""
        await self.response.write(b": ping\n\n")

    async def close(self) -> None:
        await self.response.write(b"data: [DONE]\n\n")
        await self.response.write_eof()
