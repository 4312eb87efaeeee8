"""Server-sent events."""

import codecs
from collections.abc import AsyncGenerator, AsyncIterator


async def events(received: AsyncIterator[bytes]) -> AsyncGenerator[str, None]:
    """The data of each event, wherever the bytes were cut."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    pending: list[str] = []
    async for piece in received:
        first, *others = decoder.decode(piece).split("\n")
        pending.append(first)
        for other in others:
            line = "".join(pending)
            pending = [other]
            if line.startswith("data:"):
                yield line.removeprefix("data:").strip()
