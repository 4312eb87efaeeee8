"""The client in a terminal, before a server that says what a test wants."""

import re
import readline

import pytest

from testing.terminal import CTRL_D, Start
from tests.integration.client.served import Served

HOSTILE = "\x1b]0;title\x07\x9b\x1b[31m"
PASTE, PASTED = "\x1b[200~", "\x1b[201~"  # what terminals send around it, if asked to
MARK_PASTES, MARK_NO_PASTES = b"\x1b[?2004h", b"\x1b[?2004l"


@pytest.mark.skipif("GNU" not in str(readline.__doc__), reason="only GNU's readline takes a paste as one")
async def test_a_paste_of_several_lines_is_one_message(start: Start, server: Served) -> None:
    terminal = start(url=server.url)
    await terminal.shows("user:")
    assert MARK_PASTES in terminal.received
    terminal.type(f"{PASTE}Spell\rriver{PASTED}\r")
    await terminal.shows("assistant: SPELL\nRIVER\nuser:")
    await terminal.waits_at("user:")
    assert [message["content"] for message in server.requests[0]["messages"]] == ["Spell\nriver"]
    terminal.terminate()
    assert await terminal.end() == 143
    assert terminal.received.rindex(MARK_NO_PASTES) > terminal.received.rindex(MARK_PASTES)


async def test_a_terminal_that_knows_no_escapes_is_not_asked_to_mark_what_is_pasted(
    start: Start, server: Served
) -> None:
    terminal = start(url=server.url, TERM="dumb")
    await terminal.shows("user:")
    terminal.type(CTRL_D)
    assert await terminal.end() == 0
    assert MARK_PASTES not in terminal.received


async def test_the_answers_of_a_conversation_can_be_watched_too(start: Start, server: Served) -> None:
    server.canvases = [{"step": 1, "tokens": ["a", None], "committed": [{"position": 0, "logprob": -0.1}]}]
    terminal = start("--watch", url=server.url)
    await terminal.shows("user:")
    for said in ("one", "two"):
        terminal.type(f"{said}\r")
        await terminal.shows(f"assistant: {said.upper()}\nuser:")
    assert terminal.text.count("a░\nstep 1") == 2
    assert [message["content"] for message in server.requests[-1]["messages"]] == ["one", "ONE", "two"]


async def test_control_characters_of_an_answer_never_reach_the_terminal(start: Start, server: Served) -> None:
    server.replies = [f"{HOSTILE}red\r\n\tend"]
    terminal = start("Hello", url=server.url)
    assert await terminal.end() == 0
    assert terminal.text == "]0;title[31mred\n        end"
    assert not re.search(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\x9b]", terminal.received)


async def test_control_characters_of_a_watched_answer_are_drawn_as_stand_ins(start: Start, server: Served) -> None:
    server.models = [{"id": "tiny", "defaults": {"block_length": 2}}]
    server.replies = [HOSTILE]
    committed = [{"position": 0, "logprob": -0.1}]
    server.canvases = [{"step": 1, "tokens": [HOSTILE, "[red]", None], "committed": committed}]
    terminal = start("--watch", "Hello", url=server.url)
    assert await terminal.end() == 0
    assert "␛]0;title␇<9B>␛[31m[red]│░" in terminal.text
    assert HOSTILE.encode()[:5] not in terminal.received
    assert b"\x07" not in terminal.received
    assert server.requests[0]["diffusing"] is True


@pytest.mark.parametrize("environment", [{"TERM": "dumb"}, {"NO_COLOR": "1"}])
async def test_terminals_that_cannot_or_shall_not_have_colours_get_none(
    start: Start, server: Served, environment: dict[str, str]
) -> None:
    server.canvases = [{"step": 1, "tokens": ["a"], "committed": [{"position": 0, "logprob": -0.1}]}]
    terminal = start("--watch", "Hello", url=server.url, **environment)
    assert await terminal.end() == 0
    assert terminal.text.endswith("HELLO")
    assert not re.search(rb"\x1b\[[\d;]*[349]\dm", terminal.received)
    assert (b"\x1b" in terminal.received) is ("NO_COLOR" in environment)
