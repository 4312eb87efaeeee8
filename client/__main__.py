"""`python -m client`: the terminal client. To import it starts nothing."""

import io
import signal
import sys

if __name__ == "__main__":
    # The imports below take a moment, in which Ctrl-C must already be quiet.
    signal.signal(signal.SIGINT, signal.SIG_DFL)

    from client.interrupts import Interrupts
    from client.main import main

    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # an answer may have letters that the terminal's encoding lacks

    code = main(sys.argv[1:], Interrupts.installed())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it is over, and a late one does not change how
    sys.exit(code)
