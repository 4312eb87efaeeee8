"""What there is to do: one answer, a conversation, or the samples."""

import json
from collections.abc import Callable
from functools import partial
from typing import Final, TextIO

from client.answers import Answers
from client.arguments import STANDARD_INPUT, Arguments, Flag
from client.conversation import converse
from client.errors import WrongUseError, unreadable
from client.printing import note, show
from client.question import Question, conversation, infilling, message, opening
from client.samples import play_samples

Mode = Callable[[Answers], object]

NO_MESSAGE: Final = "Standard input is empty: what follows are sample conversations, and no answer to a message."


def mode_of(arguments: Arguments, stdin: TextIO | None) -> Mode:
    """Raises `WrongUseError` where a flag means nothing, or what is piped in cannot be read."""
    if arguments.sample:
        return play_samples
    if arguments.message is None and stdin and stdin.isatty():
        _refuse_without_a_message(arguments, "suffix", "json")
        return partial(converse, system=arguments.system)
    said = _piped(stdin) if arguments.message in (None, STANDARD_INPUT) else arguments.message
    if arguments.message is None and not said.strip():
        _refuse_without_a_message(arguments, "suffix", "json", "system")
        return _play_samples_instead
    return partial(_answer_once, question=_question(arguments, said), as_json=arguments.json)


def _play_samples_instead(answers: Answers) -> None:
    note(NO_MESSAGE)
    play_samples(answers)


def _answer_once(answers: Answers, question: Question, *, as_json: bool) -> None:
    if as_json:
        show(json.dumps(answers.whole(question), ensure_ascii=False) + "\n")
    else:
        answers.to(question)


def _question(arguments: Arguments, said: str) -> Question:
    if arguments.suffix is not None:
        return infilling(said, arguments.suffix)
    return conversation([*opening(arguments.system), message("user", said)])


def _piped(stdin: TextIO | None) -> str:
    """What is there, but for a last line break."""
    try:
        return stdin.read().removesuffix("\n") if stdin else ""
    except UnicodeDecodeError as error:
        raise WrongUseError(f"standard input is no text in {error.encoding}") from error
    except OSError as error:
        raise unreadable(error) from error


def _refuse_without_a_message(arguments: Arguments, *flags: Flag) -> None:
    for flag in arguments.given(*flags):
        raise WrongUseError(f"--{flag} needs a message")
