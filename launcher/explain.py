"""Says in words how a process ended."""

import signal

HINTS = {
    signal.SIGKILL: "most likely the machine or its container ran out of memory, if nobody sent it; `dmesg` tells",
    signal.SIGBUS: "most likely shared memory is too small; give the container a larger /dev/shm",
    signal.SIGILL: "most likely this CPU lacks an instruction that a library was built for",
    signal.SIGSEGV: "a crash in native code, often a library that does not fit this machine or its GPU driver",
    signal.SIGABRT: "a native library gave up; its last lines say why",
    signal.SIGTERM: "somebody else stopped it",
    signal.SIGINT: "somebody else stopped it",
}
SHELL_SIGNAL_BASE = 128


def explain_exit(returncode: int) -> str:
    """The end of a sentence that begins with the name of the process.

    `returncode` is negative for a signal, as `subprocess` has it; 128 and more is how a shell passes one on.
    """
    number = -returncode if returncode < 0 else returncode - SHELL_SIGNAL_BASE
    if number in {known.value for known in signal.Signals}:
        known = signal.Signals(number)
        hint = HINTS.get(known)
        return f"was ended by signal {number} ({known.name})" + (f": {hint}" if hint else "")
    if returncode < 0:
        return f"was ended by signal {number}"
    if returncode == 0:
        return "ended by itself, without an error"
    return f"ended with exit code {returncode}"
