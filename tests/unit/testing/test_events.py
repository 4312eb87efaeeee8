import pytest
from hypothesis import given
from hypothesis import strategies as st

from testing.events import EventParser


def parsed(*pieces: bytes) -> list[str]:
    parser = EventParser()
    return [event for piece in pieces for event in parser.push(piece)]


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (b"data: one\n\ndata: two\n\n", ["one", "two"]),
        (b"data:one\n\n", ["one"]),
        (b"data:  one\n\n", [" one"]),
        (b"data: one\r\n\r\ndata: two\r\n\r\n", ["one", "two"]),
        (b"data: one\r\rdata: two\r\r", ["one", "two"]),
        (b"data: one\ndata: two\n\n", ["one\ntwo"]),
        (b": ping\n\ndata: one\n\n: ping\n\n", ["one"]),
        (b"event: message\nid: 7\nretry: 5\ndata: one\n\n", ["one"]),
        (b"\xef\xbb\xbfdata: one\n\n", ["one"]),
        (b"data\n\n", [""]),
        (b'data: {"a": 1}\n\n\n\n', ['{"a": 1}']),
        ("data: grüß 🌍\n\n".encode(), ["grüß 🌍"]),
        (b"data: \xff\n\n", ["\N{REPLACEMENT CHARACTER}"]),
        (b"data: cut off\n", []),
        (b"", []),
    ],
)
def test_events_are_read_as_the_standard_has_them(stream: bytes, events: list[str]) -> None:
    assert parsed(stream) == events


def test_an_event_is_there_as_soon_as_its_last_byte_is() -> None:
    parser = EventParser()
    assert parser.push(b"data: one\r\n\r") == ["one"]
    assert parser.push(b"\n") == []
    assert parser.push(b"data: two\r\n\r\n") == ["two"]


@given(
    st.lists(st.text(st.characters(exclude_characters="\r\n", codec="utf-8"))),
    st.sampled_from(["\n", "\r", "\r\n"]),
    st.data(),
)
def test_it_does_not_matter_where_the_network_cuts(payloads: list[str], end: str, draw: st.DataObject) -> None:
    stream = "".join(f"data: {payload}{end}: ping{end}{end}" for payload in payloads).encode()
    cuts = sorted(draw.draw(st.lists(st.integers(0, len(stream)))))
    pieces = [stream[first:last] for first, last in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert parsed(*pieces) == payloads
