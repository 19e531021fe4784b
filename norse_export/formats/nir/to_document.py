"""Continuous graph -> NIR document: NIR's physics exactly, and in metadata what NIR has no field for."""

from __future__ import annotations

import json
from collections.abc import Container, Mapping
from typing import Any

import numpy as np

from norse_export.errors import UnsupportedError
from norse_export.ir.arrays import FloatArray
from norse_export.ir.graph import Graph, Shape
from norse_export.ir.layers import Conv, Flatten, Input, Linear, Output, Pool, Scale, Sum
from norse_export.ir.neurons import IF, CubaLIF, NeuronModel
from norse_export.ir.shaping import Elementwise, Pad, Slice
from norse_export.ir.stages import ContinuousNode

from .conv_form import written_form
from .document import NIRDocument, NIRNode, Value
from .foreign import FOREIGN_KEY, Foreign
from .gains import UNIT_W_IN, coefficient, unit_rate, unit_w_in
from .notes import FORMAT, LOOP_DELAY_STEPS, graph_rules, node_rules, packed_array, prefixed
from .unsupported import unsupported

# What a file of ours says of NIR's version: that whose fields it has, not that which is installed.
NIR_VERSION = "1.0.8"

Fields = dict[str, Value]
Notes = dict[str, Any]
_AllButConv = Input | Output | Sum | Scale | Linear | Pool | Flatten | NeuronModel
_Unwritten = Elementwise | Slice | Pad


def document_of_graph(graph: Graph[ContinuousNode]) -> NIRDocument:
    """Give the graph as a NIR document; `graph_of_document` makes an equal graph of it.

    Raises:
        UnsupportedError: NIR cannot express something in the graph; all findings are listed.
    """
    if findings := unsupported(graph):
        raise UnsupportedError.of(findings)
    foreign = Foreign.unpacked(graph.metadata.get(FOREIGN_KEY))
    rules = graph_rules(node for node in graph.nodes.values() if isinstance(node, NeuronModel))
    nodes: dict[str, NIRNode] = {}
    sent_by: dict[str, str] = {}  # node of the graph -> node of the document that sends its output
    edges: list[tuple[str, str]] = []
    for index, (name, node) in enumerate(graph.nodes.items()):
        sent_by[name] = name
        if isinstance(node, Conv):
            kind, fields, notes, crop = _conv(node)
            if crop is not None:
                sent_by[name] = _free(f"{name}.crop", graph.nodes, nodes)
                nodes[sent_by[name]] = NIRNode(*conv_fields(crop), prefixed({"role": "crop"}))
                edges.append((name, sent_by[name]))
        else:
            kind, fields, notes = _node(node)
            if isinstance(node, NeuronModel):
                notes |= node_rules(node, rules)
        notes["index"] = index
        nodes[name] = NIRNode(kind, fields, {**foreign.nodes.get(name, {}), **prefixed(notes)})
    edges += [(sent_by[edge.source], edge.target) for edge in graph.edges]
    return NIRDocument(NIR_VERSION, nodes, tuple(edges), {**foreign.graph, **prefixed(_graph_notes(graph, rules))})


def conv_fields(conv: Conv) -> tuple[str, Fields]:
    """Give a convolution, as it is, as NIR's type and fields. NIR needs a bias; where there is none it is 0."""
    bias = np.zeros(conv.weight.shape[0], conv.weight.dtype) if conv.bias is None else conv.bias
    window = {"input_shape": conv.size, "stride": conv.stride, "padding": conv.padding, "dilation": conv.dilation}
    fields: Fields = {"weight": conv.weight, "bias": bias, "groups": conv.groups}
    if len(conv.size) == 1:
        return "Conv1d", fields | {name: values[0] for name, values in window.items()}
    return "Conv2d", fields | {name: _sizes(values) for name, values in window.items()}


def _graph_notes(graph: Graph[ContinuousNode], rules: Mapping[str, str]) -> Notes:
    ours = {key: value for key, value in graph.metadata.items() if key != FOREIGN_KEY}
    return {
        "format": FORMAT,
        **rules,
        "loop_delay_steps": LOOP_DELAY_STEPS,
        "edges": _json([[edge.source, edge.target, edge.port, edge.delay_steps] for edge in graph.edges]),
        "metadata": _json(ours) if ours else None,
    }


def _conv(node: Conv) -> tuple[str, Fields, Notes, Conv | None]:
    """NIR's type, its fields, our notes, and the crop that has to follow."""
    written = written_form(node)
    original = None if written.original is None else _json(written.original)
    bias = "none" if node.bias is None else None
    return *conv_fields(written.conv), {"folded": node.folded, "bias": bias, "original": original}, written.crop


def _node(node: _AllButConv | _Unwritten) -> tuple[str, Fields, Notes]:
    """NIR's type, its fields, and our notes."""
    match node:
        case Elementwise() | Slice() | Pad():
            raise UnsupportedError(f"{type(node).__name__} has no form in NIR", where="NIR", fix="leave it out")
        case NeuronModel():
            return node.kind.name, _physics(node), _neuron_notes(node)
        case Input():
            return "Input", {"shape": _sizes(node.shape)}, {"dtype": node.dtype}
        case Output():
            return "Output", {"shape": _sizes(node.shape)}, {}
        case Sum():
            return "Scale", {"scale": np.broadcast_to(np.float32(1), node.shape)}, {"role": "sum"}
        case Scale():
            return "Scale", {"scale": node.scale}, {}
        case Linear():
            if node.bias is None:
                return "Linear", {"weight": node.weight}, {"folded": node.folded}
            return "Affine", {"weight": node.weight, "bias": node.bias}, {"folded": node.folded}
        case Pool():
            window = {"kernel_size": node.kernel, "stride": node.stride, "padding": node.padding}
            kind = "SumPool2d" if node.kind == "sum" else "AvgPool2d"
            return kind, {name: _sizes(values) for name, values in window.items()}, {}
        case Flatten():
            first, last = node.axes
            axes: Fields = {"start_dim": first, "end_dim": -1 if last == len(node.shape) - 1 else last}
            notes = {"start": node.start, "end": node.end}
            return "Flatten", {"input_type": _sizes(node.shape), **axes}, notes


def _physics(node: NeuronModel) -> Fields:
    """The fields of NIR's neurons; where a gain follows from dt, its physical value."""
    taus = tuple(node.kind.rates.values())
    fields: Fields = {"tau" if len(taus) == 1 else name: node[name] for name in taus}
    if node.kind is IF:
        r = node.get("r")
        fields["r"] = np.broadcast_to(unit_rate(node.dt), node.shape) if r is None else r
    else:
        fields["r"] = node["r"]
    if "w_in" in node.kind.gains:
        fields["w_in"] = w_in_of(node)
    return fields | {_NIR_NAMES.get(name, name): node[name] for name in node.kind.levels}


_NIR_NAMES = {"v_th": "v_threshold"}


def w_in_of(node: NeuronModel) -> FloatArray:
    """NIR's w_in; of a population whose input is added as it is, tau_syn/dt."""
    w_in = node.get("w_in")
    return unit_w_in(node["tau_syn"], node.dt, node.scheme) if w_in is None else w_in


def _neuron_notes(node: NeuronModel) -> Notes:
    notes: Notes = {"dt": node.dt, "dtype": node.dtype}
    for name in node.kind.initial.values():
        notes |= packed_array(name, node[name], node.dtype)
    for name, tau_name in node.kind.rates.items():
        if not np.array_equal(node[name], coefficient(node[tau_name], node.dt, node.dtype, node.scheme)):
            notes |= packed_array(name, node[name], node.dtype)
    if "w_in" in node.kind.gains and node.get("w_in") is None:
        notes["w_in"] = UNIT_W_IN[node.scheme]
    if node.kind is IF and node.get("r") is None:
        notes["r"] = "1/dt"
    if node.recurrent or node.kind is CubaLIF:
        notes["recurrent"] = int(node.recurrent)
    return notes


def _sizes(values: Shape) -> Value:
    return np.array(values, np.int64)


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _free(name: str, *taken: Container[str]) -> str:
    while any(name in names for names in taken):
        name += "_"
    return name
