"""What was exported, from its files: the network that netx would load, under the user's names and in their units."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from norse_export.errors import InputFileError
from norse_export.files.limits import Limits
from norse_export.ir.fixed import FixedInput, Population, Synapses
from norse_export.ir.graph import Edge, Graph, Shape
from norse_export.ir.stages import FixedNode

from . import law
from .host import HostLayer, HostPart, read_host
from .lava_graph import INPUT, lava_graph
from .netx import load_net

NET, HOST = "model.net", "host.safetensors"
_FIX = "export the model again: the two files must come from one export"


def replayed_graph(folder: Path, limits: Limits) -> Graph[FixedNode]:
    """The fixed graph that the files of a folder stand for.

    Raises:
        ExportError: a file cannot be read; netx could not load the net; the two do not belong together.
    """
    part = read_host(folder / HOST, limits)
    net = load_net(folder / NET, limits)
    if len(net.layers) != len(part.layers):
        message = f"{NET} has {len(net.layers)} layers with neurons, {HOST} names {len(part.layers)}"
        raise InputFileError(message, where=str(folder), fix=_FIX)
    images = net.layers[0].forward.sort == "conv"
    shape = part.input_shape if images else (prod(part.input_shape),)
    loaded = lava_graph(net.layers, FixedInput(shape))
    return _named(loaded, part, str(folder))


def _named(loaded: Graph[FixedNode], part: HostPart, where: str) -> Graph[FixedNode]:
    names, shapes = {INPUT: part.input_name}, {INPUT: part.input_shape}
    for number, layer in enumerate(part.layers):
        own = str(number)
        names |= {own: layer.name, f"{own}.synapses": layer.synapses, f"{own}.recurrent": f"{layer.name} to itself"}
        shapes[own] = layer.shape
    nodes: dict[str, FixedNode] = {}
    for name, node in loaded.nodes.items():
        target = name.split(".")[0]
        match node:
            case Population():
                nodes[names[name]] = _population(node, part.layers[int(name)], where)
            case FixedInput():
                nodes[names[name]] = FixedInput(part.input_shape)
            case _:
                source = loaded.incoming(name)[0].source
                nodes[names[name]] = _shaped(node, shapes[source], shapes[target], where)
    edges = [Edge(names[e.source], names[e.target], e.port, e.delay_steps) for e in loaded.edges]
    return Graph({**nodes, **part.nodes}, (*edges, *part.edges), part.metadata)


def _population(node: Population, layer: HostLayer, where: str) -> Population:
    _check_cells(node.shape, layer.shape, where)
    return replace(
        node,
        program=(law.LAVA_READOUT if layer.readout else law.LAVA_LIF).trace(),
        shape=layer.shape,
        parameters={name: value.reshape(layer.shape) for name, value in node.parameters.items()},
        initial_state={name: value.reshape(layer.shape) for name, value in node.initial_state.items()},
        dt=layer.dt,
        unit={name: np.broadcast_to(np.float64(unit), layer.shape) for name, unit in layer.units.items()},
    )


def _shaped(node: FixedNode, source: Shape, target: Shape, where: str) -> Any:
    if not isinstance(node, Synapses):
        raise InputFileError("a layer that is none of a .net file", where=where, fix=_FIX)
    _check_cells(node.input_shape, source, where)
    _check_cells(node.output_shape, target, where)
    return replace(node, input_shape=source, output_shape=target)


def _check_cells(found: Shape, told: Shape, where: str) -> None:
    if prod(found) != prod(told):
        message = f"{NET} has a layer of shape {found}, {HOST} one of {told}"
        raise InputFileError(message, where=where, fix=_FIX)
