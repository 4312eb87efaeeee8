import asyncio
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from launcher.hangup import on_hangup

SCRIPT = """
import asyncio, sys
from launcher.hangup import on_hangup
async def main():
    over = asyncio.Event()
    def said(word):
        sys.stderr.write(word)
        over.set()
    on_hangup(lambda: said("read again"), lambda: said("stop"))
    print("up", flush=True)
    await over.wait()
asyncio.run(main())
"""


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    before = signal.getsignal(signal.SIGHUP)
    yield
    signal.signal(signal.SIGHUP, before)


async def test_the_signal_has_the_configuration_read_again() -> None:
    read_again = asyncio.Event()
    on_hangup(read_again.set, pytest.fail)
    os.kill(os.getpid(), signal.SIGHUP)
    await asyncio.wait_for(read_again.wait(), 60)


@pytest.mark.parametrize(("prefix", "word"), [((), "stop"), (("nohup",), "read again")])
def test_a_terminal_that_is_closed_ends_it_unless_it_was_started_not_to_mind(
    prefix: tuple[str, ...], word: str
) -> None:
    master, slave = pty.openpty()
    take = (
        "import fcntl, os, signal, sys, termios; os.setsid(); fcntl.ioctl(0, termios.TIOCSCTTY, 0);"
        "signal.signal(signal.SIGHUP, signal.SIG_DFL);"  # whoever runs these tests may have it ignored
        "os.execvp(sys.argv[1], sys.argv[1:])"
    )
    with subprocess.Popen(
        [sys.executable, "-c", take, *prefix, sys.executable, "-c", SCRIPT],
        stdin=slave,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        os.close(slave)
        assert process.stdout
        assert process.stderr
        assert process.stdout.readline() == b"up\n"
        os.close(master)
        assert process.stderr.read().endswith(word.encode())
