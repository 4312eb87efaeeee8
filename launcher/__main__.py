"""`python -m launcher`: starts the stack. To import it starts nothing."""

import signal
import sys

if __name__ == "__main__":
    # The import below takes a second, in which Ctrl-C must already be quiet.
    signal.signal(signal.SIGINT, signal.SIG_DFL)

    from launcher.console import unbuffer
    from launcher.main import main

    unbuffer()
    sys.exit(main(sys.argv[1:]))
