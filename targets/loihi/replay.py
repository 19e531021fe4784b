"""What was exported, from its files: the network that netx would load, under the user's names and in their units.

A `.net` file by itself has neither: its layers are "0", "1" and so on, and a step has no length.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from norse_export.errors import ExportError, InputFileError
from norse_export.files.checked import open_input
from norse_export.files.child import parse_in_child
from norse_export.files.limits import Limits
from norse_export.ir.fixed import FixedInput, Population, Synapses
from norse_export.ir.graph import Edge, Graph, Shape
from norse_export.ir.layers import Output
from norse_export.ir.stages import FixedNode

from . import law
from .host import HostLayer, HostPart, read_host
from .lava_graph import INPUT, lava_graph
from .netx import LoadedNet, load_net

NET, HOST = "model.net", "host.safetensors"
OUTPUT = "output"
LAW = "lava (Loihi 2 as lava-nc 0.10.0 has it), of what lava-dl's netx loads from the file"
NO_DT = "not in the file: a step is counted as 1 s"
_FIX = "export the model again: the two files must come from one export"
_SNIFFER = "norse_export.targets.loihi.net_file:sniff"
_HDF5 = b"\x89HDF\r\n\x1a\n"
_SNIFFED_BYTES = 1 << 14  # of the start of a file: HDF5 keeps the names of the first group there


def is_net(path: Path) -> bool:
    """Whether a file is a `.net` file, told by its content; never raises."""
    with suppress(OSError, ExportError), open_input(path) as file:
        start = file.read(_SNIFFED_BYTES)
        if start.startswith(_HDF5) and b"layer" in start:
            file.seek(0)
            return bool(parse_in_child(_SNIFFER, file, name=str(path), limits=Limits()).document["net"])
    return False


def is_folder(path: Path) -> bool:
    """Whether a folder is what an export wrote, or a part of it; never raises."""
    with suppress(OSError):
        return any((path / name).is_file() for name in (NET, HOST))
    return False


def replayed_graph(path: Path, limits: Limits) -> Graph[FixedNode]:
    """The fixed graph that a folder, or a `.net` file by itself, stands for; its metadata have law and skew.

    Raises:
        ExportError: a file cannot be read; netx could not load the net; the files of a folder do not belong together.
    """
    if not path.is_dir():
        return _alone(load_net(path, limits), str(path))
    part = read_host(path / HOST, limits)
    net = load_net(path / NET, limits)
    if len(net.layers) != len(part.layers):
        message = f"{NET} has {len(net.layers)} layers with neurons, {HOST} names {len(part.layers)}"
        raise InputFileError(message, where=str(path), fix=_FIX)
    shape = part.input_shape if takes_images(net) else (prod(part.input_shape),)
    return _named(lava_graph(net.layers, FixedInput(shape)), part, str(path))


def takes_images(net: LoadedNet) -> bool:
    """Whether the net takes its input as images, (W, H, C), and not as a vector."""
    return net.layers[0].forward.sort == "conv"


def _alone(net: LoadedNet, where: str) -> Graph[FixedNode]:
    """The net with its own numbers for names; the last layer is the output."""
    if takes_images(net):
        if net.input_shape is None or len(net.input_shape) != 3:
            message = f"the file does not say how large its images are (input layer: {net.input_shape})"
            raise InputFileError(message, where=where, fix="write an input layer with the shape [C, H, W] before it")
        shape: Shape = net.input_shape
    else:
        shape = (net.layers[0].forward.weight.shape[1],)
    graph = lava_graph(net.layers, FixedInput(shape))
    last = net.layers[-1].name
    nodes: dict[str, FixedNode] = {**graph.nodes, OUTPUT: Output(graph.nodes[last].output_shape)}
    edges = (*graph.edges, Edge(last, OUTPUT))
    skew = {layer.name: number + 1 for number, layer in enumerate(net.layers)}
    told = {"law": LAW, "dt": NO_DT, "skew": json.dumps({**skew, OUTPUT: len(net.layers)})}
    return Graph(nodes, edges, told)


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
                names[name] = _synapses_name(names, name)
                nodes[names[name]] = _shaped(node, shapes[source], shapes[target], where)
    edges = [Edge(names[e.source], names[e.target], e.port, e.delay_steps) for e in loaded.edges]
    graph = Graph({**nodes, **part.nodes}, (*edges, *part.edges), part.metadata)
    return Graph(graph.nodes, graph.edges, {**part.metadata, "skew": json.dumps(skew_of(graph, part))})


def _synapses_name(names: Mapping[str, str], name: str) -> str:
    """The user's name of synapses, "block.sort" and perhaps what follows: a second array, a delay."""
    block, sort, *rest = name.split(".")
    own = names[f"{block}.{sort}"]
    return f"{own} ({', '.join(rest)})" if rest else own


def skew_of(graph: Graph[FixedNode], part: HostPart) -> Mapping[str, int]:
    """By how many steps what each layer and output sends is late: one for each layer of the net before it."""
    late = {layer.name: number + 1 for number, layer in enumerate(part.layers)}
    for name in graph.order:
        if name in part.nodes:
            late[name] = max((late.get(edge.source, 0) for edge in graph.incoming(name)), default=0)
    return late


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
