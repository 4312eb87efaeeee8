import signal

# Whoever runs the tests in the background may have made them ignore Ctrl-C; the processes that they start must not.
signal.signal(signal.SIGINT, signal.default_int_handler)
