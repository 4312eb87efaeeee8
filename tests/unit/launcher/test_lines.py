from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from launcher.lines import LONGEST_LINE, SECONDS_BETWEEN_REDRAWS, Lines


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def shown(*pieces: bytes, clock: Clock | None = None) -> list[str]:
    lines: list[str] = []
    cutter = Lines(lines.append, clock or Clock())
    for piece in pieces:
        cutter.feed(piece)
    cutter.close()
    return lines


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        ([b"one\ntwo\n"], ["one", "two"]),
        ([b"on", b"e\nt", b"wo"], ["one", "two"]),
        ([b"one\r\ntwo\r", b"\nthree"], ["one", "two", "three"]),
        ([b"one\n\ntwo\n"], ["one", "", "two"]),
        (["grün".encode()[:3], "grün".encode()[3:] + b"\n"], ["grün"]),
        ([b"\xff\xfe\n"], ["\\xff\\xfe"]),
        ([b"\xc3"], ["\\xc3"]),
        ([b"a\x0bb\xc2\x85c\n"], ["a\x0bb\x85c"]),
        ([], []),
    ],
)
def test_bytes_become_lines_wherever_they_are_cut(pieces: list[bytes], expected: list[str]) -> None:
    assert shown(*pieces) == expected


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\r\n\x1b"), min_size=1)), st.data())
def test_no_line_is_lost_or_changed(lines: list[str], data: st.DataObject) -> None:
    written = "".join(line + "\n" for line in lines).encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(written)))))
    edges = pairwise([0, *cuts, len(written)])
    assert shown(*(written[start:end] for start, end in edges)) == lines


def test_a_line_without_end_comes_out_in_pieces() -> None:
    lines = shown(*[b"x" * 65536] * 40)
    assert {len(line) for line in lines[:-1]} == {LONGEST_LINE}
    assert sum(map(len, lines)) == 65536 * 40


def test_a_progress_bar_shows_its_first_state_and_its_last() -> None:
    assert shown(b"\rload:   0%", *(b"\rload: %3d%%" % done for done in range(100)), b"\rload: 100%\n") == [
        "load:   0%",
        "load: 100%",
    ]


def test_a_progress_bar_shows_again_after_a_while() -> None:
    clock = Clock()
    lines: list[str] = []
    cutter = Lines(lines.append, clock)
    cutter.feed(b"\r10%\r20%\r30%")
    clock.now += SECONDS_BETWEEN_REDRAWS
    cutter.feed(b"\r40%\r50%")
    assert lines == ["10%", "30%"]


def test_several_bars_that_move_the_cursor_leave_no_traces_of_it() -> None:
    assert shown(b"\rall: 0%\n\rone: 0%\x1b[A\rall: 9%\n") == ["all: 0%", "one: 0%", "all: 9%"]
