import os
import subprocess
import sys
import threading
from collections.abc import Callable

import pytest

from launcher import parent_death
from launcher.parent_death import killed_with_this_process

STATE = """
import os, sys
status = open("/proc/self/status").read().splitlines()
print([line for line in status if line.startswith(("SigBlk", "SigIgn", "SigCgt"))])
print(sorted(os.listdir("/proc/self/fd")), sorted(os.environ.items()), sys.flags, sys.path, sys.argv)
"""
STARTS_ANOTHER = """
import subprocess, sys
from launcher.parent_death import killed_with_this_process
code = "import os, signal; print(os.getpid(), flush=True); signal.pause()"
subprocess.Popen(killed_with_this_process(sys.executable, "-c", code))
sys.stdin.read()
"""


def output(command: list[str]) -> str:
    read, write = os.pipe()
    try:
        return subprocess.run(
            command, stdin=subprocess.PIPE, capture_output=True, text=True, pass_fds=[read], check=True
        ).stdout
    finally:
        os.close(read)
        os.close(write)


def test_a_command_finds_everything_as_if_it_had_been_started_without_this() -> None:
    command = [sys.executable, "-c", STATE, "an argument", "-I", ""]
    assert output(killed_with_this_process(*command)) == output(command)


@pytest.mark.parametrize("exit_code", [0, 3])
def test_a_command_ends_with_its_own_exit_code(exit_code: int) -> None:
    command = killed_with_this_process(sys.executable, "-c", f"raise SystemExit({exit_code})")
    assert subprocess.run(command, check=False).returncode == exit_code


def test_a_command_whose_starter_is_killed_is_killed_too(gone: Callable[[int], bool]) -> None:
    command = [sys.executable, "-c", STARTS_ANOTHER]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as starter:
        assert starter.stdout
        pid = int(starter.stdout.readline())
        starter.kill()
        assert gone(pid)


def test_a_command_whose_starter_died_before_the_kernel_knew_does_not_begin() -> None:
    python, *flags, parent, _ = killed_with_this_process("a command")
    another = str(int(parent) + 1)
    ended = subprocess.run([python, *flags, another, sys.executable, "-c", "print('begun')"], check=False, stdout=-1)
    assert (ended.returncode, ended.stdout) == (parent_death.EXIT_ORPHANED, b"")


def test_no_other_thread_than_the_main_one_can_start_a_command() -> None:
    refused = []

    def start() -> None:
        try:
            killed_with_this_process("a command")
        except RuntimeError as error:
            refused.append(str(error))

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    assert "has to be started on its main thread" in refused[0]


def test_where_the_kernel_is_another_a_command_is_what_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert killed_with_this_process("a", "command") == ["a", "command"]
