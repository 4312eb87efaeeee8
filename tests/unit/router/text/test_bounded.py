import threading

import pytest

from router.text.bounded import OverdueError, run_within

LONG_ENOUGH = 60


def test_what_ends_in_time_is_returned() -> None:
    assert run_within(LONG_ENOUGH, lambda: "done") == "done"


def test_what_is_raised_is_raised_again() -> None:
    with pytest.raises(ZeroDivisionError):
        run_within(LONG_ENOUGH, lambda: 1 / 0)


def test_what_does_not_end_is_ended() -> None:
    threads = []

    def spin() -> None:
        threads.append(threading.current_thread())
        while True:
            pass

    with pytest.raises(OverdueError):
        run_within(0.2, spin)
    for thread in threads:
        thread.join(LONG_ENOUGH)
        assert not thread.is_alive()
