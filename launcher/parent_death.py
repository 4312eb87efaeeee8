"""Has Linux kill a command when the launcher dies, even while it is stopped, busy in native code or still importing.

The lifeline (`textdiffusion.lifeline`) needs a child that runs Python. So a command is started through this file, which
asks the kernel for SIGKILL at its parent's death and then becomes the command: the same process, with the same
descriptors and environment. It runs without site packages and imports little, for it delays each start.
"""

import _thread
import os
import sys

PR_SET_PDEATHSIG = 1
SIGKILL = 9  # to import `signal` takes as long as all else here
EXIT_ORPHANED = 1


def killed_with_this_process(*command: str) -> list[str]:
    """Return the command line that runs `command` until this process dies; elsewhere than on Linux, `command` itself.

    Raises `RuntimeError` on any thread but the main one: to the kernel, the parent is the thread that starts a process.
    """
    if sys.platform != "linux":
        return list(command)
    if _thread.get_native_id() != os.getpid():
        raise RuntimeError("a process that is to end with the launcher has to be started on its main thread")
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), *command]


def _become(parent: int, command: list[str]) -> None:
    _ask_to_be_killed()
    if os.getppid() != parent:  # it died before the kernel knew
        sys.exit(EXIT_ORPHANED)
    try:
        os.execv(command[0], command)  # noqa: S606 - no shell is the point
    except OSError as error:
        sys.exit(f"error: {command[0]}: {error.strerror}")


def _ask_to_be_killed() -> None:
    try:
        import ctypes  # noqa: PLC0415 - some builds of Python have none

        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, SIGKILL)
    except (ImportError, OSError, AttributeError):
        return  # a Python that is linked statically cannot ask; the lifeline is left


if __name__ == "__main__":
    _become(int(sys.argv[1]), sys.argv[2:])
