"""Fixed graph -> placement: populations are cut into parts that fit on a core, and these are laid out on a mesh.

Three steps, none of them random. Cut: each population into few parts of one size that fit on an empty core; sizes are
multiples of the lanes. Pack: parts that stand next to each other in the order of the layers share a core while they
fit. Lay out: along a snake in that order, then improved by swaps (arrange.py), so that flits x hops become few. The
mesh is the smallest nearly square one that holds all parts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export.engine.machine.wiring import read_by_host, sources
from norse_export.errors import UsageError
from norse_export.ir.fixed import FixedInput
from norse_export.ir.graph import Graph
from norse_export.ir.placement import Part, Placement
from norse_export.ir.stages import FixedNode
from norse_export.passes.arrange import MAX_SWEEPS, Flow, improved, snake
from norse_export.passes.parts import CoreLimits, Piece, cut, measured, packed

__all__ = ["CoreLimits", "mesh", "place", "place_in_order", "traffic"]

IntArray = NDArray[np.int64]


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
    groups = packed(cut(graph, limits), limits)
    width, height = mesh(len(groups), limits)
    flow = _flow(graph, groups, spikes or {})
    straight = np.arange(len(groups))
    start = min(snake(width, len(groups)), straight, key=lambda cores: flow.hops(width, cores))
    return _placement(graph, groups, improved(flow, width, height, start, sweeps), width, height)


def place_in_order(graph: Graph[FixedNode], limits: CoreLimits) -> Placement:
    """The trivial placement: the same parts on cores 0, 1, 2, ... in the order of the layers."""
    groups = packed(cut(graph, limits), limits)
    return _placement(graph, groups, np.arange(len(groups)), *mesh(len(groups), limits))


def traffic(graph: Graph[FixedNode], placement: Placement, spikes: Mapping[str, NDArray[Any]] | None = None) -> int:
    """Hops of all flits when every cell fires as often as `spikes` says; what `place` makes small."""
    pieces = [
        piece
        for name, parts in placement.by_population.items()
        for piece in measured(graph, name, [(part.start, part.stop) for part in parts], 1).pieces()
    ]
    cores = {(part.population, part.start): part.core for part in placement.parts}
    groups: dict[int, list[Piece]] = {}
    for piece in pieces:
        groups.setdefault(cores[piece.population, piece.start], []).append(piece)
    return _flow(graph, list(groups.values()), spikes or {}).hops(placement.width, np.array(list(groups), np.int64))


def mesh(groups: int, limits: CoreLimits) -> tuple[int, int]:
    """Width and height of the smallest nearly square mesh within the limits with a core for each group."""
    width = min(limits.width, max(math.isqrt(max(groups - 1, 0)) + 1, -(-groups // limits.height)))
    return width, max(1, -(-groups // width))


def _flow(graph: Graph[FixedNode], groups: list[list[Piece]], spikes: Mapping[str, NDArray[Any]]) -> Flow:
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
            sending = [piece.cells[source] for piece in group if source in piece.cells]
            cells = sending[0] if len(sending) == 1 else np.unique(np.concatenate(sending))
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
    graph: Graph[FixedNode], groups: list[list[Piece]], cores: IntArray, width: int, height: int
) -> Placement:
    depth = {name: number for number, name in enumerate(graph.order)}
    parts = [
        Part(piece.population, piece.start, piece.stop, int(core))
        for group, core in zip(groups, cores, strict=True)
        for piece in group
    ]
    return Placement(width, height, tuple(sorted(parts, key=lambda part: (depth[part.population], part.start))))
