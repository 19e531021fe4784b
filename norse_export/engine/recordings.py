"""What goes into a run and comes out of it: arrays [T, B, cells] in the graph's order, each known by a symbol."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export.engine.calls import Symbol
from norse_export.engine.connections import read_by_host
from norse_export.engine.population import PackedPopulation
from norse_export.errors import UsageError
from norse_export.ir.fixed import FixedInput
from norse_export.ir.graph import Graph
from norse_export.ir.stages import FixedNode

Array = NDArray[Any]
RASTER, STARTS, INDICES = "raster", "starts", "indices"  # of an input
SPIKES, SENT, OBSERVED, FINAL = "spikes", "sent", "observed", "final"  # of a node
KEPT_STARTS: Symbol = ("kept starts",)
KEPT_CELLS: Symbol = ("kept cells",)


@dataclass(frozen=True, slots=True, eq=False)
class Events:
    """The spikes of an input as lists: those of step t, sample b are indices[starts[k] : starts[k + 1]], k = t * B + b.

    starts [T * B + 1], int64; indices, int32, in the C order of the input.
    """

    starts: NDArray[np.int64]
    indices: NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Kind:
    """Of a recording: how many values a step has for each sample, their type, and whether it is of the end alone."""

    cells: int
    dtype: str
    end: bool = False


def recorded(
    graph: Graph[FixedNode], populations: Mapping[str, PackedPopulation], *, states: bool
) -> dict[Symbol, Kind]:
    """What a run records.

    Spikes of each spiking population, uint8 or int32; sent: what else the host reads, int64; final states; and, with
    `states`, what is observed of each population in every step.
    """
    found: dict[Symbol, Kind] = {}
    for name, packed in populations.items():
        program = packed.node.program
        if program.spike is not None:
            dtype = "uint8" if program.spike in program.truths else "int32"
            found[SPIKES, name] = Kind(packed.size, dtype)
        for key in program.variables:
            found[FINAL, name, key] = Kind(packed.size, "int64", end=True)
        if states:
            for key in (*program.variables, *(key for key, _ in program.observe)):
                found[OBSERVED, name, key] = Kind(packed.size, "int64")
    for name in read_by_host(graph):
        sends_spikes = name in populations and populations[name].sends_spikes
        if not (sends_spikes or isinstance(graph.nodes[name], FixedInput)):
            found[SENT, name] = Kind(prod(graph.nodes[name].output_shape), "int64")
    return found


def has_values(node: FixedInput) -> bool:
    """Whether an input can send other numbers than 0 and 1."""
    return node.low < 0 or node.high > 1


def readable(node: FixedInput, raster: Array) -> Array:
    """A checked raster as the kernels read it: bytes of 0 and 1, or int32."""
    dtype: Any = np.int32 if has_values(node) else np.uint8
    raster = raster.view(np.uint8) if raster.dtype == bool else raster
    return np.ascontiguousarray(raster, dtype)


def check_events(graph: Graph[FixedNode], inputs: Mapping[str, Events], steps: int, samples: int) -> None:
    """Refuse lists of events that do not fit the inputs of a graph.

    Raises:
        UsageError: missing, unknown, for an input of other numbers than 0 and 1, of the wrong length, or of cells that
            the input does not have; or an input that feeds the host part.
    """
    wanted = {name: node for name, node in graph.nodes.items() if isinstance(node, FixedInput)}
    if set(inputs) != set(wanted) or min(steps, samples) < 1:
        message = f"events of {', '.join(inputs) or 'nothing'} over {steps} steps of {samples} samples"
        raise UsageError(message, where="inputs", fix=f"give events of {', '.join(wanted)}, one step and one sample")
    for name, node in wanted.items():
        starts, indices = inputs[name].starts, inputs[name].indices
        good = starts.dtype == np.int64 and indices.dtype == np.int32
        good = good and starts.flags.c_contiguous and indices.flags.c_contiguous
        good = good and starts.shape == (steps * samples + 1,) and indices.shape == (starts[-1],) and starts[0] == 0
        good = good and bool(np.all(np.diff(starts) >= 0))
        if has_values(node) or not good or name in read_by_host(graph):
            message = "lists of events that do not belong to such an input"
            raise UsageError(message, where=name, fix="give starts [T * B + 1] (int64) and indices (int32) of spikes")
        if indices.size and not indices.view(np.uint32).max() < prod(node.shape):  # a number below 0 is a large one
            message = f"events of cells {indices.min()} to {indices.max()}, the input has {prod(node.shape)}"
            raise UsageError(message, where=name, fix="number the cells in C order, from 0")
