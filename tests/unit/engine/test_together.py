"""Threads that share work end together, whatever happens on one of them."""

from __future__ import annotations

import os
import signal
import threading
import time
from itertools import pairwise

import numpy as np
import pytest

from norse_export.engine import together as module
from norse_export.engine.script import portions
from norse_export.engine.together import together


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_every_thread_gives_its_result_and_the_calling_one_is_among_them(threads: int) -> None:
    everyone = threading.Barrier(threads)

    def work(_: threading.Event) -> int:
        everyone.wait(10)
        return threading.get_ident()

    found = together(work, threads)
    assert len(set(found)) == threads
    assert threading.get_ident() in found


@pytest.mark.parametrize("on_the_calling_thread", [True, False])
def test_an_error_on_one_thread_stops_the_others_and_is_raised(on_the_calling_thread: bool) -> None:
    caller, ended = threading.get_ident(), []

    def work(stop: threading.Event) -> None:
        if (threading.get_ident() == caller) == on_the_calling_thread:
            raise MemoryError("no room")
        ended.append(stop.wait(10))

    with pytest.raises(MemoryError, match="no room"):
        together(work, 3 if on_the_calling_thread else 2)
    assert ended == [True] * (2 if on_the_calling_thread else 1)


def test_an_interrupt_while_others_are_waited_for_stops_them_first() -> None:
    caller, ended = threading.get_ident(), []

    def work(stop: threading.Event) -> None:
        if threading.get_ident() != caller:
            threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()
            ended.append(stop.wait(10))
            time.sleep(0.05)
            ended.append("last")

    with pytest.raises(KeyboardInterrupt):
        together(work, 2)
    assert ended == [True, "last"]


def test_fewer_threads_do_the_work_where_there_are_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(module._thread, "start_new_thread", none_left)
    assert together(lambda _: 7, 4) == [7]


@pytest.mark.parametrize(("samples", "threads"), [(1, 1), (64, 1), (64, 2), (3, 3), (1000, 7), (9, 2)])
def test_every_sample_stands_in_one_portion_and_the_last_ones_are_small(samples: int, threads: int) -> None:
    parts = list(portions(samples, threads))
    assert np.concatenate(parts).tolist() == list(range(samples))
    assert all(len(a) >= len(b) for a, b in pairwise(parts))
    assert threads == 1 or len(parts[-1]) == 1
