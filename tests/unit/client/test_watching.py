import io
import re

import pyte
import pytest
from rich.console import Console, Group

from client.chunks import Canvas, Chunk
from client.progress import Progress
from client.watching import Watched, frame

TOKENS = [None if position % 3 else f"w{position}" for position in range(100)]
WATCHED = Progress(0, 0).after(Chunk("w", Canvas(4, TOKENS, {0: 0.95, 3: 0.2})), 2)


@pytest.mark.parametrize("height", [2, 3, 4, 5, 6, 10, 24])
@pytest.mark.parametrize("width", [1, 7, 40])
def test_a_frame_is_never_larger_than_the_terminal(width: int, height: int) -> None:
    console = Console(file=io.StringIO(), width=width, height=height, color_system=None)
    with console.capture() as drawn:
        console.print(Group(*frame(WATCHED, 8, width, height)))
    lines = drawn.get().splitlines()
    assert len(lines) < height
    assert all(len(line) <= width for line in lines)


def test_a_frame_says_which_part_it_shows() -> None:
    *canvas, part, _, _ = [line.plain for line in frame(WATCHED, 8, 20, 10)]
    assert canvas[0].startswith("w0░░w3")
    assert re.fullmatch(r"rows 1 to 6 of \d+", part)


def drawn(no_color: bool) -> str:
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, color_system="standard", no_color=no_color, width=80, height=24)
    with Watched("", 8, console) as watched:
        watched.add(Chunk("w", Canvas(1, ["[red]w", "x", None, "\x1b[2J"], {0: 0.95, 1: 0.2})))
    return file.getvalue()


def test_colours_tell_the_confidence(capsys: pytest.CaptureFixture[str]) -> None:
    frames = drawn(no_color=False)
    assert "\x1b[1;7;32m[red]w\x1b[0m" in frames
    assert "\x1b[1;7;31mx\x1b[0m" in frames
    assert "\x1b[2J" not in frames
    assert "confidence" in frames
    assert capsys.readouterr().out == "w\n"


def test_without_colours_the_last_step_still_stands_out() -> None:
    frames = drawn(no_color=True)
    assert "\x1b[1;7m[red]w" in frames
    assert not re.search(r"\x1b\[[\d;]*3\dm", frames)
    assert "confidence" not in frames


def test_a_request_that_waits_says_so_and_leaves_nothing_behind() -> None:
    screen, file, times = pyte.Screen(80, 24), io.StringIO(), iter([0.0, 0.0])
    with Watched("", 8, Console(file=file, force_terminal=True), lambda: next(times, 7.0)):
        assert "waiting for the first step · 7 s" in file.getvalue()
    pyte.Stream(screen).feed(file.getvalue())
    assert "".join(screen.display).strip() == ""


def test_a_server_that_tells_of_no_canvas_has_its_text_shown(capsys: pytest.CaptureFixture[str]) -> None:
    file = io.StringIO()
    with Watched("assistant: ", None, Console(file=file)) as watched:
        watched.add(Chunk("Hel"))
        watched.add(Chunk("lo"))
    assert (file.getvalue(), capsys.readouterr().out) == ("", "assistant: Hello\n")
