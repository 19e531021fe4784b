"""Populations in parts that fit on a core, and which of them share one: what a placement is made of.

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
from norse_export.engine.machine.wiring import accumulators, inputs_of, sources
from norse_export.errors import CapacityError, Finding
from norse_export.ir.fan import fan_in
from norse_export.ir.fixed import Population
from norse_export.ir.graph import Graph
from norse_export.ir.placement import Part, Placement
from norse_export.ir.stages import FixedNode

IntArray = NDArray[np.int64]
_RESOURCES = ("neurons", "accumulators", "axon entries", "synapse words")
_STEP = 0.9  # a part that does not fit becomes at least so much smaller


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
class Piece:
    """A part without a place: what it needs, and for each source the cells that send to it."""

    population: str
    start: int
    stop: int
    needs: IntArray
    cells: Mapping[str, IntArray]


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """Stretches of a population, what each needs [stretches, resources], and the rows of its sources on each."""

    population: str
    stretches: list[tuple[int, int]]
    needs: IntArray
    rows: Mapping[str, Rows]

    def pieces(self) -> list[Piece]:
        """One for each stretch."""
        cells = {source: _by_core(rows, len(self.stretches)) for source, rows in self.rows.items()}
        return [
            Piece(self.population, *ends, self.needs[n], {source: each[n] for source, each in cells.items()})
            for n, ends in enumerate(self.stretches)
        ]


def cut(graph: Graph[FixedNode], limits: CoreLimits) -> list[Piece]:
    """Every population in parts that fit, in the order of the layers."""
    pieces: list[Piece] = []
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


def _cut_population(graph: Graph[FixedNode], name: str, limits: CoreLimits) -> list[Piece]:
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
        found = measured(graph, name, stretches, limits.lanes)
        needs = found.needs.max(axis=0)
        over = needs / limits.core
        if over.max() <= 1:
            return found.pieces()
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


def measured(graph: Graph[FixedNode], name: str, stretches: list[tuple[int, int]], lanes: int) -> Measured:
    """What each stretch of a population needs, alone on a core."""
    apart = Placement(len(stretches), 1, tuple(Part(name, *ends, core) for core, ends in enumerate(stretches)))
    targets, used = accumulators(graph, apart)
    onto = {edge.source for into in inputs_of(graph, name) for edge in graph.incoming(into.source)}
    rows = {source: rows_of(graph, source, apart.cores, lanes, targets) for source in sources(graph) if source in onto}
    needs = np.zeros((len(stretches), len(_RESOURCES)), np.int64)
    needs[:, 0] = [stop - start for start, stop in stretches]
    needs[:, 1] = used
    for one in rows.values():
        needs[:, 2] += np.bincount(one.core, minlength=apart.cores)
        np.add.at(needs[:, 3], one.core, one.words)
    return Measured(name, stretches, needs, rows)


def _by_core(rows: Rows, cores: int) -> list[IntArray]:
    """The source cells with synapses on each core."""
    order = np.argsort(rows.core.astype(np.uint16), kind="stable")  # so narrow numpy sorts in linear time
    return np.split(rows.cell[order], np.cumsum(np.bincount(rows.core, minlength=cores))[:-1])


def packed(pieces: list[Piece], limits: CoreLimits) -> list[list[Piece]]:
    """Pieces that share a core. Together they need at most the sum of what they need alone: the banks of a piece are
    turned by those before it, which changes no row's number of words, and words of one row are shared at best."""
    cores = limits.width * limits.height
    groups: list[list[Piece]] = []
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


def _too_large(name: str, what: str, used: int, available: int) -> Finding:
    fix = "make the layer, or those that feed it, smaller or sparser; or place it on a machine with larger cores"
    return Finding("capacity", "error", name, f"{used} {what}, a core has {available}", fix)


def _mesh_too_small(name: str, used: int, limits: CoreLimits, own: int | None = None) -> Finding:
    part = "" if own is None else f", {own} of them for this layer"
    message = f"{used} cores are needed{part}; the mesh has {limits.width} x {limits.height}"
    return Finding("capacity", "error", name, message, "make the layer smaller, or place it on a larger mesh")
