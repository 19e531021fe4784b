"""Work shared by several threads, the calling one among them."""

from __future__ import annotations

import _thread
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

Result = TypeVar("Result")
Work = Callable[[threading.Event], Result]


def together(work: Work[Result], threads: int) -> list[Result]:
    """Call `work` on so many threads at once, and give what each call gave, in any order.

    `work` is handed an event that is set where a call has failed or Ctrl-C arrived: it is to end soon then. Threads are
    made anew, without waiting for their start: that costs less than to wake some that are kept, and a process that
    forks finds none missing. Where the system has no more threads, fewer do the work.
    """
    stop, results, errors = threading.Event(), [], []
    begun: list[_Running] = []

    def apart(running: _Running) -> None:
        try:
            results.append(work(stop))
        except BaseException as error:  # raised by the calling thread
            errors.append(error)
            stop.set()
        finally:
            running.over = True
            running.lock.release()

    try:
        for _ in range(threads - 1):
            running = _Running()
            running.lock.acquire()
            try:
                _thread.start_new_thread(apart, (running,))
            except RuntimeError:
                break
            begun.append(running)
        results.append(work(stop))
    except BaseException as error:  # raised below
        errors.append(error)
        stop.set()
    for running in begun:
        errors += _ended(running, stop)
    if errors:
        raise errors[0]
    return results


@dataclass(slots=True)
class _Running:
    """A thread; its lock is taken until it is over."""

    lock: _thread.LockType = field(default_factory=_thread.allocate_lock)
    over: bool = False


def _ended(running: _Running, stop: threading.Event) -> list[BaseException]:
    """Wait for a thread, whatever happens meanwhile: it writes to memory that belongs to the caller."""
    errors: list[BaseException] = []
    while not running.over:
        try:
            running.lock.acquire()
        except BaseException as error:  # Ctrl-C
            errors.append(error)
            stop.set()
    return errors
