import signal

import pytest

from launcher.explain import HINTS, explain_exit


@pytest.mark.parametrize(
    ("returncode", "words"),
    [
        (0, "ended by itself, without an error"),
        (1, "ended with exit code 1"),
        (255, "ended with exit code 255"),
        (-9, "was ended by signal 9 (SIGKILL): most likely the machine or its container ran out of memory"),
        (137, "was ended by signal 9 (SIGKILL): most likely the machine or its container ran out of memory"),
        (-7, "was ended by signal 7 (SIGBUS): most likely shared memory is too small"),
        (-4, "was ended by signal 4 (SIGILL): most likely this CPU lacks an instruction"),
        (-11, "was ended by signal 11 (SIGSEGV): a crash in native code"),
        (-10, "was ended by signal 10 (SIGUSR1)"),
        (-35, "was ended by signal 35"),
    ],
)
def test_an_exit_is_said_in_words(returncode: int, words: str) -> None:
    assert explain_exit(returncode).startswith(words)


@pytest.mark.parametrize("number", HINTS)
def test_a_shell_that_passes_a_signal_on_changes_nothing(number: signal.Signals) -> None:
    assert explain_exit(-number) == explain_exit(128 + number)
