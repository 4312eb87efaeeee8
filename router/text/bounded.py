"""Ends code that does not end by itself, such as a loop in a chat template.

A thread cannot be killed from outside, but CPython can be asked to raise an exception in it. Without this, one template
that never ends would keep a thread of the pool and a share of the interpreter for as long as the process lives.
"""

import contextlib
import ctypes
import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import TypeVar

T = TypeVar("T")


class OverdueError(Exception):
    """The call took longer than it may."""


def run_within(seconds: float, call: Callable[[], T]) -> T:
    """Return what `call` returns, and block until then. Raises `OverdueError`, and has `call` end.

    It ends between two steps of the interpreter: a single native operation that lasts is over when it is over.
    """
    outcome: Future[T] = Future()
    thread = threading.Thread(target=_run, args=(call, outcome), daemon=True)
    thread.start()
    if not wait([outcome], seconds).done and thread.ident is not None:
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(OverdueError))
        raise OverdueError
    return outcome.result()


def _run(call: Callable[[], T], outcome: "Future[T]") -> None:
    with contextlib.suppress(OverdueError):  # which may also arrive when the call has just ended
        try:
            outcome.set_result(call())
        except Exception as error:  # noqa: BLE001 - it is raised again in the thread that waits
            outcome.set_exception(error)
