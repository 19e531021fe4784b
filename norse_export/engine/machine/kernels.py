"""The fast model, compiled: a round is computed unit by unit, whole queues at a time, in the order in which flits flow.

No unit waits for one behind it, and x links lead to x links and y links, y links to y links, so that each queue can be
served once all that enters it is known. Every list of flits is sorted by cycle; a link's queue is merged from the lists
of the router's inputs. Cycles are counted from the start of the round until they are recorded.

A flit is the cycle in which it enters a queue, above the 33 bits of its entry (load.py). All stand in `flow`, in
REGIONS stretches of equal size: for each link those that enter its queue by injection or by a turn, list behind list;
two stretches for merging; two for what passes straight on. top [links]: how far that of each link is filled; bounds
[links x cores x inputs x 2]: where the list of each input of a router stands. taken: when a queue's entries are taken.

Imported, these functions are plain Python. compiled.py compiles the text of this file, and nothing else: what is called
stands here, in front of `run`.
"""

from __future__ import annotations

from typing import Any, Final

import numba
import numpy as np
from numpy.typing import NDArray

from norse_export.engine.machine.jit import Jit

Array = NDArray[Any]
Numbers = tuple[int, ...]
Tables = tuple[Array, Array, Array, Array, Array, Array, Array]  # cells, lists, entries, steady, inputs, firsts, parts
Events = tuple[Array, Array]  # firsts [sources, samples * (steps + 1)], cells
_numba: Any = numba  # of many of whose names a type checker does not know

# The numbers of a machine, by place.
WIDTH: Final = 0
HEIGHT: Final = 1
ROUNDS: Final = 2
AXON_CYCLES: Final = 3
SYNAPSE_LATENCY: Final = 4
SEND_CYCLES: Final = 5
ROUTER_CYCLES: Final = 6
LINK_CYCLES: Final = 7
HOST_INTERVAL: Final = 8
BARRIER: Final = 9
STEP_CYCLES: Final = 10

# Links out of a router, in the order in which they are computed.
EAST: Final = 0
WEST: Final = 1
NORTH: Final = 2
SOUTH: Final = 3
LOCAL: Final = 4
HOST: Final = 5

# Inputs of a router, in the order in which equals are served.
FROM_NORTH: Final = 0
FROM_EAST: Final = 1
FROM_SOUTH: Final = 2
FROM_WEST: Final = 3
FROM_CORE: Final = 4
FROM_HOST: Final = 5

# Columns of what is recorded of a core in a round: report.CORE_NAMES.
NEURON: Final = 0  # start, end
SEND: Final = 2
SYNAPSE: Final = 4
NEURONS: Final = 6
NEURON_CYCLES: Final = 7
RECORDS: Final = 8
SENT: Final = 9
RECEIVED: Final = 10
WORDS: Final = 11
INPUT_DEPTH: Final = 12
OUTPUT_DEPTH: Final = 13
LINK_DEPTH: Final = 14  # one for each link
LINK_FLITS: Final = 20  # one for each link
CORE_COLUMNS: Final = 26

# Columns of what is recorded of a round: report.ROUND_NAMES.
START: Final = 0
QUIET: Final = 1
RELEASE: Final = 2
HOST_END: Final = 3
HOST_LAST: Final = 4
HOST_SENT: Final = 5
HOST_RECEIVED: Final = 6
CRITICAL: Final = 7

TIME: Final = 33  # bits of an entry
MAX_CYCLE: Final = 1 << (63 - TIME)
WORD_MASK: Final = (1 << 20) - 1
HOST_FLAG: Final = 1 << 32
REGIONS: Final = 10  # of `flow`
_at = np.uint64  # of an index that is never negative: it is not looked at for that


_int, _one = _numba.int64, _numba.int64[::1]
_jit = Jit(globals().get("CACHE"))


@_jit.part
def _clear(bounds: Array, about: Array, record: Array) -> None:
    for place in range(bounds.size):
        bounds[place] = 0
    for column in range(about.size):
        about[column] = -1 if column in (HOST_END, HOST_LAST) else 0
    for core in range(record.shape[0]):
        for column in range(NEURONS):
            record[core, column] = -1
        for column in range(NEURONS, CORE_COLUMNS):
            record[core, column] = 0


@_jit.part
def _stretch(cores: int, link: int, router: int, origin: int) -> int:
    """Where `bounds` holds the start of the list of a router's input for a link; its end stands behind it."""
    return ((link * cores + router) * 6 + origin) * 2


@_jit.part
def _inject(
    m: Numbers,
    inputs: Array,
    cells: Array,
    lists: Array,
    entries: Array,
    firsts: Array,
    fired: Array,
    row: int,
    flow: Array,
    top: Array,
) -> int:
    """The host's flits of a step, into the router of core 0; gives their number."""
    cycle = m[ROUTER_CYCLES]
    for source in inputs:
        base = cells[source]
        for event in range(firsts[source, row], firsts[source, row + 1]):
            cell = base + fired[_at(event)]
            for place in range(lists[_at(cell)], lists[_at(cell + 1)]):
                entry = entries[_at(place)]
                link = _first_link(entry, 0, 0)
                flow[_at(top[link])] = (cycle << TIME) | entry
                top[link] += 1
                cycle += m[HOST_INTERVAL]
    return (cycle - m[ROUTER_CYCLES]) // m[HOST_INTERVAL]


@_jit.part
def _first_link(entry: int, x: int, y: int) -> int:
    """The link by which an injected flit leaves the router: x first, then y, then out."""
    to_x, to_y = (entry >> 20) & 63, (entry >> 26) & 63
    if to_x != x:
        return EAST if to_x > x else WEST
    if to_y != y:
        return SOUTH if to_y > y else NORTH
    return HOST if entry & HOST_FLAG else LOCAL


@_jit.part
def _update(
    m: Numbers,
    mine: tuple[int, int, int],
    parts: Array,
    cells: Array,
    lists: Array,
    entries: Array,
    steady: Array,
    firsts: Array,
    fired: Array,
    row: int,
    flow: Array,
    top: Array,
    taken: Array,
    record: Array,
) -> int:
    """Neuron unit and sender of a core: update its parts, send what fires; gives the flits.

    mine: the core, its first part in this round, and the first behind its last.
    """
    core = mine[0]
    begin, ends = 0, 0
    state = (0, 0)
    for part in range(mine[1], mine[2]):
        source, low, high = parts[part, 0], parts[part, 1], parts[part, 2]
        interval, latency = parts[part, 3], parts[part, 4]
        first, last = low, high
        if not steady[source]:
            first, last = firsts[source, row], firsts[source, row + 1]
            first, last = _search(fired, first, last, low), _search(fired, first, last, high)
        if first < last:
            which = (core, cells[source], first, last, begin - low * interval + latency, interval)
            state = _send(m, which, steady[source], state, fired, lists, entries, flow, top, taken, record)
        begin += (high - low) * interval
        ends = begin - interval + latency
        record[core, NEURONS] += high - low
    record[core, NEURON_CYCLES] = begin
    record[core, NEURON] = 0
    record[core, NEURON + 1] = ends
    if record[core, RECORDS] > 0:
        record[core, SEND] = taken[0]
        record[core, SEND + 1] = state[0]
    return int(record[core, SENT])


@_jit.part
def _send(
    m: Numbers,
    which: tuple[int, int, int, int, int, int],
    steady: bool,
    state: tuple[int, int],
    fired: Array,
    lists: Array,
    entries: Array,
    flow: Array,
    top: Array,
    taken: Array,
    record: Array,
) -> tuple[int, int]:
    """Send what a part fired.

    which: core; first cell of the source; events of the part, from `first` to before `last` (with `steady` the neurons
    themselves); neuron n leaves the pipeline in cycle n * interval + enter. state: when the sender is idle, how many
    records it has taken in the round; given anew. taken: when each record was taken.
    """
    core, base, first, last, enter, interval = which
    idle, records = state
    x, y = core % m[WIDTH], core // m[WIDTH]
    deepest, sent = record[core, OUTPUT_DEPTH], record[core, SENT]
    for event in range(first, last):
        neuron = event if steady else int(fired[_at(event)])
        start, stop = lists[_at(base + neuron)], lists[_at(base + neuron + 1)]
        if start == stop:
            continue
        left = neuron * interval + enter
        idle = max(idle, left)
        taken[_at(records)] = idle
        deepest += taken[_at(records - deepest)] >= left  # one more than ever before were still waiting
        records += 1
        idle += m[SEND_CYCLES]
        for place in range(start, stop):
            entry = entries[_at(place)]
            link = _first_link(entry, x, y)
            flow[_at(top[link])] = ((idle + m[ROUTER_CYCLES]) << TIME) | entry
            top[link] += 1
            idle += 1
        sent += stop - start
    record[core, OUTPUT_DEPTH], record[core, SENT], record[core, RECORDS] = deepest, sent, records
    return idle, records


@_jit.part
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


@_jit.part
def _network(m: Numbers, flow: Array, top: Array, bounds: Array, taken: Array, about: Array, cores: Array) -> None:
    """Carry the injected flits over x links, then over y links, then into the input queues and to the host."""
    size = flow.size // REGIONS
    for link in range(LOCAL):
        if top[link] > link * size:
            for lane in range(m[HEIGHT] if link <= WEST else m[WIDTH]):
                _lane(m, link, lane, flow, top, bounds, cores)
    if top[LOCAL] > LOCAL * size:
        for core in range(m[WIDTH] * m[HEIGHT]):
            first, last = _join(flow, bounds, LOCAL, core, -1, 0, 0)
            if first < last:
                _receive(m, flow, first, last, taken, cores, core)
    if top[HOST] > HOST * size:
        first, last = _join(flow, bounds, HOST, 0, -1, 0, 0)
        _read_out(m, flow, first, last, about, cores)


@_jit.part
def _lane(m: Numbers, link: int, lane: int, flow: Array, top: Array, bounds: Array, cores: Array) -> None:
    """Serve the links of one row or column that point one way, one after the other.

    `behind` is the input by which such a flit comes into the next router, and by which it passes straight on.
    """
    along_x, ahead = link <= WEST, 1 if link in (EAST, SOUTH) else -1
    behind = FROM_WEST if link == EAST else FROM_EAST if link == WEST else FROM_SOUTH if link == NORTH else FROM_NORTH
    length = m[WIDTH] if along_x else m[HEIGHT]
    stride = 1 if along_x else m[WIDTH]
    base = lane * m[WIDTH] if along_x else lane
    size, count = flow.size // REGIONS, m[WIDTH] * m[HEIGHT]
    here = 0 if ahead == 1 else length - 1
    came = passing = 8 * size
    for hop in range(length - 1):
        router = base + here * stride
        first, last = _join(flow, bounds, link, router, behind, came, passing)
        here += ahead
        came = passing = (9 - (hop & 1)) * size
        if first == last:
            continue
        following = base + here * stride
        for turn in range(6):
            bounds[_stretch(count, turn, following, behind)] = top[turn]
        place = (along_x, here, lane, m[LINK_CYCLES] + m[ROUTER_CYCLES])
        passing, depth = _serve(flow, first, last, place, top, came)
        for turn in range(6):
            bounds[_stretch(count, turn, following, behind) + 1] = top[turn]
        cores[router, LINK_DEPTH + link] = depth
        cores[router, LINK_FLITS + link] = last - first


@_jit.part
def _serve(
    flow: Array, first: int, last: int, place: tuple[bool, int, int, int], top: Array, passing: int
) -> tuple[int, int]:
    """Send flits over a link, one a cycle, and sort them at the next router: straight on, or a turn, or out.

    place: whether the link leads along x; where the next router stands in its row or column; which row or column;
    cycles until its queues. What goes straight on is written from `passing` on. Gives its end, and the queue's depth.
    Every flit is written to both places, and one of them kept: a branch would be guessed wrong too often.
    """
    along_x, here, lane, wire = place
    near = 20 if along_x else 26
    depth, free = 0, 0
    for number in range(first, last):
        flit = flow[_at(number)]
        cycle = flit >> TIME
        leaves = max(cycle, free)
        free = leaves + 1
        depth = max(depth, free - cycle)
        flit += (leaves - cycle + wire) << TIME
        straight = ((flit >> near) & 63) != here
        to_y = (flit >> 26) & 63
        link = HOST if flit & HOST_FLAG else LOCAL
        if along_x:
            link = SOUTH if to_y > lane else NORTH if to_y < lane else link
        flow[_at(passing)] = flit
        flow[_at(top[link])] = flit
        passing += straight
        top[link] += 1 - straight
    return passing, depth


@_jit.inner
def _join(flow: Array, bounds: Array, link: int, router: int, behind: int, came: int, passing: int) -> tuple[int, int]:
    """The queue of a link in the order in which it is served, by cycle, then by input: where it stands in `flow`.

    What came in by the input `behind`, and goes straight on, stands from `came` to before `passing`.
    """
    count = bounds.size // (2 * 6 * 6)
    first, last = 0, 0
    out = 6 * (flow.size // REGIONS)
    other = out + flow.size // REGIONS
    for origin in range(6):
        place = _stretch(count, link, router, origin)
        start, stop = bounds[place], bounds[place + 1]
        if origin == behind:
            start, stop = came, passing
        if start == stop:
            continue
        if first == last:
            first, last = start, stop
        else:
            last = _merge(flow, first, last, start, stop, out)
            first, out, other = out, other, out
    return first, last


@_jit.part
def _merge(flow: Array, first: int, last: int, start: int, stop: int, out: int) -> int:
    """Merge two lists by cycle into a third that begins at `out`; of equals that of the first comes first.

    From both ends at once: neither waits for what the other reads.
    """
    end = top = out + last - first + stop - start
    while last - first > 1 and stop - start > 1:
        a, b = flow[_at(first)], flow[_at(start)]
        later = (a >> TIME) > (b >> TIME)
        flow[_at(out)] = b if later else a
        first += 1 - later
        start += later
        out += 1
        a, b = flow[_at(last - 1)], flow[_at(stop - 1)]
        later = (a >> TIME) > (b >> TIME)
        top -= 1
        flow[_at(top)] = a if later else b
        last -= later
        stop -= 1 - later
    while first < last and start < stop:
        a, b = flow[_at(first)], flow[_at(start)]
        later = (a >> TIME) > (b >> TIME)
        flow[_at(out)] = b if later else a
        first += 1 - later
        start += later
        out += 1
    while first < last:
        flow[_at(out)] = flow[_at(first)]
        first += 1
        out += 1
    while start < stop:
        flow[_at(out)] = flow[_at(start)]
        start += 1
        out += 1
    return end


@_jit.part
def _receive(m: Numbers, flow: Array, first: int, last: int, taken: Array, cores: Array, core: int) -> None:
    """Link L, input queue and synapse unit of a core; `taken`: when each flit leaves the input queue."""
    free, idle, words, depth, queued, flits, oldest = 0, 0, 0, 0, 0, 0, 0
    for place in range(first, last):
        cycle = flow[_at(place)] >> TIME
        leaves = max(cycle, free)
        free = leaves + 1
        depth = max(depth, free - cycle)
        enters = leaves + m[LINK_CYCLES]
        idle = max(idle, enters)
        taken[_at(flits)] = idle
        flits += 1
        while taken[_at(oldest)] < enters:
            oldest += 1
        queued = max(queued, flits - oldest)
        row = flow[_at(place)] & WORD_MASK
        idle += m[AXON_CYCLES] + row
        words += row
    cores[core, LINK_DEPTH + LOCAL] = depth
    cores[core, LINK_FLITS + LOCAL] = flits
    cores[core, RECEIVED] = flits
    cores[core, INPUT_DEPTH] = queued
    cores[core, WORDS] = words
    cores[core, SYNAPSE] = taken[0]
    cores[core, SYNAPSE + 1] = idle + m[SYNAPSE_LATENCY] - 1


@_jit.part
def _read_out(m: Numbers, flow: Array, first: int, last: int, about: Array, cores: Array) -> None:
    """Link H: what the host reads."""
    free, depth = 0, 0
    for place in range(first, last):
        cycle = flow[place] >> TIME
        leaves = max(cycle, free)
        free = leaves + 1
        depth = max(depth, free - cycle)
    cores[0, LINK_DEPTH + HOST] = depth
    cores[0, LINK_FLITS + HOST] = last - first
    about[HOST_RECEIVED] = last - first
    about[HOST_LAST] = free - 1 + m[LINK_CYCLES]


@_jit.part
def _barrier(m: Numbers, start: int, about: Array, cores: Array) -> None:
    """When all is quiet and the round is released; then count the cycles of the round's records from the sample's."""
    quiet, critical = 0, -1
    for core in range(m[WIDTH] * m[HEIGHT]):
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
            quiet, critical = about[column], m[WIDTH] * m[HEIGHT]
        about[column] += start
    about[START] = start
    about[QUIET] = start + quiet
    about[RELEASE] = start + quiet + m[BARRIER]
    about[CRITICAL] = critical


@_jit.part
def _add_up(cores: Array, totals: Array) -> None:
    for core in range(cores.shape[0]):
        for column in range(NEURONS, INPUT_DEPTH):
            totals[core, column] += cores[core, column]
        for column in range(INPUT_DEPTH, LINK_FLITS):
            totals[core, column] = max(totals[core, column], cores[core, column])
        for column in range(LINK_FLITS, CORE_COLUMNS):
            totals[core, column] += cores[core, column]


@_jit.entry(
    _numba.types.UniTuple(_int, 11),
    _numba.types.UniTuple(_int, 2),
    _numba.types.Tuple((_one, _one, _one, _numba.boolean[::1], _one, _one, _numba.int64[:, ::1])),
    _numba.types.Tuple((_numba.int64[:, ::1], _numba.int32[::1])),
    _numba.types.UniTuple(_one, 4),
    _numba.int64[:, :, ::1],
    _numba.int64[:, :, :, ::1],
    _numba.int64[:, ::1],
)
def run(
    m: Numbers,
    rows: tuple[int, int],
    tables: Tables,
    events: Events,
    room: tuple[Array, Array, Array, Array],
    rounds: Array,
    cores: Array,
    totals: Array,
) -> None:
    """Count the cycles of one sample: rows = (steps, number of the sample).

    tables, events: see their types. room: flow, top, bounds, taken. rounds [T, R, 8]; cores [T or 1, R, C, 26],
    with 1 only the last step remains; totals [C, CORE_COLUMNS]: sums of counts, greatest depths.
    """
    steps, sample = rows
    cells, lists, entries, steady, inputs, begins, parts = tables  # here only: to unpack counts references
    firsts, fired = events
    flow, top, bounds, taken = room
    count = m[WIDTH] * m[HEIGHT]
    size = flow.size // REGIONS
    cycle = 0
    for step in range(steps):
        kept, row = step if cores.shape[0] > 1 else 0, sample * (steps + 1) + step
        for number in range(m[ROUNDS]):
            about, record = rounds[step, number], cores[kept, number]
            for link in range(6):
                top[link] = link * size
            _clear(bounds, about, record)
            flits = 0
            if number == 0:
                for link in range(6):
                    bounds[_stretch(count, link, 0, FROM_HOST)] = top[link]
                flits = _inject(m, inputs, cells, lists, entries, firsts, fired, row, flow, top)
                for link in range(6):
                    bounds[_stretch(count, link, 0, FROM_HOST) + 1] = top[link]
                about[HOST_SENT] = flits
                if flits > 0:
                    about[HOST_END] = flits * m[HOST_INTERVAL]
            for core in range(count):
                mine = (core, begins[number * count + core], begins[number * count + core + 1])
                if mine[1] < mine[2]:
                    for link in range(6):
                        bounds[_stretch(count, link, core, FROM_CORE)] = top[link]
                    flits += _update(
                        m, mine, parts, cells, lists, entries, steady, firsts, fired, row, flow, top, taken, record
                    )
                    for link in range(6):
                        bounds[_stretch(count, link, core, FROM_CORE) + 1] = top[link]
            if flits > 0:
                _network(m, flow, top, bounds, taken, about, record)
            _barrier(m, cycle, about, record)
            _add_up(record, totals)
            cycle = about[RELEASE]
        cycle += m[STEP_CYCLES]
