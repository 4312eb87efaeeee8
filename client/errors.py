"""Why there is no answer.

NoAnswerError
├── RefusedError     the server refused or failed, or its answer broke off
├── WrongUseError    what the user asked for cannot be
├── NoServerError    nobody answers at the URL
└── UnwritableError  there was nowhere to write it
"""

from typing import ClassVar, Final

EXIT_INTERRUPTED: Final = 130  # by Ctrl-C, as shells say it
EXIT_TERMINATED: Final = 143  # by SIGTERM


class NoAnswerError(Exception):
    """Its text is a sentence for the user."""

    exit_code: ClassVar[int]


class RefusedError(NoAnswerError):
    exit_code = 1


class WrongUseError(NoAnswerError):
    exit_code = 2  # argparse's


class NoServerError(NoAnswerError):
    exit_code = 3


class UnwritableError(NoAnswerError):
    exit_code = 1


def unreadable(error: OSError) -> WrongUseError:
    """What standard input fails with, in words for the user."""
    return WrongUseError(f"standard input cannot be read: {error.strerror}")
