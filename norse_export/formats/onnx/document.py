"""A graph <-> its description as JSON, which stands in the metadata of a model and names its initializers.

The description says what the ONNX nodes compute; a reader makes these of it anew, and takes it only where they are the
same (read.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export.errors import locating
from norse_export.formats.fixed_codec import decode_fixed, encode_fixed
from norse_export.formats.graph_file import Form
from norse_export.formats.node_codec import corrupt, decode_node, encode_node
from norse_export.ir.arrays import compact, few
from norse_export.ir.fixed import FixedInput, Population, SparseSynapses
from norse_export.ir.graph import Graph
from norse_export.ir.layers import Conv, Linear
from norse_export.ir.rasters import model_dtype
from norse_export.ir.stages import DiscreteNode, FixedNode, Neuron
from norse_export.program.families import Rule, family
from norse_export.program.forms import form_of

Array = NDArray[Any]
Arrays = dict[str, Array]
FORMAT = 2
_MAX_TOLD = 4096  # numbers of a tensor in the description
_TOLD = ("float64", "float32", "int64", "int32", "int16", "int8")
_SUFFIX = {"parameters": "", "initial_state": ".initial"}


def computed(graph: Graph[DiscreteNode]) -> Graph[DiscreteNode]:
    """The graph with all that a model holds, and no more: neurons of one float type; nothing of what was folded in."""
    dtype = model_dtype(graph)

    def one(_: str, node: DiscreteNode) -> DiscreteNode:
        if isinstance(node, Neuron):
            parameters, initial = (
                {name: _as(value, dtype) for name, value in values.items()}
                for values in (node.parameters, node.initial_state)
            )
            return replace(node, parameters=parameters, initial_state=initial)
        return replace(node, folded=None) if isinstance(node, Linear | Conv) and node.folded is not None else node

    return graph.map(one)


def _as(value: Array, dtype: str) -> Array:
    return np.broadcast_to(compact(value).astype(dtype, copy=False), value.shape)


def _encode(node: DiscreteNode, key: str, arrays: Arrays) -> dict[str, Any]:
    if not isinstance(node, Neuron):
        return encode_node(node, key, arrays)
    form = form_of(node.family)
    if form is None:
        raise TypeError(f"{node.family.name} is no family of the table")
    encoded: dict[str, Any] = {
        "type": "Neuron",
        "family": form.dynamics,
        "recurrent": form.recurrent,
        "gain": form.gain,
        "rule": asdict(form.rule),
        "shape": list(node.shape),
        "dt": node.dt,
    }
    for kind, values in (("parameters", node.parameters), ("initial_state", node.initial_state)):
        encoded[kind] = {name: {"tensor": f"{key}.{name}{_SUFFIX[kind]}"} for name in values}
        arrays |= {
            f"{key}.{name}{_SUFFIX[kind]}": value if name in node.family.matrices else few(value)
            for name, value in values.items()
        }
    return encoded


def _decode(name: str, encoded: Any, arrays: Mapping[str, Array], where: str) -> DiscreteNode:
    if not isinstance(encoded, dict) or encoded.get("type") != "Neuron":
        node = decode_node(name, encoded, arrays, where)
        if isinstance(node, DiscreteNode):
            return node
        raise corrupt(f"node {name!r} has a type of another graph", where)
    try:
        made = family(
            encoded["family"],
            recurrent=encoded["recurrent"] is True,
            gain=encoded["gain"] is True,
            rule=Rule(**encoded["rule"]),
        )
    except (KeyError, TypeError, ValueError):
        raise corrupt(f"node {name!r} is of no known family", where) from None
    parameters, state = (
        {key: arrays[value["tensor"]] for key, value in encoded[kind].items()}
        for kind in ("parameters", "initial_state")
    )
    with locating(name):
        shape, dt = tuple(encoded["shape"]), encoded["dt"]
        return Neuron(family=made, shape=shape, parameters=parameters, initial_state=state, dt=dt)


_PARSER, _FIX = "norse_export.formats.onnx.parse:parse", "export the model again"
FORM: Form[DiscreteNode] = Form("graph", FORMAT, "graph", _PARSER, _FIX, _encode, _decode)
FIXED: Form[FixedNode] = Form("graph", FORMAT, "fixed graph", _PARSER, _FIX, encode_fixed, decode_fixed)


def described(graph: Graph[Any], tensors: Mapping[tuple[str, str], str]) -> tuple[dict[str, Any], Arrays]:
    """The description of a graph, tensors named as the initializers are; and large ones that no step holds, by name.

    tensors: initializers by node and field. Small ones that no step holds stand in the description (`beside`).
    """
    nodes = list(graph.nodes.items())
    fixed = is_fixed(graph)
    arrays: Arrays = {}
    encoded = (FIXED if fixed else FORM).encode_graph(graph, arrays)
    known, others = dict[str, str](), Arrays()
    for key, value in arrays.items():
        _, number, *field = key.split(".")
        name, node = nodes[int(number)]
        found = tensors.get((name, _field(node, field)))
        known[key] = key if found is None else found
        others |= {key: value} if found is None else {}
    told = {
        key: {"dtype": value.dtype.name, "shape": list(value.shape), "values": value.reshape(-1).tolist()}
        for key, value in others.items()
        if value.size <= _MAX_TOLD
    }
    large = {key: value for key, value in others.items() if key not in told}
    return {"format": FORMAT, "fixed": fixed, "graph": _renamed(encoded, known), "beside": told}, large


def beside(document: Mapping[str, Any]) -> Arrays:
    """The tensors that stand in a description.

    Raises:
        KeyError, TypeError, ValueError, AttributeError: it is damaged.
    """
    found = Arrays()
    for key, told in document["beside"].items():
        if told["dtype"] not in _TOLD or len(told["values"]) > _MAX_TOLD:
            raise ValueError(f"no tensor of a description: {key[:40]!r}")
        found[key] = np.array(told["values"], told["dtype"]).reshape(told["shape"])
    return found


def is_fixed(graph: Graph[Any]) -> bool:
    """Whether a graph is one of whole numbers."""
    return any(isinstance(node, FixedInput | Population) for node in graph.nodes.values())


def _field(node: Any, field: Sequence[str]) -> str:
    """The field of an initializer, for that of a tensor in a description."""
    if isinstance(node, Population) and field[0] == "parameters":
        return f"parameters.{list(node.parameters)[int(field[1])]}"
    if isinstance(node, Population) and field[0] == "initial_state":
        return f"{list(node.initial_state)[int(field[1])]}.initial"
    return "" if isinstance(node, SparseSynapses) and field[0] == "targets" else ".".join(field)


def _renamed(encoded: Any, known: Mapping[str, str]) -> Any:
    """A description, its tensors by other names."""
    if isinstance(encoded, list):
        return [_renamed(one, known) for one in encoded]
    if not isinstance(encoded, dict):
        return encoded
    if set(encoded) == {"tensor"}:
        return {"tensor": known[encoded["tensor"]]}
    return {key: _renamed(value, known) for key, value in encoded.items()}
