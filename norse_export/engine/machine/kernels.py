"""The fast model, compiled: a round is computed unit by unit, whole queues at a time, in the order in which flits flow.

No unit waits for one behind it, and x links lead to x links and y links, y links to y links, so that each queue can be
served once all that enters it is known. Every list of flits is sorted by cycle; a link's list is merged from the lists
of the router's inputs. Cycles are counted from the start of the round until they are recorded.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from norse_export.engine.machine.tables import (
    CORE_COLUMNS,
    CRITICAL,
    EAST,
    FROM_CORE,
    FROM_EAST,
    FROM_HOST,
    FROM_NORTH,
    FROM_SOUTH,
    FROM_WEST,
    HOST,
    HOST_END,
    HOST_LAST,
    HOST_RECEIVED,
    HOST_SENT,
    INPUT_DEPTH,
    LINK_DEPTH,
    LINK_FLITS,
    LOCAL,
    NEURON,
    NEURON_CYCLES,
    NEURONS,
    NORTH,
    OUTPUT_DEPTH,
    QUIET,
    RECEIVED,
    RECORDS,
    RELEASE,
    SEND,
    SENT,
    SOUTH,
    START,
    SYNAPSE,
    WEST,
    WORDS,
    Events,
    Queues,
    Tables,
)

Array = NDArray[Any]
TIME = 33  # bits of an entry; above them stands the cycle
HOST_FLAG = 1 << 32
NO_FLITS = 0


@njit(cache=True, nogil=True)
def run(m: Tables, events: Events, rows: tuple[int, int, int], rounds: Array, cores: Array, totals: Array) -> None:
    """Count the cycles of one sample: rows = (steps, samples, number of the sample).

    rounds [T, R, ROUND_COLUMNS]; cores [T or 1, R, C, CORE_COLUMNS]: with 1 only the last step remains;
    totals [C, CORE_COLUMNS]: sums of counts, greatest depths.
    """
    steps, samples, sample = rows
    queues = _queues(m, 1024)
    waiting = np.empty(m.most_neurons, np.int64)
    cycle = 0
    for step in range(steps):
        record = cores[step if cores.shape[0] > 1 else 0]
        for number in range(m.rounds):
            row = step * samples + sample
            about, now = rounds[step, number], record[number]
            queues, waiting = _round(m, events, row, number, cycle, queues, waiting, about, now)
            _add_up(now, totals)
            cycle = about[RELEASE]
        cycle += m.step_cycles


@njit(cache=True, nogil=True)
def _round(
    m: Tables,
    events: Events,
    row: int,
    number: int,
    start: int,
    queues: Queues,
    waiting: Array,
    about: Array,
    cores: Array,
) -> tuple[Queues, Array]:
    """Compute one round that starts in cycle `start`; write its record `about` and those of the cores."""
    count = m.width * m.height
    queues.top[:] = 0
    queues.start[:] = 0
    queues.stop[:] = 0
    about[:] = 0
    cores[:] = 0
    about[HOST_END] = -1
    about[HOST_LAST] = -1
    flits = 0
    if number == 0:
        flits, queues = _inject(m, events, row, queues, about)
    for core in range(count):
        cores[core, NEURON : SYNAPSE + 2] = -1
        first, last = m.firsts[number * count + core], m.firsts[number * count + core + 1]
        if last > first:
            flits, queues = _fire(m, events, row, core, (first, last), flits, queues, waiting, cores[core])
    if waiting.size < flits:
        waiting = np.empty(2 * flits, np.int64)
    if flits > 0:
        _network(m, flits, queues, waiting, about, cores)
    _barrier(m, start, about, cores)
    return queues, waiting


@njit(cache=True, nogil=True)
def _queues(m: Tables, capacity: int) -> Queues:
    shape = (6, m.width * m.height, 6)
    return Queues(
        np.empty((6, capacity), np.int64), np.zeros(6, np.int64), np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    )


@njit(cache=True, nogil=True)
def _room(queues: Queues, needed: int) -> Queues:
    """The queues with room for `needed` flits in each pool."""
    pool = np.empty((6, 2 * needed), np.int64)
    pool[:, : queues.pool.shape[1]] = queues.pool
    return Queues(pool, queues.top, queues.start, queues.stop)


@njit(cache=True, nogil=True)
def _open(queues: Queues, router: int, origin: int) -> None:
    for link in range(6):
        queues.start[link, router, origin] = queues.top[link]


@njit(cache=True, nogil=True)
def _close(queues: Queues, router: int, origin: int) -> None:
    for link in range(6):
        queues.stop[link, router, origin] = queues.top[link]


@njit(cache=True, nogil=True)
def _inject(m: Tables, events: Events, row: int, queues: Queues, about: Array) -> tuple[int, Queues]:
    """The host's flits of a step, into the router of core 0."""
    flits = 0
    _open(queues, 0, FROM_HOST)
    for source in m.inputs:
        for event in range(events.first[source, row], events.first[source, row + 1]):
            cell = m.cells[source] + events.cell[event]
            first, last = m.lists[cell], m.lists[cell + 1]
            if flits + last - first > queues.pool.shape[1]:
                queues = _room(queues, flits + last - first)
            for place in range(first, last):
                _enter(queues, m.entries[place], 0, 0, flits * m.host_interval + m.router_cycles)
                flits += 1
    _close(queues, 0, FROM_HOST)
    if flits > 0:
        about[HOST_END] = flits * m.host_interval
        about[HOST_SENT] = flits
    return flits, queues


@njit(cache=True, nogil=True)
def _enter(queues: Queues, entry: int, x: int, y: int, cycle: int) -> None:
    """Put an injected flit into the queue of its first link."""
    to_x, to_y = (entry >> 20) & 63, (entry >> 26) & 63
    if to_x != x:
        link = EAST if to_x > x else WEST
    elif to_y != y:
        link = SOUTH if to_y > y else NORTH
    else:
        link = HOST if entry & HOST_FLAG else LOCAL
    queues.pool[link, queues.top[link]] = (cycle << TIME) | entry
    queues.top[link] += 1


@njit(cache=True, nogil=True)
def _fire(
    m: Tables,
    events: Events,
    row: int,
    core: int,
    parts: tuple[int, int],
    flits: int,
    queues: Queues,
    taken: Array,
    record: Array,
) -> tuple[int, Queues]:
    """Neuron unit and sender of a core: update the parts, queue those that fire, send their flits."""
    x, y = core % m.width, core // m.width
    begin, idle, records, oldest, sent, interval = 0, 0, 0, 0, 0, 0
    _open(queues, core, FROM_CORE)
    for part in range(parts[0], parts[1]):
        source, low, high, interval = m.parts[part, 0], m.parts[part, 1], m.parts[part, 2], m.parts[part, 3]
        event, stop = _stretch(m, events, row, source, low, high)
        for place in range(event, stop):
            neuron = place if m.steady[source] else np.int64(events.cell[place])
            first, last = m.lists[m.cells[source] + neuron], m.lists[m.cells[source] + neuron + 1]
            if first == last:
                continue
            left = begin + (neuron - low) * interval + m.neuron_depth
            idle = max(idle, left)
            taken[records] = idle
            while taken[oldest] < left:
                oldest += 1
            record[OUTPUT_DEPTH] = max(record[OUTPUT_DEPTH], records - oldest + 1)
            records += 1
            if flits + sent + last - first > queues.pool.shape[1]:
                queues = _room(queues, flits + sent + last - first)
            idle += m.send_cycles
            for entry in range(first, last):
                _enter(queues, m.entries[entry], x, y, idle + m.router_cycles)
                idle += 1
            sent += last - first
        begin += (high - low) * interval
        record[NEURONS] += high - low
    _close(queues, core, FROM_CORE)
    record[NEURON_CYCLES] = begin
    record[NEURON] = 0
    record[NEURON + 1] = begin - interval + m.neuron_depth
    if records > 0:
        record[RECORDS] = records
        record[SENT] = sent
        record[SEND] = taken[0]
        record[SEND + 1] = idle
    return flits + sent, queues


@njit(cache=True, nogil=True)
def _stretch(m: Tables, events: Events, row: int, source: int, low: int, high: int) -> tuple[int, int]:
    """The events of the neurons from `low` to before `high`; of a steady source the neurons themselves."""
    if m.steady[source]:
        return low, high
    first, last = events.first[source, row], events.first[source, row + 1]
    return _search(events.cell, first, last, low), _search(events.cell, first, last, high)


@njit(cache=True, nogil=True)
def _search(cell: Array, first: int, last: int, low: int) -> int:
    """The first place from `first` to `last` whose cell is not below `low`."""
    if first == last or cell[first] >= low:
        return first
    if cell[last - 1] < low:
        return last
    while last - first > 1:
        middle = (first + last) // 2
        if cell[middle] < low:
            first = middle
        else:
            last = middle
    return last


@njit(cache=True, nogil=True)
def _network(m: Tables, flits: int, queues: Queues, starts: Array, about: Array, cores: Array) -> None:
    """Carry the injected flits over x links, then over y links, then into the input queues and to the host."""
    merged = np.empty((2, flits), np.int64)
    transit = np.empty((2, flits), np.int64)
    if queues.top[EAST] > 0:
        for y in range(m.height):
            _lane(m, EAST, FROM_WEST, y, queues, merged, transit, cores)
    if queues.top[WEST] > 0:
        for y in range(m.height):
            _lane(m, WEST, FROM_EAST, y, queues, merged, transit, cores)
    if queues.top[SOUTH] > 0:
        for x in range(m.width):
            _lane(m, SOUTH, FROM_NORTH, x, queues, merged, transit, cores)
    if queues.top[NORTH] > 0:
        for x in range(m.width):
            _lane(m, NORTH, FROM_SOUTH, x, queues, merged, transit, cores)
    if queues.top[LOCAL] > 0:
        for core in range(m.width * m.height):
            _receive(m, core, queues, merged, transit[0], starts, cores[core])
    if queues.top[HOST] > 0:
        _read_out(m, queues, merged, transit[0], about, cores[0])


@njit(cache=True, nogil=True)
def _lane(
    m: Tables, link: int, behind: int, lane: int, queues: Queues, merged: Array, transit: Array, cores: Array
) -> None:
    """Serve the links of one row or column that point one way, one after the other.

    behind: the input by which such a flit comes into the next router, and by which it passes straight on.
    """
    along_x = link in (EAST, WEST)
    length = m.width if along_x else m.height
    ahead = 1 if link in (EAST, SOUTH) else -1
    here = 0 if ahead == 1 else length - 1
    passing = 0
    for hop in range(length - 1):
        router = lane * m.width + here if along_x else here * m.width + lane
        here += ahead
        following = lane * m.width + here if along_x else here * m.width + lane
        came, gone = transit[hop & 1], transit[1 - (hop & 1)]
        flits, first, last = _join(queues, link, router, came, passing, behind, merged)
        if first == last:
            passing = 0
            continue
        _open(queues, following, behind)
        passing, depth = _serve(m, flits, first, last, along_x, here, lane, queues, gone)
        _close(queues, following, behind)
        cores[router, LINK_DEPTH + link] = depth
        cores[router, LINK_FLITS + link] = last - first


@njit(cache=True, nogil=True)
def _serve(
    m: Tables, flits: Array, first: int, last: int, along_x: bool, here: int, lane: int, queues: Queues, gone: Array
) -> tuple[int, int]:
    """Send flits over a link, one a cycle, and sort them at the next router: straight on into `gone`, or a turn.

    here: the place of the next router in its row or column `lane`. Gives how many pass on, and the queue's depth.
    """
    wire = m.link_cycles + m.router_cycles
    passing, depth, free = 0, 0, 0
    for place in range(first, last):
        flit = flits[place]
        cycle = flit >> TIME
        leaves = max(cycle, free)
        free = leaves + 1
        depth = max(depth, free - cycle)
        flit += (leaves - cycle + wire) << TIME
        to_x, to_y = (flit >> 20) & 63, (flit >> 26) & 63
        if (to_x if along_x else to_y) != here:
            gone[passing] = flit
            passing += 1
            continue
        link = HOST if flit & HOST_FLAG else LOCAL
        if along_x and to_y != lane:
            link = SOUTH if to_y > lane else NORTH
        queues.pool[link, queues.top[link]] = flit
        queues.top[link] += 1
    return passing, depth


@njit(cache=True, nogil=True)
def _join(
    queues: Queues, link: int, router: int, came: Array, passing: int, behind: int, merged: Array
) -> tuple[Array, int, int]:
    """The queue of a link in the order in which it is served: by cycle, then by input.

    came: `passing` flits that came in by the input `behind` and go straight on; -1 for links without such.
    """
    flits, first, last, other = merged[0], 0, 0, 0
    for origin in range(6):
        if origin == behind:
            more, start, stop = came, 0, passing
        else:
            more = queues.pool[link]
            start, stop = queues.start[link, router, origin], queues.stop[link, router, origin]
        if start == stop:
            continue
        if first == last:
            flits, first, last = more, start, stop
        else:
            last = _merge(flits, first, last, more, start, stop, merged[other])
            flits, first, other = merged[other], 0, 1 - other
    return flits, first, last


@njit(cache=True, nogil=True)
def _merge(a: Array, first: int, last: int, b: Array, start: int, stop: int, out: Array) -> int:
    """Merge two lists by cycle; of equals that of `a` comes first."""
    place = 0
    while first < last and start < stop:
        if a[first] >> TIME <= b[start] >> TIME:
            out[place] = a[first]
            first += 1
        else:
            out[place] = b[start]
            start += 1
        place += 1
    while first < last:
        out[place] = a[first]
        first += 1
        place += 1
    while start < stop:
        out[place] = b[start]
        start += 1
        place += 1
    return place


@njit(cache=True, nogil=True)
def _receive(m: Tables, core: int, queues: Queues, merged: Array, none: Array, starts: Array, record: Array) -> None:
    """Link L, input queue and synapse unit of a core."""
    flits, first, last = _join(queues, LOCAL, core, none, NO_FLITS, -1, merged)
    if first == last:
        return
    free, idle, words, depth, queued, oldest = 0, 0, 0, 0, 0, first
    for place in range(first, last):
        cycle = flits[place] >> TIME
        leaves = max(cycle, free)
        free = leaves + 1
        depth = max(depth, free - cycle)
        enters = leaves + m.link_cycles
        idle = max(idle, enters)
        starts[place - first] = idle
        while starts[oldest - first] < enters:
            oldest += 1
        queued = max(queued, place - oldest + 1)
        row = flits[place] & 0xFFFFF
        idle += m.axon_cycles + row
        words += row
    record[LINK_DEPTH + LOCAL] = depth
    record[LINK_FLITS + LOCAL] = last - first
    record[RECEIVED] = last - first
    record[INPUT_DEPTH] = queued
    record[WORDS] = words
    record[SYNAPSE] = starts[0]
    record[SYNAPSE + 1] = idle + m.synapse_latency - 1


@njit(cache=True, nogil=True)
def _read_out(m: Tables, queues: Queues, merged: Array, none: Array, about: Array, record: Array) -> None:
    """Link H: what the host reads."""
    flits, first, last = _join(queues, HOST, 0, none, NO_FLITS, -1, merged)
    free, depth = 0, 0
    for place in range(first, last):
        cycle = flits[place] >> TIME
        leaves = max(cycle, free)
        free = leaves + 1
        depth = max(depth, free - cycle)
    record[LINK_DEPTH + HOST] = depth
    record[LINK_FLITS + HOST] = last - first
    about[HOST_RECEIVED] = last - first
    about[HOST_LAST] = free - 1 + m.link_cycles


@njit(cache=True, nogil=True)
def _barrier(m: Tables, start: int, about: Array, cores: Array) -> None:
    """When all is quiet and the round is released; then count the cycles of the round's records from the sample's."""
    quiet, critical = 0, -1
    for core in range(m.width * m.height):
        for phase in (NEURON, SEND, SYNAPSE):
            if cores[core, phase] < 0:
                continue
            if cores[core, phase + 1] > quiet:
                quiet, critical = cores[core, phase + 1], core
            cores[core, phase] += start
            cores[core, phase + 1] += start
    for column in (HOST_END, HOST_LAST):
        if about[column] < 0:
            continue
        if about[column] > quiet:
            quiet, critical = about[column], m.width * m.height
        about[column] += start
    about[START] = start
    about[QUIET] = start + quiet
    about[RELEASE] = start + quiet + m.barrier
    about[CRITICAL] = critical


@njit(cache=True, nogil=True)
def _add_up(cores: Array, totals: Array) -> None:
    for core in range(cores.shape[0]):
        for column in range(NEURONS, CORE_COLUMNS):
            if INPUT_DEPTH <= column < LINK_FLITS:
                totals[core, column] = max(totals[core, column], cores[core, column])
            else:
                totals[core, column] += cores[core, column]
