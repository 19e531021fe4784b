"""Fixed graph -> placement: populations are cut into parts that fit on a core, and these are laid out on a mesh.

Three steps, none of them random. Cut: each population into few parts of one size that fit on an empty core; sizes are
multiples of the lanes. Pack: parts that stand next to each other in the order of the layers share a core while they
fit. Lay out: along a snake in that order, then improved by swaps (arrange.py), so that flits x hops become few. The
mesh is the smallest nearly square one that holds all parts.

What a core needs is counted by engine/machine: the rows of synapse words are those of the machine that runs it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export.engine.machine.load import Rows, rows_of
from norse_export.engine.machine.wiring import accumulators, inputs_of, read_by_host, sources
from norse_export.errors import CapacityError, Finding, UsageError
from norse_export.ir.fan import fan_in
from norse_export.ir.fixed import FixedInput, Population
from norse_export.ir.graph import Graph
from norse_export.ir.placement import Part, Placement
from norse_export.ir.stages import FixedNode
from norse_export.passes.arrange import MAX_SWEEPS, Flow, improved, snake

IntArray = NDArray[np.int64]
_RESOURCES = ("neurons", "accumulators", "axon entries", "synapse words")
_STEP = 0.95  # a part that does not fit becomes at least so much smaller


@dataclass(frozen=True, slots=True, kw_only=True)
class CoreLimits:
    """What a core has, and how many cores there are: a mesh of at most width x height.

    neurons; synapse words, each of `lanes` places; axon entries: source cells with a synapse on the core; accumulators:
    one for each neuron and each input of its population; fan_in: synapses of one neuron. None: no limit of its own.
    """

    width: int
    height: int
    neurons: int
    words: int
    axons: int
    accumulators: int
    lanes: int = 1
    fan_in: int | None = None

    @property
    def core(self) -> IntArray:
        """Of a core: neurons, accumulators, axon entries, synapse words."""
        return np.array([self.neurons, self.accumulators, self.axons, self.words])


@dataclass(frozen=True, slots=True, eq=False)
class _Piece:
    """A part without a place: what it needs, and for each source the cells that send to it."""

    population: str
    start: int
    stop: int
    needs: IntArray
    cells: Mapping[str, IntArray]


def place(
    graph: Graph[FixedNode],
    limits: CoreLimits,
    *,
    spikes: Mapping[str, NDArray[Any]] | None = None,
    sweeps: int = MAX_SWEEPS,
) -> Placement:
    """Place the populations of a fixed graph on the cores of a mesh.

    spikes: for each input and population how often each cell fired, [*shape], measured in a run; a cell of a source
    that is not named counts once. sweeps: how long to look for better places; 0: not at all.

    Raises:
        CapacityError: a layer does not fit a core, however small its parts; or all of them not the mesh. Every layer
            that is too large is a finding.
    """
    groups = _packed(graph, _cut(graph, limits), limits)
    width, height = mesh(len(groups), limits)
    flow = _flow(graph, groups, spikes or {})
    straight = np.arange(len(groups))
    start = min(snake(width, len(groups)), straight, key=lambda cores: flow.hops(width, cores))
    return _placement(graph, groups, improved(flow, width, height, start, sweeps), width, height)


def place_in_order(graph: Graph[FixedNode], limits: CoreLimits) -> Placement:
    """The trivial placement: the same parts on cores 0, 1, 2, ... in the order of the layers."""
    groups = _packed(graph, _cut(graph, limits), limits)
    return _placement(graph, groups, np.arange(len(groups)), *mesh(len(groups), limits))


def traffic(graph: Graph[FixedNode], placement: Placement, spikes: Mapping[str, NDArray[Any]] | None = None) -> int:
    """Hops of all flits when every cell fires as often as `spikes` says; what `place` makes small."""
    pieces = [
        piece
        for name, parts in placement.by_population.items()
        for piece in _measured(graph, name, [(part.start, part.stop) for part in parts], 1)
    ]
    cores = {(part.population, part.start): part.core for part in placement.parts}
    groups: dict[int, list[_Piece]] = {}
    for piece in pieces:
        groups.setdefault(cores[piece.population, piece.start], []).append(piece)
    return _flow(graph, list(groups.values()), spikes or {}).hops(placement.width, np.array(list(groups), np.int64))


def mesh(groups: int, limits: CoreLimits) -> tuple[int, int]:
    """Width and height of the smallest nearly square mesh within the limits with a core for each group."""
    width = min(limits.width, max(math.isqrt(max(groups - 1, 0)) + 1, -(-groups // limits.height)))
    return width, max(1, -(-groups // width))


def _cut(graph: Graph[FixedNode], limits: CoreLimits) -> list[_Piece]:
    """Every population in parts that fit, in the order of the layers."""
    pieces: list[_Piece] = []
    findings: list[Finding] = []
    for name in graph.order:
        if not isinstance(graph.nodes[name], Population):
            continue
        if limits.fan_in is not None and (most := _most_synapses(graph, name)) > limits.fan_in:
            findings.append(_too_large(name, "synapses of one neuron", most, limits.fan_in))
            continue
        try:
            pieces += _cut_population(graph, name, limits)
        except CapacityError as error:
            findings += error.findings
    if findings:
        raise CapacityError.of(findings)
    return pieces


def _cut_population(graph: Graph[FixedNode], name: str, limits: CoreLimits) -> list[_Piece]:
    size = math.prod(graph.nodes[name].output_shape)
    inputs = max(1, len(inputs_of(graph, name)))
    if inputs > limits.accumulators:
        raise CapacityError.of([_too_large(name, "accumulators of one neuron", inputs, limits.accumulators)])
    length = min(limits.neurons, limits.accumulators // inputs, size)
    length = _even(size, length, limits.lanes)
    while True:
        stretches = [(start, min(start + length, size)) for start in range(0, size, length)]
        if len(stretches) > limits.width * limits.height:  # no need to count what the mesh cannot hold
            raise CapacityError.of([_mesh_too_small(name, len(stretches), limits)])
        pieces = _measured(graph, name, stretches, limits.lanes)
        needs = np.max([piece.needs for piece in pieces], axis=0)
        over = needs / limits.core
        if over.max() <= 1:
            return pieces
        if length == 1:
            worst = int(over.argmax())
            what = f"{_RESOURCES[worst]} for one neuron"
            raise CapacityError.of([_too_large(name, what, int(needs[worst]), int(limits.core[worst]))])
        length = _shorter(length, float(over[2]), float(over[3]), limits.lanes)


def _most_synapses(graph: Graph[FixedNode], name: str) -> int:
    """The greatest number of synapses into a neuron of the population."""
    nodes: list[Any] = [graph.nodes[into.source] for into in inputs_of(graph, name)]
    return int(sum((fan_in(node) for node in nodes), np.zeros(1, np.int64)).max(initial=0))


def _even(size: int, length: int, lanes: int) -> int:
    """A length of parts, at most `length`, of which as few are needed but the last is not much shorter."""
    even = -(-size // -(-size // length))
    return min(length, -(-even // lanes) * lanes)


def _shorter(length: int, axons: float, words: float, lanes: int) -> int:
    """The next length to try where one needs so many times the axon entries and words of a core: the former say little
    of how much shorter it must be, the latter are nearly in proportion."""
    shorter = min(length - 1, int(length * _STEP), int(length / words), length // 2 if axons > 1 else length)
    return max(1, shorter // lanes * lanes if shorter >= lanes else shorter)


def _measured(graph: Graph[FixedNode], name: str, stretches: list[tuple[int, int]], lanes: int) -> list[_Piece]:
    """What each stretch of a population needs, alone on a core."""
    apart = Placement(len(stretches), 1, tuple(Part(name, *ends, core) for core, ends in enumerate(stretches)))
    targets, used = accumulators(graph, apart)
    onto = {edge.source for into in inputs_of(graph, name) for edge in graph.incoming(into.source)}
    needs = np.zeros((len(stretches), len(_RESOURCES)), np.int64)
    needs[:, 0] = [stop - start for start, stop in stretches]
    needs[:, 1] = used
    cells: list[dict[str, IntArray]] = [{} for _ in stretches]
    for source in (source for source in sources(graph) if source in onto):
        rows = rows_of(graph, source, apart.cores, lanes, targets)
        needs[:, 2] += np.bincount(rows.core, minlength=apart.cores)
        np.add.at(needs[:, 3], rows.core, rows.words)
        for core, sending in enumerate(_by_core(rows, apart.cores)):
            cells[core][source] = sending
    return [_Piece(name, *ends, *one) for ends, one in zip(stretches, zip(needs, cells, strict=True), strict=True)]


def _by_core(rows: Rows, cores: int) -> list[IntArray]:
    """The source cells with synapses on each core."""
    order = np.argsort(rows.core, kind="stable")
    return np.split(rows.cell[order], np.cumsum(np.bincount(rows.core, minlength=cores))[:-1])


def _packed(graph: Graph[FixedNode], pieces: list[_Piece], limits: CoreLimits) -> list[list[_Piece]]:
    """Pieces that share a core. Together they need at most the sum of what they need alone: the banks of a piece are
    turned by those before it, which changes no row's number of words, and words of one row are shared at best."""
    cores = limits.width * limits.height
    groups: list[list[_Piece]] = []
    for only_last in (True, False):
        groups, used = [], np.zeros((0, len(_RESOURCES)), np.int64)
        for piece in pieces:
            fits = np.flatnonzero((used + piece.needs <= limits.core).all(axis=1))
            fits = fits[fits == len(groups) - 1] if only_last else fits
            if fits.size:
                groups[fits[0]].append(piece)
                used[fits[0]] += piece.needs
            else:
                groups.append([piece])
                used = np.vstack([used, piece.needs])
        if len(groups) <= cores:
            return groups
    taken = {piece.population: 0 for piece in pieces}
    for piece in pieces:
        taken[piece.population] += 1
    largest = max(taken, key=lambda name: taken[name])
    raise CapacityError.of([_mesh_too_small(largest, len(groups), limits, taken[largest])])


def _flow(graph: Graph[FixedNode], groups: list[list[_Piece]], spikes: Mapping[str, NDArray[Any]]) -> Flow:
    """Flits between the cores of the groups, and between them and the host."""
    fired = {name: _fired(graph, name, spikes) for name in sources(graph)}
    home = {name: np.zeros(len(counts), np.int64) for name, counts in fired.items()}
    read = read_by_host(graph)
    between, host = np.zeros((len(groups), len(groups)), np.int64), np.zeros(len(groups), np.int64)
    for number, group in enumerate(groups):
        for piece in group:
            home[piece.population][piece.start : piece.stop] = number
            if piece.population in read:
                host[number] += fired[piece.population][piece.start : piece.stop].sum()
    for number, group in enumerate(groups):
        for source in {source: None for piece in group for source in piece.cells}:
            cells = np.unique(np.concatenate([piece.cells[source] for piece in group if source in piece.cells]))
            if isinstance(graph.nodes[source], FixedInput):
                host[number] += fired[source][cells].sum()
            else:
                np.add.at(between[:, number], home[source][cells], fired[source][cells])
    return Flow(between, host)


def _fired(graph: Graph[FixedNode], name: str, spikes: Mapping[str, NDArray[Any]]) -> IntArray:
    size = math.prod(graph.nodes[name].output_shape)
    if name not in spikes:
        return np.ones(size, np.int64)
    counts = np.asarray(spikes[name]).reshape(-1)
    if counts.size != size or counts.dtype.kind not in "iu" or counts.min() < 0:
        message = f"spike counts of shape {np.shape(spikes[name])} and dtype {counts.dtype} for {size} cells"
        raise UsageError(message, where=name, fix="give one whole number for each cell")
    return counts.astype(np.int64)


def _placement(
    graph: Graph[FixedNode], groups: list[list[_Piece]], cores: IntArray, width: int, height: int
) -> Placement:
    depth = {name: number for number, name in enumerate(graph.order)}
    parts = [
        Part(piece.population, piece.start, piece.stop, int(core))
        for group, core in zip(groups, cores, strict=True)
        for piece in group
    ]
    return Placement(width, height, tuple(sorted(parts, key=lambda part: (depth[part.population], part.start))))


def _too_large(name: str, what: str, used: int, available: int) -> Finding:
    fix = "make the layer, or those that feed it, smaller or sparser; or place it on a machine with larger cores"
    return Finding("capacity", "error", name, f"{used} {what}, a core has {available}", fix)


def _mesh_too_small(name: str, used: int, limits: CoreLimits, own: int | None = None) -> Finding:
    part = "" if own is None else f", {own} of them for this layer"
    message = f"{used} cores are needed{part}; the mesh has {limits.width} x {limits.height}"
    return Finding("capacity", "error", name, message, "make the layer smaller, or place it on a larger mesh")
