"""The fast model: cycles from who fired, event by event. See docs/reference_machine.md."""

from __future__ import annotations

import math
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export.engine.listed import Listed
from norse_export.engine.machine.compiled import kernels, listing
from norse_export.engine.machine.kernels import MAX_CYCLE, REGIONS
from norse_export.engine.machine.load import Load
from norse_export.engine.machine.report import CORE_NAMES, ROUND_NAMES, CycleReport
from norse_export.errors import CapacityError, UsageError

Array = NDArray[Any]
SPARSE = 50  # below one event in so many cells, bytes of zeros are looked for
QUICK = 2**18  # flits of a round


def cycles(
    load: Load,
    spikes: Mapping[str, Array] | Listed,
    *,
    detail: bool = True,
    threads: int = 1,
    model: ModuleType | None = None,
) -> CycleReport:
    """Count the cycles of every sample.

    spikes: for each input, and for each population that spikes, its raster [T, B, ...]; what is not 0 is an event. Or
    all of them as lists: the `events` of a run of the engine, which spare the search for them.
    detail: keep what every core did in every round; without it the totals, and the rounds. threads: over samples.
    model: the functions of kernels.py, or others of their kind; None compiles them.

    Raises:
        UsageError: a raster is missing or has another shape.
        CapacityError: a round may take so long that the model cannot count it.
    """
    steps, samples = _extent(load, spikes)
    compiled = kernels() if model is None else model
    first, cell = _listed(load, spikes) if isinstance(spikes, Listed) else _extracted(load, spikes, steps, samples)
    flits = _most_flits(load, first, cell)
    _check_length(load, flits)
    events = (first.reshape(len(first), -1), cell)
    numbers, tables = _numbers(load), _tables(load)
    rounds = np.zeros((samples, steps, load.rounds, len(ROUND_NAMES)), np.int64)
    cores = np.zeros((samples, steps if detail else min(steps, 1), load.rounds, load.cores, len(CORE_NAMES)), np.int64)
    totals = np.zeros((samples, load.cores, len(CORE_NAMES)), np.int64)

    def one(sample: int) -> None:
        rows, room = (steps, sample), _room(load, flits)
        compiled.run(numbers, rows, tables, events, room, rounds[sample], cores[sample], totals[sample])

    if threads > 1 and samples > 1:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(one, range(samples)))
    else:
        for sample in range(samples):
            one(sample)
    kept = cores if detail else None
    return CycleReport(load.config, load.width, load.height, rounds, kept, totals, load.memory)


def _extent(load: Load, spikes: Mapping[str, Array] | Listed) -> tuple[int, int]:
    """Steps and samples, which all rasters share."""
    given = spikes.shapes if isinstance(spikes, Listed) else {name: each.shape for name, each in spikes.items()}
    shapes = {}
    for number, name in enumerate(load.sources):
        if load.steady[number]:
            continue
        size = load.cells[number + 1] - load.cells[number]
        if name not in given:
            raise UsageError(f"no raster of {name!r}", where="spikes", fix="give one for every input and population")
        shape = given[name]
        if len(shape) < 2 or math.prod(shape[2:]) != size:
            message = f"a raster {shape} of {name!r}, which has {size} cells"
            raise UsageError(message, where="spikes", fix="give [steps, samples, cells]")
        shapes[name] = shape[:2]
    if len(set(shapes.values())) > 1:
        raise UsageError(f"rasters of {shapes} steps and samples", where="spikes", fix="give all the same")
    return next(iter(shapes.values()), (0, 0))


def _check_length(load: Load, flits: int) -> None:
    """Refuse rounds whose flits might be under way in cycles beyond the bits that count them.

    No flit is injected later than the slowest sender is done, and none waits longer for a link than for all others.
    """
    config = load.config
    updating = int((load.parts[:, 2] - load.parts[:, 1]) @ load.parts[:, 3] + load.parts[:, 4].max(initial=0))
    injected = max(flits * config.host_interval, updating + flits * (config.send_cycles + 1)) + config.router_cycles
    links = load.width + load.height
    most = injected + links * (flits + config.router_cycles + config.link_cycles)
    if most >= MAX_CYCLE:
        raise CapacityError(
            f"a round of {flits} flits may take {most} cycles, {MAX_CYCLE - 1} can be counted",
            where="machine",
            fix="use a shorter host_interval, neuron_interval or send_cycles, or fewer events in a step",
        )


def _listed(load: Load, spikes: Listed) -> tuple[Array, Array]:
    """The events that are listed already, in the order of the machine's sources."""
    if spikes.names == load.sources:
        return spikes.starts, spikes.cells
    first = np.zeros((len(load.sources), *spikes.starts.shape[1:]), np.int64)
    for number, name in enumerate(load.sources):
        if not load.steady[number]:
            first[number] = spikes.starts[spikes.names.index(name)]
    return first, spikes.cells


def _extracted(load: Load, spikes: Mapping[str, Array], steps: int, samples: int) -> tuple[Array, Array]:
    """The events of all rasters, one list behind the other: firsts [sources, B, T + 1], cells."""
    active = [None if load.steady[n] else _as_flags(spikes[name]) for n, name in enumerate(load.sources)]
    counts = [0 if raster is None else int(np.count_nonzero(raster)) for raster in active]
    first = np.zeros((len(active), samples, steps + 1), np.int64)
    cell = np.empty(sum(counts) + 8, np.int32)
    filled = 0
    for number, raster in enumerate(active):
        if raster is not None:
            size = int(load.cells[number + 1] - load.cells[number])
            sparse = counts[number] * SPARSE < raster.size
            bits = np.packbits(raster, bitorder="little")
            listing().extract(bits, sparse, size, filled, first[number], cell)
            filled += counts[number]
    return first, cell


def _most_flits(load: Load, first: Array, cell: Array) -> int:
    """A bound of the flits of a round, exact where the quick one would take much memory."""
    found = np.zeros((2, load.rounds), np.int64)
    listing().most(first, load.longest, load.steady, load.depth, found)
    if (most := int(found[0].max(initial=0))) < QUICK:
        return most
    flits = np.zeros((len(first), first.shape[1], first.shape[2] - 1), np.int64)
    flits[load.steady] = load.longest[load.steady, None, None]
    for number in np.flatnonzero(~load.steady):
        begin, end = load.cells[number], load.cells[number + 1]
        lengths = np.diff(load.lists[begin : end + 1])
        for sample, bounds in enumerate(first[number]):
            total = np.concatenate([[0], np.cumsum(lengths[cell[bounds[0] : bounds[-1]]])])
            flits[number, sample] = np.diff(total[bounds - bounds[0]])
    return max(int(flits[load.depth == number].sum(axis=0).max(initial=0)) for number in range(load.rounds))


def _as_flags(raster: Array) -> NDArray[np.bool_]:
    """A raster as one flag after the other; without a copy for one of bool."""
    flat = np.ascontiguousarray(raster).reshape(-1)
    return flat if flat.dtype == np.bool_ else flat != 0


def _numbers(load: Load) -> tuple[int, ...]:
    """The machine's numbers, in the order of kernels.py."""
    config = load.config
    return (
        load.width,
        load.height,
        load.rounds,
        config.axon_cycles,
        config.synapse_latency,
        config.send_cycles,
        config.router_cycles,
        config.link_cycles,
        config.host_interval,
        config.barrier_cycles + 2 * (load.width + load.height - 2) * config.barrier_hop_cycles,
        config.step_cycles,
    )


def _tables(load: Load) -> tuple[Array, ...]:
    return (load.cells, load.lists, load.entries, load.steady, load.inputs, load.firsts, load.parts)


def _room(load: Load, flits: int) -> tuple[Array, ...]:
    """Room for rounds of so many flits: see kernels.py."""
    return (
        np.empty(REGIONS * (flits + 1), np.int64),
        np.zeros(6, np.int64),
        np.zeros(6 * load.cores * 6 * 2, np.int64),
        np.empty(max(flits, int(load.memory[:, 0].max())), np.int64),
    )
