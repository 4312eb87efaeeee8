"""A conversation at a terminal, with what was said before."""

import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Final

from client.answers import Answers
from client.errors import NoServerError, RefusedError, unreadable
from client.interrupts import Interrupts
from client.printing import note, show, steers_a_cursor
from client.question import conversation, message, opening

FORGOTTEN: Final = "Cancelled; this message is dropped from the conversation. Ctrl-C again leaves."


def converse(answers: Answers, system: str | None, ask: Callable[[str], str] = input) -> None:
    """Until the input ends, or Ctrl-C is pressed twice. Turns without a whole answer are no part of what was said."""
    note(f"This is {answers.fields['model']}. Ctrl-D ends the conversation; `client.py -` takes text with line breaks.")
    _edit_lines()
    messages = opening(system)
    for said in _lines(answers.interrupts, ask):
        turn = [*messages, message("user", said)]
        try:
            answer = answers.to(conversation(turn), "assistant: ")
        except KeyboardInterrupt:
            note(FORGOTTEN)
        except (RefusedError, NoServerError) as error:
            note(f"error: {error}")
        else:
            messages = [*turn, message("assistant", answer)]


def _edit_lines() -> None:
    """Has `input` edit lines, recall them and take a paste as one message, line breaks and all, where each can be."""
    with suppress(ImportError):
        import readline  # noqa: PLC0415  (it may write to standard output, which only a terminal understands)

        if steers_a_cursor(sys.stdout):
            readline.parse_and_bind("set enable-bracketed-paste on")  # which libedit does not know, and ignores


def _lines(interrupts: Interrupts, ask: Callable[[str], str]) -> Iterator[str]:
    """What the user says. Raises `KeyboardInterrupt` for a second Ctrl-C, `WrongUseError` where nothing can be said."""
    while True:
        try:
            said = ask("user: ")
        except EOFError:
            show("\n")
            return
        except UnicodeDecodeError as error:
            note(f"that is no text in {error.encoding}")
            continue
        except OSError as error:  # the terminal is gone
            raise unreadable(error) from error
        except KeyboardInterrupt:
            show("\n")
            if interrupts.pressed > 1:
                raise
            note("Ctrl-C again leaves.")
            continue
        if said.strip():
            interrupts.forget()
            yield said
