"""What the compiled functions of the fast model take, and where they write: numbers of columns, links and inputs."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from norse_export.engine.machine.load import Load

IntArray = NDArray[np.int64]

# Links out of a router.
EAST: Final = 0
WEST: Final = 1
NORTH: Final = 2
SOUTH: Final = 3
LOCAL: Final = 4
HOST: Final = 5
LINKS: Final = ("E", "W", "N", "S", "L", "H")

# Inputs of a router, in the order in which equals are served.
FROM_NORTH: Final = 0
FROM_EAST: Final = 1
FROM_SOUTH: Final = 2
FROM_WEST: Final = 3
FROM_CORE: Final = 4
FROM_HOST: Final = 5

# Columns of what is recorded of a core in a round.
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

# Columns of what is recorded of a round.
START: Final = 0
QUIET: Final = 1
RELEASE: Final = 2
HOST_END: Final = 3
HOST_LAST: Final = 4
HOST_SENT: Final = 5
HOST_RECEIVED: Final = 6
CRITICAL: Final = 7
ROUND_COLUMNS: Final = 8


class Tables(NamedTuple):
    """The machine: a Load as plain arrays and numbers."""

    width: int
    height: int
    rounds: int
    cells: IntArray
    lists: IntArray
    entries: IntArray
    steady: NDArray[np.bool_]
    inputs: IntArray
    firsts: IntArray
    parts: IntArray
    axon_cycles: int
    synapse_latency: int
    neuron_depth: int
    send_cycles: int
    router_cycles: int
    link_cycles: int
    host_interval: int
    barrier: int
    step_cycles: int
    most_neurons: int


class Events(NamedTuple):
    """Who fired: of source s in row r = step * samples + sample, cell[first[s, r] : first[s, r + 1]], rising."""

    first: IntArray
    cell: NDArray[np.int32]


class Queues(NamedTuple):
    """Flits that wait for a link: pool [links, capacity], of which the list of each router and input is a stretch.

    top [links]: how much of each pool is used. start, stop [links, cores, inputs]: the stretches. A flit is the cycle
    in which it enters the queue, counted from the start of the round, above 33 bits of its entry (load.py).
    """

    pool: IntArray
    top: IntArray
    start: IntArray
    stop: IntArray


def tables(load: Load) -> Tables:
    """Give the load as the compiled functions take it."""
    config = load.config
    diameter = load.width + load.height - 2
    return Tables(
        width=load.width,
        height=load.height,
        rounds=load.rounds,
        cells=load.cells.astype(np.int64),
        lists=load.lists.astype(np.int64),
        entries=load.entries.astype(np.int64),
        steady=np.array(load.steady, np.bool_),
        inputs=load.inputs,
        firsts=load.firsts.astype(np.int64),
        parts=load.parts,
        axon_cycles=config.axon_cycles,
        synapse_latency=config.synapse_latency,
        neuron_depth=config.neuron_depth,
        send_cycles=config.send_cycles,
        router_cycles=config.router_cycles,
        link_cycles=config.link_cycles,
        host_interval=config.host_interval,
        barrier=config.barrier_cycles + 2 * diameter * config.barrier_hop_cycles,
        step_cycles=config.step_cycles,
        most_neurons=int(load.memory[:, 0].max(initial=1)),
    )
