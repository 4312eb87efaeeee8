"""`python -m testing.repeat TESTS…`: run tests again and again beside a busy core, until one fails."""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

ROUNDS = 20
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130

# It ends with its standard input, so that nothing is left of it if this process is killed.
BURN = """
import os, sys, threading
threading.Thread(target=lambda: os._exit(len(sys.stdin.read()))).start()
while True: pass
"""


@contextmanager
def busy_core() -> Iterator[None]:
    with subprocess.Popen([sys.executable, "-c", BURN], stdin=subprocess.PIPE):
        yield


def repeat(arguments: Sequence[str], rounds: int = ROUNDS) -> int:
    """Return pytest's first exit code that is not 0, if there is one."""
    with busy_core():
        for number in range(1, rounds + 1):
            print(f"round {number} of {rounds}", flush=True)  # noqa: T201
            code = subprocess.run([sys.executable, "-m", "pytest", "-q", *arguments], check=False).returncode
            if code:
                print(f"failed in round {number} of {rounds}", flush=True)  # noqa: T201
                return code
    return 0


def main(arguments: Sequence[str]) -> int:
    if not arguments:
        sys.stderr.write("error: which tests? Name them: just test-repeat tests/unit/launcher -k signal\n")
        return EXIT_USAGE
    try:
        return repeat(arguments)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
