import os
import signal
import subprocess
import sys

import pytest

SCRIPT = """
import os, signal, sys
{before}
from textdiffusion.lifeline import follow_parent
follow_parent({on_line}grace_seconds=0.05)
{then}
"""


def follower(then: str, before: str = "", lifeline: str = "1", on_line: str = "") -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT.format(before=before, then=then, on_line=on_line)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "TDI_LIFELINE": lifeline},
    )


def test_the_end_of_standard_input_is_a_request_to_stop() -> None:
    with follower("signal.pause()") as process:
        process.communicate(timeout=60)
    assert process.returncode == -signal.SIGTERM


def test_a_process_that_does_not_stop_is_ended() -> None:
    with follower("while True: signal.pause()", before="signal.signal(signal.SIGTERM, signal.SIG_IGN)") as process:
        process.communicate(timeout=60)
    assert process.returncode == 1


def test_a_process_that_is_done_ends_while_its_parent_lives() -> None:
    with follower("") as process:
        assert process.wait(60) == 0


def test_what_this_process_starts_has_no_lifeline() -> None:
    with follower("print('TDI_LIFELINE' in os.environ)") as process:
        assert process.stdout
        assert process.stdout.read() == "False\n"


@pytest.mark.parametrize("lifeline", ["", "0"])
def test_a_process_started_by_hand_may_have_no_standard_input(lifeline: str) -> None:
    with follower("print(sys.stdin.read())", lifeline=lifeline) as process:
        assert process.communicate("typed", timeout=60)[0] == "typed\n"
    assert process.returncode == 0


def test_lines_are_heard_whole_however_they_come() -> None:
    with follower("signal.pause()", on_line="lambda line: print(len(line), line[:5], flush=True), ") as process:
        assert process.stdin
        assert process.stdout
        process.stdin.write("fir")
        process.stdin.flush()
        process.stdin.write("st\n\n" + "second" * 100_000 + "\nunfinished")
        process.stdin.flush()
        heard = [process.stdout.readline() for _ in range(3)]
        process.communicate(timeout=60)
    assert heard == ["5 b'first'\n", "0 b''\n", "600000 b'secon'\n"]
    assert process.returncode == -signal.SIGTERM
