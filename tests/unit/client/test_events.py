from collections.abc import AsyncIterator, Sequence

import pytest

from client.events import events


async def pieces(*received: bytes) -> AsyncIterator[bytes]:
    for piece in received:
        yield piece


@pytest.mark.parametrize(
    ("received", "expected"),
    [
        ([b"data: a\n\ndata: b\n\n"], ["a", "b"]),
        ([b"da", b"ta: a\n", b"\n"], ["a"]),
        ([b"data: a\r\n\r\ndata:b\r\n\r\n"], ["a", "b"]),
        ([b"event: x\n: comment\ndata: a\n\n"], ["a"]),
        (["data: ö\n\n".encode()[:7], "data: ö\n\n".encode()[7:]], ["ö"]),
        ([b"data: " + b"x" * 300_000 + b"\n\n"], ["x" * 300_000]),
    ],
)
async def test_events_are_found_wherever_the_bytes_are_cut(received: Sequence[bytes], expected: list[str]) -> None:
    assert [event async for event in events(pieces(*received))] == expected
