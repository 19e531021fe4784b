"""Distances between spike trains, and what a run costs by NeuroBench's definitions.

Trains are rasters [T, ...]; times are step numbers. All distances are summed over neurons and samples.

NeuroBench: J. Yik et al., The NeuroBench framework for benchmarking neuromorphic computing algorithms and systems,
Nature Communications 16, 2025; definitions in its documentation (github.com/NeuroBench/neurobench, docs/metrics: model
footprint, connection sparsity, activation sparsity, synaptic operations), and where these leave something open what its
harness does (neurobench/metrics).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export.ir.fan import fan_out, presence
from norse_export.ir.fixed import Population, SparseSynapses, Synapses
from norse_export.ir.graph import Graph
from norse_export.ir.layers import Conv, Linear
from norse_export.ir.stages import FixedNode

Array = NDArray[Any]
Trains = NDArray[np.bool_]  # [T, N], one column for each neuron of each sample
_STATE_BYTES = 4  # of a state variable of a neuron while it runs
_TABLE_CELLS = 1 << 22  # of the tables of edit distances that are filled together


def jaccard(a: Array, b: Array) -> float:
    """Cells in which both spike, divided by cells in which either does; 1 for two rasters without a spike."""
    either = int(np.count_nonzero((a != 0) | (b != 0)))
    return int(np.count_nonzero((a != 0) & (b != 0))) / either if either else 1.0


def victor_purpura(a: Array, b: Array, q: float = 1.0) -> float:
    """Cheapest way to turn train a into b: 1 for each spike added or removed, q for each step that one is moved.

    Spikes that both trains have at one step stay in place in some cheapest way, since moving obeys the triangle
    inequality; so only the others are looked at.
    Source: J. Victor, K. Purpura, Metric-space analysis of spike trains, Network 8, 1997 (D_spike).
    """
    own, other = _trains(a), _trains(b)
    only_a, only_b = own & ~other, other & ~own
    removed, added = only_a.sum(axis=0), only_b.sum(axis=0)
    both = np.flatnonzero((removed > 0) & (added > 0))
    alone = int(removed.sum() + added.sum() - removed[both].sum() - added[both].sum())
    total = float(alone)
    for part in _parts(both, int(added.max(initial=0)) + 1):
        total += float(_edit_distances(only_a[:, part], only_b[:, part], q).sum())
    return total


def van_rossum(a: Array, b: Array, tau: float = 5.0) -> float:
    """Squared distance of the trains after an exponential filter of `tau` steps, normalised so that one spike is 1/2.

    With d = a - b this is 1/2 sum d(s) d(t) exp(-|s - t| / tau), summed by a running trace in one pass over time.
    Source: M. van Rossum, A novel spike distance, Neural Computation 13, 2001.
    """
    own, other = _trains(a), _trains(b)
    changed = (own != other).any(axis=0)
    difference = own[:, changed].astype(float) - other[:, changed]
    decay, trace, total = np.exp(-1.0 / tau), np.zeros(difference.shape[1]), 0.0
    for now in difference:
        trace *= decay
        total += float(now @ (now + 2 * trace))
        trace += now
    return 0.5 * total


def _trains(raster: Array) -> Trains:
    return np.asarray(raster != 0).reshape(raster.shape[0], -1)


def _parts(columns: Array, width: int) -> Iterator[Array]:
    size = max(1, _TABLE_CELLS // width)
    for start in range(0, len(columns), size):
        yield columns[start : start + size]


def _edit_distances(a: Trains, b: Trains, q: float) -> Array:
    """Edit distance of each column of a and b, all tables filled row by row together: [N, spikes of b + 1]."""
    times_a, times_b = _times(a), _times(b)
    counts_a, counts_b = a.sum(axis=0), b.sum(axis=0)
    columns = np.arange(times_b.shape[1] + 1, dtype=float)
    row: Array = columns + np.zeros((len(times_b), 1))
    last: Array = counts_b.astype(float)
    for number, time in enumerate(times_a.T):
        down = row + 1.0
        down[:, 1:] = np.minimum(down[:, 1:], row[:, :-1] + q * np.abs(time[:, None] - times_b))
        row = np.minimum.accumulate(down - columns, axis=1) + columns  # spikes added from the left cost 1 each
        ends = counts_a == number + 1
        last[ends] = row[ends, counts_b[ends]]
    return last


def _times(trains: Trains) -> Array:
    """Steps of the spikes of each column, [N, most spikes]; behind a column's last spike stands 0."""
    counts = trains.sum(axis=0)
    times = np.zeros((trains.shape[1], int(counts.max(initial=0))))
    columns, steps = np.nonzero(trains.T)
    number = np.arange(len(columns)) - np.repeat(np.cumsum(counts) - counts, counts)
    times[columns, number] = steps
    return times


@dataclass(frozen=True, slots=True)
class Footprint:
    """Bytes that a fixed graph takes, zero weights included.

    weights: in the integers (or, of layers on the host, floats) that hold them. indices: of listed synapses.
    parameters: of neurons, in the narrowest integers that hold them; one that all neurons of a population share counts
    once. states: what a sample needs while it runs.
    """

    weights: int
    indices: int
    parameters: int
    states: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.indices + self.parameters + self.states


def footprint(graph: Graph[FixedNode]) -> Footprint:
    """NeuroBench's footprint: the memory that the model needs, parameters and buffers."""
    weights = indices = parameters = states = 0
    for node in graph.nodes.values():
        if isinstance(node, Synapses | Linear | Conv):
            weights += node.weight.nbytes
        if isinstance(node, Linear | Conv) and node.bias is not None:
            weights += node.bias.nbytes
        if isinstance(node, SparseSynapses):
            indices += node.starts.nbytes + node.targets.nbytes
        if isinstance(node, Population):
            parameters += sum(map(_narrowest_bytes, node.parameters.values()))
            states += math.prod(node.shape) * len(node.initial_state) * _STATE_BYTES
    return Footprint(weights, indices, parameters, states)


def connection_sparsity(graph: Graph[FixedNode]) -> float:
    """Share of the weights that are 0, a kernel's counted once; listed synapses stand for a matrix. No weights: 0."""
    present = weights = 0
    for node in graph.nodes.values():
        if isinstance(node, SparseSynapses):
            present += int(np.count_nonzero(node.weight))
            weights += _matrix(node)
        elif isinstance(node, Synapses | Linear | Conv):
            present += int(np.count_nonzero(node.weight))
            weights += node.weight.size
    return 1 - present / weights if weights else 0.0


def activation_sparsity(spikes: Mapping[str, Array]) -> float:
    """Share of the cells of all spiking populations, steps and samples in which there is no spike. No cells: 0."""
    cells = sum(raster.size for raster in spikes.values())
    return 1 - sum(int(np.count_nonzero(raster)) for raster in spikes.values()) / cells if cells else 0.0


@dataclass(frozen=True, slots=True)
class SynapticOperations:
    """Synaptic operations of a sample, averaged over samples.

    effective_acs, effective_macs: where neither what arrives nor the weight is 0; accumulates where all that the source
    sends in the step is -1, 0 or 1, else multiply-accumulates. dense: of a machine that leaves nothing out.
    """

    effective_macs: float
    effective_acs: float
    dense: float


def synaptic_operations(
    graph: Graph[FixedNode], inputs: Mapping[str, Array], spikes: Mapping[str, Array]
) -> SynapticOperations:
    """NeuroBench's synaptic operations of a run, from its input rasters and its spikes, both [T, B, *shape].

    Events that are still under way at the end of the run do not count. Listed synapses are a matrix to a machine that
    leaves nothing out. A layer on the host whose input is neither a raster nor spikes is taken to get no 0.
    """
    rasters = {**inputs, **spikes}
    steps, samples = next(iter(rasters.values())).shape[:2]
    macs = acs = dense = 0
    for edge in graph.edges:
        node = graph.nodes[edge.target]
        if not isinstance(node, Synapses | Linear | Conv):
            continue
        projection = node if isinstance(node, Synapses) else presence(node)
        out = fan_out(projection)
        dense += steps * samples * _matrix(projection)
        if edge.source not in rasters:
            macs += steps * samples * int(out.sum())
            continue
        sent = rasters[edge.source][: max(0, steps - edge.delay_steps)].reshape(-1, samples, out.size)
        for now in sent:
            done = int(np.count_nonzero(now, axis=0) @ out)
            if now.dtype != np.bool_ and bool(np.any(np.abs(now) > 1)):
                macs += done
            else:
                acs += done
    return SynapticOperations(macs / samples, acs / samples, dense / samples)


def _matrix(node: Synapses) -> int:
    """Synapses of a projection, whatever their weight; those of listed ones are as many as its matrix has cells."""
    if isinstance(node, SparseSynapses):
        return math.prod(node.input_shape) * math.prod(node.output_shape)
    return int(fan_out(node, zeros=True).sum())


def _narrowest_bytes(values: NDArray[np.integer[Any]]) -> int:
    """Of the numbers, or of the one that all are, in the narrowest integers that hold them."""
    low, high = int(values.min()), int(values.max())
    size = 1 if low == high else values.size
    return size * next(
        width for width in (1, 2, 4, 8) if -(1 << (8 * width - 1)) <= low and high < 1 << (8 * width - 1)
    )
