"""The client as a user has it: in a terminal, with the whole stack behind it."""

from testing.stack import Stats
from testing.terminal import CTRL_C, CTRL_D, Start, Terminal
from testing.waiting import eventually

STEPS = 900  # minutes of work
LONG = ("--ignore-eos", f"--max-tokens={STEPS}", f"--steps={STEPS}", "--kv-cache=none")
MASK, LEGEND_END = "░", " less"
HIDE_CURSOR, SHOW_CURSOR = b"\x1b[?25l", b"\x1b[?25h"


async def start_long_answer(terminal: Terminal, stats: Stats) -> int:
    """How many requests had been cancelled before it."""
    before = stats().cancelled_requests_total
    await terminal.shows("user:")
    terminal.type("Count to 7\r")
    await terminal.until(lambda: stats().running_requests == 1)
    return before


async def assert_cancelled_since(before: int, stats: Stats) -> None:
    await eventually(lambda: stats().cancelled_requests_total > before and stats().running_requests == 0)


async def press_until_it_leaves(terminal: Terminal) -> int:
    """Its exit code; two signals that follow each other at once are heard as one."""

    def has_left() -> bool:
        if terminal.exit_code is None:
            terminal.type(CTRL_C)
        return terminal.exit_code is not None

    await terminal.until(has_left)
    return await terminal.end()


async def test_a_conversation_remembers_what_was_said_and_ends_with_ctrl_d(start: Start, url: str) -> None:
    terminal = start(url=url)
    await terminal.shows("user:")
    terminal.type("My name is Ada.\r")
    await terminal.shows("assistant: Nice to meet you, Ada.\nuser:")
    terminal.type("\r  \r")
    terminal.type("What is my name?\r")
    await terminal.shows("assistant: Your name is Ada.\nuser:")
    terminal.type(CTRL_D)
    assert await terminal.end() == 0


async def test_a_line_can_be_recalled_and_edited(start: Start, url: str) -> None:
    terminal = start(url=url)
    await terminal.shows("user:")
    terminal.type("Spell rivers\r")
    await terminal.shows("assistant: r-i-v-e-r-s\nuser:")
    terminal.type("\x1b[A\x7f\r")  # up, backspace
    await terminal.shows("user: Spell river\nassistant: r-i-v-e-r\n")


async def test_a_system_message_holds_for_the_whole_conversation(start: Start, url: str) -> None:
    terminal = start("--system=Only respond with ORANGE", url=url)
    await terminal.shows("user:")
    terminal.type("Hello\r")
    await terminal.shows("assistant: ORANGE\nuser:")
    terminal.type("Spell river\r")
    await terminal.shows("user: Spell river\nassistant: ORANGE\nuser:")


async def test_ctrl_c_cancels_the_answer_on_the_worker_and_gives_the_prompt_back(
    start: Start, url: str, stats: Stats
) -> None:
    terminal = start(*LONG, url=url)
    before = await start_long_answer(terminal, stats)
    terminal.type(CTRL_C)
    await assert_cancelled_since(before, stats)
    await terminal.shows("Ctrl-C again leaves.\nuser:")
    before = await start_long_answer(terminal, stats)
    terminal.type(CTRL_C)
    await assert_cancelled_since(before, stats)
    assert terminal.exit_code is None


async def test_a_second_ctrl_c_leaves(start: Start, url: str, stats: Stats) -> None:
    terminal = start(*LONG, url=url)
    before = await start_long_answer(terminal, stats)
    assert await press_until_it_leaves(terminal) == 130
    await assert_cancelled_since(before, stats)


async def test_at_the_prompt_the_first_ctrl_c_drops_the_line_and_a_second_one_leaves(start: Start, url: str) -> None:
    terminal = start(url=url)
    await terminal.waits_at("user:")
    terminal.type(f"Spell{CTRL_C}")
    await terminal.shows("Ctrl-C again leaves.\nuser:")
    terminal.type("Spell river\r")
    await terminal.shows("assistant: r-i-v-e-r\nuser:")
    assert await press_until_it_leaves(terminal) == 130


async def test_ctrl_c_while_one_answer_is_awaited_cancels_it_and_leaves(start: Start, url: str, stats: Stats) -> None:
    before = stats().cancelled_requests_total
    terminal = start(*LONG, "Count to 7", url=url)
    await terminal.until(lambda: stats().running_requests == 1)
    terminal.type(CTRL_C)
    assert await terminal.end() == 130
    await assert_cancelled_since(before, stats)


async def test_a_watched_canvas_denoises_in_place(start: Start, url: str, stats: Stats) -> None:
    before = stats().cancelled_requests_total
    terminal = start("--watch", *LONG, "Count to 7", url=url)

    def frames() -> list[str]:
        """Screens that are drawn to their end."""
        return [screen for screen in terminal.seen if screen.endswith(LEGEND_END)]

    def masked() -> list[int]:
        return [frame.rpartition("\nstep ")[0].count(MASK) for frame in frames()]

    await terminal.until(lambda: len(set(masked())) > 3)
    assert masked() == sorted(masked(), reverse=True)
    assert {frame.count("\nstep ") for frame in frames()} == {1}  # nothing is left of those before
    terminal.type(CTRL_C)
    assert await terminal.end() == 130
    assert terminal.received.rindex(SHOW_CURSOR) > terminal.received.rindex(HIDE_CURSOR)
    await assert_cancelled_since(before, stats)


async def test_sigterm_gives_the_cursor_back(start: Start, url: str, stats: Stats) -> None:
    before = stats().cancelled_requests_total
    terminal = start("--watch", *LONG, "Count to 7", url=url)
    await terminal.shows(LEGEND_END)
    terminal.terminate()
    assert await terminal.end() == 143
    assert terminal.received.rindex(SHOW_CURSOR) > terminal.received.rindex(HIDE_CURSOR)
    await assert_cancelled_since(before, stats)


async def test_a_watched_answer_stands_below_its_canvas_in_the_end(start: Start, url: str) -> None:
    terminal = start("--watch", "--max-tokens=64", "Count to 7", url=url)
    assert await terminal.end() == 0
    canvas, *_, figures, legend, answer = terminal.text.splitlines()
    assert canvas.startswith("1, 2, 3,")
    assert canvas.count("│") == 1  # between two of the blocks that are the model's default
    assert MASK not in canvas
    assert "19 of 64 tokens" in figures
    assert "masked" in legend
    assert answer == "1, 2, 3, 4, 5, 6, 7"


async def test_a_conversation_survives_a_server_that_refuses(start: Start, url: str) -> None:
    terminal = start("--max-tokens=0", url=url)
    await terminal.shows("user:")
    terminal.type("Hello\r")
    await terminal.shows("error: ")
    await terminal.until(lambda: terminal.text.endswith("\nuser:"))
    assert "max_tokens" in terminal.text
    terminal.type(CTRL_D)
    assert await terminal.end() == 0
