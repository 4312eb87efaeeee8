import errno
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from client.answers import Answers
from client.conversation import converse
from client.errors import NoServerError, RefusedError, WrongUseError
from client.interrupts import Interrupts
from client.question import Message, Question

Output = pytest.CaptureFixture[str]


@dataclass
class Scripted:
    """Answers in capitals, unless it is to raise something."""

    raising: dict[str, BaseException] = field(default_factory=dict)
    asked: list[Sequence[Message]] = field(default_factory=list)
    interrupts: Interrupts = field(default_factory=Interrupts)
    fields: dict[str, Any] = field(default_factory=lambda: {"model": "tiny"})

    def to(self, question: Question, _: str) -> str:
        messages: Sequence[Message] = question.body["messages"]
        self.asked.append(messages)
        said = messages[-1]["content"]
        if said in self.raising:
            raise self.raising[said]
        return said.upper()

    @property
    def contents(self) -> list[str]:
        """Of the last request."""
        return [message["content"] for message in self.asked[-1]]


def typing(*lines: str | type[BaseException]) -> Callable[[str], str]:
    """A user who types these, and then Ctrl-D."""
    left: Iterator[str | type[BaseException]] = iter([*lines, EOFError])

    def ask(_: str) -> str:
        line = next(left)
        if isinstance(line, str):
            return line
        raise line

    return ask


def talk(answers: Scripted, *lines: str | type[BaseException], system: str | None = None) -> None:
    converse(cast("Answers", answers), system, typing(*lines))


def test_what_was_said_before_goes_with_each_message() -> None:
    answers = Scripted()
    talk(answers, "a", "", "  ", "b", system="Be brief")
    assert len(answers.asked) == 2
    assert [(message["role"], message["content"]) for message in answers.asked[-1]] == [
        ("system", "Be brief"),
        ("user", "a"),
        ("assistant", "A"),
        ("user", "b"),
    ]


def test_the_greeting_says_how_to_leave_and_where_a_text_with_line_breaks_goes(capsys: Output) -> None:
    talk(Scripted())
    greeting = capsys.readouterr().err
    assert "Ctrl-D" in greeting
    assert "client.py -" in greeting


@pytest.mark.parametrize("trouble", [RefusedError("too long"), NoServerError("too long")])
def test_a_turn_that_failed_is_told_and_forgotten(trouble: BaseException, capsys: Output) -> None:
    answers = Scripted({"b": trouble})
    talk(answers, "a", "b", "c")
    assert answers.contents == ["a", "A", "c"]
    assert "error: too long\n" in capsys.readouterr().err


def test_a_turn_that_was_cancelled_is_forgotten(capsys: Output) -> None:
    answers = Scripted({"b": KeyboardInterrupt()})
    talk(answers, "a", "b", "c")
    assert answers.contents == ["a", "A", "c"]
    assert "Cancelled; this message is dropped" in capsys.readouterr().err


def test_what_can_never_work_ends_the_conversation() -> None:
    with pytest.raises(WrongUseError):
        talk(Scripted({"a": WrongUseError("no")}), "a")


def test_a_line_that_is_no_text_is_told_and_ignored(capsys: Output) -> None:
    class NoTextError(UnicodeDecodeError):
        def __init__(self) -> None:
            super().__init__("utf-8", b"\xff", 0, 1, "invalid start byte")

    answers = Scripted()
    talk(answers, NoTextError, "a")
    assert answers.contents == ["a"]
    assert "that is no text in utf-8" in capsys.readouterr().err


def test_a_terminal_that_is_gone_ends_the_conversation() -> None:
    class GoneError(OSError):
        def __init__(self) -> None:
            super().__init__(errno.EIO, "Input/output error")

    with pytest.raises(WrongUseError, match=r"^standard input cannot be read: Input/output error$"):
        talk(Scripted(), GoneError)


def test_a_second_ctrl_c_without_a_message_in_between_leaves() -> None:
    answers = Scripted()

    class CtrlC(KeyboardInterrupt):
        def __init__(self) -> None:
            answers.interrupts.pressed += 1

    talk(answers, CtrlC, "a", CtrlC)
    with pytest.raises(KeyboardInterrupt):
        talk(answers, CtrlC, "", CtrlC)
