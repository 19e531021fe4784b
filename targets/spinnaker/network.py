"""A network as the chip's memory holds it, made into a fixed graph under the chip's law."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export.errors import UsageError
from norse_export.ir.fixed import FixedInput, Population
from norse_export.ir.graph import Edge, Graph
from norse_export.ir.stages import FixedNode

from .law import PORTS, population
from .projections import projections, silent

Array = NDArray[Any]
INPUT = "inp"


def network(mapping: Mapping[str, Any]) -> Graph[FixedNode]:
    """The fixed graph of a network: an input, and populations that share their parameter words.

    Reads of the mapping: model, dt (ms), sdram_words [W]; of each population shifts__<name> [2], and slices__<name>
    [C, 2] (first and last neuron of each core) with log_max_delay__<name> [C]; of each projection
    w_u16__<source>__<target> [n_source, n_target] (magnitude as in SDRAM, sign of the receptor type) and
    delay__<source>__<target> (steps); of spike__inp its shape.

    Raises:
        UsageError: something is missing, or cannot be what the chip's memory holds.
    """
    names = tuple(key.removeprefix("shifts__") for key in mapping if key.startswith("shifts__"))
    nodes: dict[str, FixedNode] = {INPUT: FixedInput(entry(mapping, f"spike__{INPUT}").shape[1:])}
    nodes |= {name: _population(mapping, name) for name in names}
    edges: list[Edge] = []
    for source in (INPUT, *names):
        for target in names:
            if f"w_u16__{source}__{target}" in mapping:
                _connect(mapping, source, target, nodes, edges)
    for name in names:
        for port in set(PORTS) - {edge.port for edge in edges if edge.target == name}:
            nothing = f"{name}.{port}.nothing"
            nodes[nothing] = silent(nodes[INPUT].output_shape, nodes[name].input_shape)
            edges += [Edge(INPUT, nothing), Edge(nothing, name, port)]
    return Graph(nodes, tuple(edges))


def entry(mapping: Mapping[str, Any], key: str) -> Array:
    """An entry of the mapping as an array.

    Raises:
        UsageError: there is none.
    """
    if key not in mapping:
        raise UsageError(f"no {key!r} in the network", where=key, fix="give the network as SCHEMA.md describes it")
    return np.asarray(mapping[key])


def _population(mapping: Mapping[str, Any], name: str) -> Population:
    size = int(entry(mapping, f"slices__{name}").max()) + 1
    words = entry(mapping, "sdram_words")
    return population(
        str(entry(mapping, "model")),
        np.broadcast_to(words, (size, *words.shape)),
        entry(mapping, f"shifts__{name}").tolist(),
        shape=(size,),
        dt=float(entry(mapping, "dt")) * 1e-3,
    )


def _connect(
    mapping: Mapping[str, Any], source: str, target: str, nodes: dict[str, FixedNode], edges: list[Edge]
) -> None:
    """Add the synapses from one population to another."""
    where = f"{source} -> {target}"
    weight, delay = (entry(mapping, f"{kind}__{source}__{target}") for kind in ("w_u16", "delay"))
    turn = _slots(mapping, target)
    if delay.ndim == 2 and delay.shape[1] == turn.size:  # else `projections` says what is wrong
        delay = np.where(delay == 0, turn, delay)
    shapes = nodes[source].output_shape, nodes[target].input_shape
    for projection in projections(weight, delay, *shapes, where=where):
        name = f"{where}.{projection.port}.{projection.delay_steps}"
        nodes[name] = projection.synapses
        edges.append(Edge(source, name, delay_steps=projection.delay_steps))
        edges.append(Edge(name, target, projection.port))


def _slots(mapping: Mapping[str, Any], name: str) -> Array:
    """Of each neuron, how many slots the ring buffers of its core have [n].

    A delay field of 0 is a whole turn: the slot of this step has been used and cleared when its spikes arrive.
    """
    slots = np.zeros(int(entry(mapping, f"slices__{name}").max()) + 1, np.int64)
    for (first, last), log in zip(
        entry(mapping, f"slices__{name}"), entry(mapping, f"log_max_delay__{name}"), strict=True
    ):
        slots[first : last + 1] = 1 << int(log)
    return slots
