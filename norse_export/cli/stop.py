"""SIGINT and SIGTERM as an exception, so that every context manager on the way cleans up."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

STOPPING = (signal.SIGINT, signal.SIGTERM)
_EXIT_OF_SIGNAL = 128


class Stopped(KeyboardInterrupt):
    """A signal asked us to stop. Libraries treat it like Ctrl-C."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.exit_code = _EXIT_OF_SIGNAL + number


@contextmanager
def handled_signals(*, for_good: bool) -> Iterator[list[int]]:
    """Within, a stopping signal raises `Stopped`, and its number is added to the list that is given.

    The list tells a stop from an error that it caused in a library which did not let the exception through.
    A signal that the caller ignores (a job in the background) stays ignored. Outside the main thread nothing is done.
    Too large a file (SIGXFSZ) is an error of writing and not the end of the process.

    for_good: afterwards the process only ends, and the stopping signals are ignored; else all is as before.
    """
    received: list[int] = []

    def stop(number: int, _frame: FrameType | None) -> None:
        received.append(number)
        raise Stopped(number)

    if threading.current_thread() is not threading.main_thread():
        yield received
        return
    stopping = [number for number in STOPPING if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, stop) for number in stopping}
    before[signal.SIGXFSZ] = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_IGN if for_good else handler)
