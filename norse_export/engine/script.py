"""The calls of a run as one table of numbers, without addresses of its own: made once, then bound to memory and run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export.engine.calls import Call, Late, Symbol, address
from norse_export.engine.kernels.drive import drive
from norse_export.engine.kernels.memory import aligned, execute

Array = NDArray[Any]
MEMORY: Symbol = ("memory",)
COUNTERS: Symbol = ("counters",)
SHORT = 1_000_000  # updates of neurons: a run of fewer needs no thread of its own


@dataclass(frozen=True, slots=True, eq=False)
class Script:
    """Calls of the beginning of a sample, of each step, and of the end of a sample.

    numbers: of all calls, one behind the other; symbols: of each number, which entry of `table` is added to it.
    functions, rows: of each call, its kernel and where its numbers begin. sizes: how many calls of each kind. bytes,
    counters: memory that one thread needs, and how many counters. kept: arrays whose addresses stand among the numbers.
    """

    numbers: NDArray[np.int64]
    symbols: NDArray[np.intp]
    table: tuple[Symbol, ...]
    functions: NDArray[np.int64]
    rows: NDArray[np.int64]
    sizes: tuple[int, int, int]
    bytes: int
    counters: int
    kept: tuple[Array, ...]


def script_of(
    parts: tuple[Sequence[Call], Sequence[Call], Sequence[Call]], memory: int, counters: int, kept: Sequence[Array]
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
    script: Script, known: Mapping[Symbol, int], steps: int, samples: int, threads: int, updates: int
) -> NDArray[np.int64]:
    """Run all samples on so many threads, and give the counters, summed.

    updates: of neurons, all in all. A run of many is left to threads of its own, so that Ctrl-C reaches this one; then
    it ends at once.
    """
    threads, stop = min(threads, samples), np.zeros(1, np.int64)
    bounds = [samples * number // threads for number in range(threads + 1)]
    parts = [range(first, last) for first, last in pairwise(bounds)]
    if threads == 1 and updates < SHORT:
        return play(script, known, steps, parts[0], stop)
    with ThreadPoolExecutor(threads) as pool:
        try:
            counted = list(pool.map(lambda part: play(script, known, steps, part, stop), parts))
        finally:
            stop[0] = 1
    total: NDArray[np.int64] = np.sum(counted, axis=0)
    return total


def play(
    script: Script, known: Mapping[Symbol, int], steps: int, samples: range, stop: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Run a range of samples on this thread, and give the counters.

    known: what every symbol but the thread's own memory and counters stands for. stop: the run ends early once its
    number is not 0.
    """
    memory, counters = aligned(script.bytes, np.uint8), aligned(script.counters, np.int64)
    bases = {(): 0, MEMORY: memory.ctypes.data, COUNTERS: counters.ctypes.data, **known}
    numbers = script.numbers + np.array([bases[symbol] for symbol in script.table], np.int64)[script.symbols]
    calls = np.stack([script.functions, script.rows + numbers.ctypes.data], axis=1)
    row, at = [steps, stop.ctypes.data], calls.ctypes.data
    for size in script.sizes:
        row += [at, size]
        at += 16 * size
    begins = np.array(row, np.int64)
    execute(address(drive), begins.ctypes.data, samples.start, samples.stop)
    return counters
