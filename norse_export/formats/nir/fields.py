"""Nodes of the continuous graph as NIR's primitives: type and fields, NIR's physics exactly."""

from __future__ import annotations

import numpy as np

from norse_export.errors import UnsupportedError
from norse_export.ir.arrays import FloatArray
from norse_export.ir.delay import Delay
from norse_export.ir.graph import Shape
from norse_export.ir.layers import Conv, Flatten, Input, Linear, Output, Pool, Scale, Sum
from norse_export.ir.neurons import IF, Integrator, NeuronModel, Threshold
from norse_export.ir.shaping import Elementwise, Pad, Reorder, Slice
from norse_export.ir.stages import ContinuousNode

from .document import Value
from .gains import unit_rate, unit_w_in

Fields = dict[str, Value]
Written = tuple[str, Fields]  # NIR's type, and its fields


def node_fields(node: ContinuousNode) -> Written:
    """Give a node as NIR's type and fields; a convolution as it is, also where `nir.read` would misjudge its sizes.

    Raises:
        UnsupportedError: NIR has no primitive for it.
    """
    match node:
        case Elementwise() | Slice() | Pad() | Reorder():
            raise UnsupportedError(f"{type(node).__name__} has no form in NIR", where="NIR", fix="leave it out")
        case NeuronModel():
            return node.kind.name, _physics(node)
        case Conv():
            return conv_fields(node)
        case Input() | Output():
            return type(node).__name__, {"shape": _sizes(node.shape)}
        case Sum():
            return "Scale", {"scale": np.broadcast_to(np.float32(1), node.shape)}
        case Scale():
            return "Scale", {"scale": node.scale}
        case Delay():
            return "Delay", {"delay": node.delay}
        case Linear():
            if node.bias is None:
                return "Linear", {"weight": node.weight}
            return "Affine", {"weight": node.weight, "bias": node.bias}
        case Pool():
            window = {"kernel_size": node.kernel, "stride": node.stride, "padding": node.padding}
            kind = "SumPool2d" if node.kind == "sum" else "AvgPool2d"
            return kind, {name: _sizes(values) for name, values in window.items()}
        case Flatten():
            first, last = node.axes
            axes: Fields = {"start_dim": first, "end_dim": -1 if last == len(node.shape) - 1 else last}
            return "Flatten", {"input_type": _sizes(node.shape), **axes}


def conv_fields(conv: Conv) -> tuple[str, Fields]:
    """Give a convolution, as it is, as NIR's type and fields. NIR needs a bias; where there is none it is 0."""
    bias = np.zeros(conv.weight.shape[0], conv.weight.dtype) if conv.bias is None else conv.bias
    window = {"input_shape": conv.size, "stride": conv.stride, "padding": conv.padding, "dilation": conv.dilation}
    fields: Fields = {"weight": conv.weight, "bias": bias, "groups": conv.groups}
    if len(conv.size) == 1:
        return "Conv1d", fields | {name: values[0] for name, values in window.items()}
    return "Conv2d", fields | {name: _sizes(values) for name, values in window.items()}


def _physics(node: NeuronModel) -> Fields:
    """The fields of NIR's neurons; where a gain follows from dt, its physical value."""
    taus = tuple(node.kind.rates.values())
    fields: Fields = {"tau" if len(taus) == 1 else name: node[name] for name in taus}
    if node.kind is Threshold:
        return {"threshold": node["v_th"]}
    if node.kind in (IF, Integrator):
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


def _sizes(values: Shape) -> Value:
    return np.array(values, np.int64)
