"""The calls of a run as one table of numbers, without addresses of its own: made once, then bound to memory and run."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export.engine.calls import Call, Late, Symbol, address
from norse_export.engine.kernels.drive import drive
from norse_export.engine.kernels.memory import aligned, execute
from norse_export.engine.together import together

Array = NDArray[Any]
MEMORY: Symbol = ("memory",)
COUNTERS: Symbol = ("counters",)
BEGINNING = 1 << 18  # updates of neurons that the kernels are first called for
SLICE = 0.05  # seconds for which they are called later: in between, Python sees Ctrl-C
FASTER = 16  # a slice has at most so many times the steps of the one before it


@dataclass(frozen=True, slots=True, eq=False)
class Script:
    """Calls of the beginning of a sample, of each step, and of the end of a sample.

    numbers: of all calls, one behind the other; symbols: of each number, which entry of `table` is added to it.
    functions, rows: of each call, its kernel and where its numbers begin. sizes: how many calls of each kind. bytes,
    counters: memory that one thread needs, and how many counters. kept: holds the arrays that addresses among the
    numbers stand for.
    """

    numbers: NDArray[np.int64]
    symbols: NDArray[np.intp]
    table: tuple[Symbol, ...]
    functions: NDArray[np.int64]
    rows: NDArray[np.int64]
    sizes: tuple[int, int, int]
    bytes: int
    counters: int
    kept: tuple[object, ...]


def script_of(
    parts: tuple[Sequence[Call], Sequence[Call], Sequence[Call]], memory: int, counters: int, kept: Sequence[object]
) -> Script:
    """Lay out the calls of the three parts."""
    calls = [call for part in parts for call in part]
    numbers = [number if isinstance(number, Late) else Late((), number) for call in calls for number in call.numbers]
    table = tuple(dict.fromkeys([(), *(number.symbol for number in numbers)]))
    position = {symbol: index for index, symbol in enumerate(table)}
    ends = np.cumsum([0, *(len(call.numbers) for call in calls)])
    return Script(
        np.array([number.offset for number in numbers], np.int64),
        np.array([position[number.symbol] for number in numbers], np.intp),
        table,
        np.array([call.function for call in calls], np.int64),
        8 * ends[:-1].astype(np.int64),
        (len(parts[0]), len(parts[1]), len(parts[2])),
        memory,
        counters,
        tuple(kept),
    )


def played(
    script: Script, known: Mapping[Symbol, Array | int], steps: int, samples: int, threads: int, neurons: int
) -> NDArray[np.int64]:
    """Run all samples on so many threads, and give the counters, summed.

    known: what every symbol but a thread's own memory and counters stands for, an array for its address. neurons: how
    many there are.
    """
    threads = min(threads, samples)
    waiting = deque(portions(samples, threads))

    def work(stop: threading.Event) -> NDArray[np.int64]:
        return play(script, known, steps, waiting, stop, max(1, BEGINNING // max(1, neurons)))

    total: NDArray[np.int64] = np.sum(together(work, threads), axis=0)
    return total


def portions(samples: int, threads: int) -> Iterator[range]:
    """The samples in parts that threads take one by one: ever smaller ones, so that all threads end together."""
    first = 0
    while first < samples:
        size = samples if threads == 1 else max(1, (samples - first) // (2 * threads))
        yield range(first, first + size)
        first += size


def play(
    script: Script,
    known: Mapping[Symbol, Array | int],
    steps: int,
    waiting: deque[range],
    stop: threading.Event,
    most: int,
) -> NDArray[np.int64]:
    """Run what is waiting, on this thread, until nothing is or `stop` is set; give the counters.

    most: how many steps the kernels are first called for.
    """
    memory, counters = aligned(script.bytes, np.uint8), aligned(script.counters, np.int64)
    given = {(): 0, MEMORY: memory, COUNTERS: counters, **known}
    bases = [array if isinstance(array := given[symbol], int) else array.ctypes.data for symbol in script.table]
    numbers = script.numbers + np.array(bases, np.int64)[script.symbols]
    calls = np.stack([script.functions, script.rows + numbers.ctypes.data], axis=1)
    row, at = [steps], calls.ctypes.data
    for size in script.sizes:
        row += [at, size]
        at += 16 * size
    begins = np.array(row, np.int64)
    while waiting and not stop.is_set():
        try:
            part = waiting.popleft()
        except IndexError:  # taken by another thread
            break
        first, last = steps * part.start, steps * part.stop
        while first < last and not stop.is_set():
            start, end = time.perf_counter(), min(last, first + most)
            execute(address(drive), begins.ctypes.data, first, end)
            took = max(time.perf_counter() - start, 1e-9)
            first, most = end, max(1, int((end - first) * min(FASTER, SLICE / took)))
    return counters
