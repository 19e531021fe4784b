"""NIR primitives without a state -> layers. What a node does not say of its sizes follows from what arrives at it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from norse_export.errors import GraphError, UnsupportedError
from norse_export.ir.arrays import FloatArray
from norse_export.ir.graph import Shape
from norse_export.ir.layers import Conv, Flatten, Input, Layer, Linear, Output, Pool, Scale, Sum

from .document import NIRNode, Value
from .notes import Notes
from .subgraphs import PORT

_AXES = {"Conv1d": 1, "Conv2d": 2}
_EXACT = 2**53  # float64 holds every integer up to here


def layer_of(node: NIRNode, notes: Notes, arriving: Shape | None) -> Layer:
    """Give a node as a layer. arriving: the shape of its input, None where it is not known.

    Raises:
        GraphError: impossible sizes, or sizes that nothing tells.
        UnsupportedError: a form of the primitive that cannot be run.
    """
    return _RULES[node.type](node, notes, arriving)


def numbers(value: Value, where: str) -> FloatArray:
    """Give an array of the file as float32 or float64: its own dtype, or one that holds all its values exactly.

    Raises:
        GraphError: integers beyond 2^53.
    """
    array = np.asarray(value)
    if array.dtype in (np.float32, np.float64):
        return array
    wide: FloatArray = array.astype(np.float32 if array.dtype == np.float16 else np.float64)
    if array.dtype.kind in "iu" and not -_EXACT <= int(array.min()) <= int(array.max()) <= _EXACT:
        message = "integers beyond 2^53, which no float64 holds exactly"
        raise GraphError(message, where=where, fix="give them as floats", kind="dtype")
    return wide


def sizes(node: NIRNode, field: str, axes: int) -> Shape:
    """Give integers of a field, one for each axis; a single one is meant for all."""
    given = tuple(int(k) for k in np.asarray(node.fields[field]).reshape(-1))
    return given * axes if len(given) == 1 else given


def _input(node: NIRNode, notes: Notes, _: Shape | None) -> Input:
    dtype: Any = notes.choice("dtype", "float32", "float64") or "float64"
    return Input(_shape(node), dtype)


def _output(node: NIRNode, _notes: Notes, _: Shape | None) -> Output:
    return Output(_shape(node))


def _port(node: NIRNode, _notes: Notes, _: Shape | None) -> Sum:
    return Sum(_shape(node))


def _shape(node: NIRNode) -> Shape:
    return sizes(node, "shape", 1)


def _linear(node: NIRNode, notes: Notes, _: Shape | None) -> Linear:
    weight = numbers(node.fields["weight"], notes.where)
    if weight.ndim != 2:
        message = f"{node.type} with a weight of shape {list(weight.shape)}: it acts on the last of several axes"
        raise UnsupportedError(message, where=notes.where, fix="flatten the signal first", kind="linear_axes")
    bias = numbers(node.fields["bias"], notes.where) if "bias" in node.fields else None
    return Linear(weight, bias, _folded(notes))


def _scale(node: NIRNode, notes: Notes, arriving: Shape | None) -> Scale | Sum:
    scale = numbers(node.fields["scale"], notes.where)
    if scale.shape == ():
        scale = np.broadcast_to(scale, _known(arriving, node, notes.where))
    if notes.choice("role", "sum", "crop") == "sum" and np.all(scale == 1):
        return Sum(scale.shape)
    return Scale(scale)


def _conv(node: NIRNode, notes: Notes, arriving: Shape | None) -> Conv:
    axes, where = _AXES[node.type], notes.where
    if arriving is None and "input_shape" in node.fields:
        size = sizes(node, "input_shape", axes)
    else:
        size = _known(arriving, node, where)[1:]
    weight, bias = numbers(node.fields["weight"], where), numbers(node.fields["bias"], where)
    if len(size) != axes:
        raise _rank(node, arriving, axes + 1, where)
    stride, dilation = sizes(node, "stride", axes), sizes(node, "dilation", axes)
    weight, padding, dilation = _padded(node, weight, stride, dilation, where)
    return Conv(
        weight=weight,
        size=size,
        bias=None if notes.choice("bias", "none") and not bias.any() else bias,
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=int(np.asarray(node.fields["groups"]).item()),
        folded=_folded(notes),
    )


def _padded(
    node: NIRNode, weight: FloatArray, stride: Shape, dilation: Shape, where: str
) -> tuple[FloatArray, Shape, Shape]:
    """Weight, padding and dilation with a padding in numbers, the same on both sides.

    "same" pads dilation * (kernel - 1) in all; where that is odd, one more behind than in front (as torch does), which
    is a tap of zero in front and the same padding on both sides.
    """
    padding, axes = node.fields["padding"], len(stride)
    if not isinstance(padding, str):
        return weight, sizes(node, "padding", axes), dilation
    if padding == "valid":
        return weight, (0,) * axes, dilation
    if any(s != 1 for s in stride):
        message = f"padding 'same' with stride {list(stride)} has no defined size"
        raise UnsupportedError(message, where=where, fix="give the padding in numbers", kind="conv_padding")
    made = []
    for axis, d in enumerate(dilation, start=2):
        reach = d * (weight.shape[axis] - 1)
        if reach % 2:
            weight, reach, d = _with_tap_in_front(weight, axis, d), reach + 1, 1
        made.append((reach // 2, d))
    return weight, tuple(p for p, _ in made), tuple(d for _, d in made)


def _with_tap_in_front(weight: FloatArray, axis: int, dilation: int) -> FloatArray:
    """The kernel with dilation 1, its taps apart instead, and a zero before the first one."""
    shape = list(weight.shape)
    shape[axis] = dilation * (shape[axis] - 1) + 2
    wide = np.zeros(shape, weight.dtype)
    wide[(*(slice(None),) * axis, slice(1, None, dilation))] = weight
    return wide


def _pool(node: NIRNode, notes: Notes, arriving: Shape | None) -> Pool:
    return Pool(
        kind="sum" if node.type == "SumPool2d" else "avg",
        shape=_known(arriving, node, notes.where),
        kernel=sizes(node, "kernel_size", 2),
        stride=sizes(node, "stride", 2),
        padding=sizes(node, "padding", 2),
    )


def _flatten(node: NIRNode, notes: Notes, arriving: Shape | None) -> Flatten:
    own = sizes(node, "input_type", 1) if "input_type" in node.fields else None
    shape = own or _known(arriving, node, notes.where)
    start, end = (int(np.asarray(node.fields.get(n, d)).item()) for n, d in (("start_dim", 1), ("end_dim", -1)))
    given = (notes.integer("start"), notes.integer("end"))
    if given[0] is not None and given[1] is not None:
        noted = Flatten(shape, given[0], given[1])
        if noted.axes == Flatten(shape, start, end).axes:
            return noted
    return Flatten(shape, start, end)


def _folded(notes: Notes) -> FloatArray | None:
    return notes.array("folded")


def _known(arriving: Shape | None, node: NIRNode, where: str) -> Shape:
    if arriving is None:
        message = f"the size of the input of this {node.type} is not known: nothing that leads to it tells it"
        raise GraphError(
            message, where=where, fix="connect it, through layers of known size, to an Input", kind="shape"
        )
    return arriving


def _rank(node: NIRNode, arriving: Shape | None, axes: int, where: str) -> GraphError:
    message = f"shape mismatch: {node.type} takes {axes} axes, {list(arriving or ())} arrives"
    return GraphError(message, where=where, fix="give [channels, ...], without a batch axis", kind="shape")


_RULES: Mapping[str, Callable[[NIRNode, Notes, Shape | None], Layer]] = {
    "Input": _input,
    "Output": _output,
    PORT: _port,
    "Linear": _linear,
    "Affine": _linear,
    "Scale": _scale,
    "Conv1d": _conv,
    "Conv2d": _conv,
    "SumPool2d": _pool,
    "AvgPool2d": _pool,
    "Flatten": _flatten,
}
LAYERS = frozenset(_RULES)
