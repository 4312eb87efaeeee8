import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.text.stop_strings import StopStrings

LETTERS = st.text("ab", max_size=30)
STOPS = st.lists(st.text("ab", min_size=1, max_size=5), max_size=4)


def cut(text: str, stops: list[str]) -> str:
    """The definition: read letter by letter until the text read ends in a stop string, and take the longest off."""
    for end in range(1, len(text) + 1):
        ending = [stop for stop in stops if text[:end].endswith(stop)]
        if ending:
            return text[: end - max(map(len, ending))]
    return text


@given(LETTERS, STOPS, st.lists(st.integers(1, 7), max_size=30))
def test_however_it_is_cut_the_text_ends_before_the_stop_string_that_is_complete_first(
    text: str, stops: list[str], sizes: list[int]
) -> None:
    scanner, shown, rest = StopStrings(stops), "", text
    for size in [*sizes, len(text)]:
        shown += scanner.push(rest[:size])
        rest = rest[size:]
        assert cut(text, stops).startswith(shown)
    shown += scanner.flush()
    assert shown == cut(text, stops)
    assert scanner.found is (cut(text, stops) != text)


@given(LETTERS, STOPS)
def test_nothing_is_held_back_that_cannot_become_a_stop_string(text: str, stops: list[str]) -> None:
    scanner = StopStrings(stops)
    shown = scanner.push(text)
    if not scanner.found:
        held = text[len(shown) :]
        assert not held or any(stop.startswith(held) for stop in stops)


@pytest.mark.parametrize(
    ("pieces", "stops", "shown"),
    [
        (["one\n", "\ntwo"], ["\n\n"], ["one", ""]),
        (["a", "b", "c"], ["bx"], ["a", "", "bc"]),
        (["abcd"], ["bcd", "c"], ["ab"]),
    ],
)
def test_parts_of_a_stop_string_are_shown_once_they_are_none(
    pieces: list[str], stops: list[str], shown: list[str]
) -> None:
    scanner = StopStrings(stops)
    assert [scanner.push(piece) for piece in pieces] == shown


def test_a_stop_string_may_hold_anything() -> None:
    scanner = StopStrings([".*", re.escape("("), "\N{EARTH GLOBE EUROPE-AFRICA}"])
    assert scanner.push("a.*b") == "a"


@given(LETTERS, STOPS, st.lists(st.integers(1, 7), max_size=30))
def test_with_the_stop_string_the_text_is_what_was_read_when_it_was_complete(
    text: str, stops: list[str], sizes: list[int]
) -> None:
    scanner, shown, rest = StopStrings(stops, include=True), "", text
    for size in [*sizes, len(text)]:
        shown += scanner.push(rest[:size])
        rest = rest[size:]
    shown += scanner.flush()
    complete = (end for end in range(1, len(text) + 1) if any(text[:end].endswith(stop) for stop in stops))
    assert shown == text[: next(complete, len(text))]
