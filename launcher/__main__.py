"""`python -m launcher`: the imports below take a second, in which Ctrl-C must already be quiet."""

import signal

signal.signal(signal.SIGINT, signal.SIG_DFL)

import sys  # noqa: E402

from launcher.main import main  # noqa: E402

sys.exit(main(sys.argv[1:]))
