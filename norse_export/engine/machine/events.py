"""The fast model: cycles from who fired, event by event. See docs/reference_machine.md."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from norse_export.engine.machine import kernels
from norse_export.engine.machine.load import Load
from norse_export.engine.machine.report import CycleReport
from norse_export.engine.machine.tables import CORE_COLUMNS, ROUND_COLUMNS, Events, tables
from norse_export.errors import UsageError

Array = NDArray[Any]


def cycles(
    load: Load,
    spikes: Mapping[str, Array],
    *,
    detail: bool = True,
    threads: int = 1,
    run: Callable[..., None] = kernels.run,
) -> CycleReport:
    """Count the cycles of every sample.

    spikes: for each input, and for each population that spikes, its raster [T, B, ...]; what is not 0 is an event.
    detail: keep what every core did in every round; without it the totals, and the rounds. threads: over samples.
    run: the compiled model, or another of its kind.

    Raises:
        UsageError: a raster is missing or has another shape.
    """
    steps, samples = _extent(load, spikes)
    events = _events(load, spikes, steps * samples)
    machine = tables(load)
    rounds = np.zeros((samples, steps, load.rounds, ROUND_COLUMNS), np.int64)
    cores = np.zeros((samples, steps if detail else min(steps, 1), load.rounds, load.cores, CORE_COLUMNS), np.int64)
    totals = np.zeros((samples, load.cores, CORE_COLUMNS), np.int64)

    def one(sample: int) -> None:
        run(machine, events, (steps, samples, sample), rounds[sample], cores[sample], totals[sample])

    if threads > 1 and samples > 1:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(one, range(samples)))
    else:
        for sample in range(samples):
            one(sample)
    kept = cores if detail else None
    return CycleReport(load.config, load.width, load.height, rounds, kept, totals, load.memory)


def _extent(load: Load, spikes: Mapping[str, Array]) -> tuple[int, int]:
    """Steps and samples, which all rasters share."""
    shapes = {}
    for number, name in enumerate(load.sources):
        if load.steady[number]:
            continue
        size = load.cells[number + 1] - load.cells[number]
        if name not in spikes:
            raise UsageError(f"no raster of {name!r}", where="spikes", fix="give one for every input and population")
        shape = spikes[name].shape
        if len(shape) < 2 or int(np.prod(shape[2:])) != size:
            message = f"a raster {shape} of {name!r}, which has {size} cells"
            raise UsageError(message, where="spikes", fix="give [steps, samples, cells]")
        shapes[name] = shape[:2]
    if len(set(shapes.values())) > 1:
        raise UsageError(f"rasters of {shapes} steps and samples", where="spikes", fix="give all the same")
    return next(iter(shapes.values()), (0, 0))


def _events(load: Load, spikes: Mapping[str, Array], rows: int) -> Events:
    """The events of all rasters, one list behind the other."""
    active = [None if load.steady[n] else _as_bytes(spikes[name], rows) for n, name in enumerate(load.sources)]
    counts = [0 if raster is None else int(np.count_nonzero(raster)) for raster in active]
    first = np.zeros((len(active), rows + 1), np.int64)
    cell = np.empty(sum(counts), np.int32)
    filled = 0
    for number, raster in enumerate(active):
        if raster is not None:
            size = int(load.cells[number + 1] - load.cells[number])
            flat = raster.reshape(-1)
            _extract(flat, flat[: flat.size // 8 * 8].view(np.int64), size, first[number], cell, filled)
            filled += counts[number]
    return Events(first, cell)


def _as_bytes(raster: Array, rows: int) -> NDArray[np.uint8]:
    """A raster as a byte for each cell, contiguous; without a copy for one of bool or bytes."""
    flat = np.ascontiguousarray(raster).reshape(rows, -1)
    return flat.view(np.uint8) if flat.dtype.itemsize == 1 else (flat != 0).view(np.uint8)


@njit(cache=True, nogil=True)
def _extract(raster: Array, words: Array, size: int, first: Array, cell: Array, filled: int) -> None:
    """List the cells of a raster that are not 0, row by row; eight bytes at a time where all of them are 0."""
    for row in range(first.size - 1):
        first[row] = filled
        begin, end = row * size, (row + 1) * size
        place = begin
        while place < end:
            if place % 8 == 0 and place + 8 <= end and words[place // 8] == 0:
                place += 8
                continue
            if raster[place] != 0:
                cell[filled] = place - begin
                filled += 1
            place += 1
    first[first.size - 1] = filled
