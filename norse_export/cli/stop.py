"""SIGINT and SIGTERM as an exception, so that every context manager on the way cleans up."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

STOPPING = (signal.SIGINT, signal.SIGTERM)
_EXIT_OF_SIGNAL = 128
_IMPORT_PAUSE = 0.02  # seconds between looks at whether an import has ended
_IMPORT_PATIENCE = 2.0  # seconds in all that a stop waits for imports


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
    While a module is imported the first stop waits, for two seconds at most: an exception inside the start of a
    compiled module can crash the process. A second one does not wait, for the module may never be ready.
    Too large a file (SIGXFSZ) is an error of writing and not the end of the process.

    for_good: afterwards the process only ends, and the stopping signals are ignored; else all is as before.
    """
    received: list[int] = []
    until = math.inf

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal until
        if number != signal.SIGALRM:
            received.append(number)
            until = min(until, time.monotonic() + _IMPORT_PATIENCE)
        if len(received) == 1 and time.monotonic() < until and _importing(frame):
            signal.setitimer(signal.ITIMER_REAL, _IMPORT_PAUSE)  # comes back as SIGALRM
            return
        signal.setitimer(signal.ITIMER_REAL, 0)  # nothing may come back into the cleaning up
        raise Stopped(received[-1])

    if threading.current_thread() is not threading.main_thread():
        yield received
        return
    stopping = [number for number in STOPPING if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, stop) for number in stopping}
    before[signal.SIGALRM] = signal.signal(signal.SIGALRM, stop)
    before[signal.SIGXFSZ] = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        yield received
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, signal.SIG_IGN if for_good else handler)


def _importing(frame: FrameType | None) -> bool:
    """Whether the interrupted code runs because some module is being imported."""
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False
