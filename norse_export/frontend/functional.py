"""Functions and operators on traced tensors, one rule for each name; what has no rule is refused by operations.py.

A rule gives the value of the result, a list of them where the function gives several tensors, or None where it does not
know this use of the function.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from norse_export.frontend.builder import Value
from norse_export.frontend.leaf import pair
from norse_export.frontend.recording import Recording
from norse_export.ir.layers import Conv, Layer, Linear, Pool, Scale, Sum
from norse_export.ir.shaping import Elementwise, Pad, Slice

Array = NDArray[Any]
_EVAL = "call model.eval() before saving: a trained model is exported as it is used, not as it is trained"


@dataclass(frozen=True, slots=True)
class Operation:
    """One call of a function with traced tensors among its arguments. name: of the node that it becomes."""

    recording: Recording
    function: str
    name: str
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    result: Any

    def value(self, argument: Any) -> Value | None:
        """What an argument stands for; None for a constant."""
        return self.recording.value(argument) if isinstance(argument, torch.Tensor) else None

    def features(self, tensor: Any, value: Value) -> tuple[int, ...]:
        """Feature shape of a traced tensor."""
        return tuple(tensor.shape[value.lead :])

    def first(self) -> tuple[Any, Value] | None:
        """The first argument and what it stands for; None where that is not traced."""
        value = self.value(self.args[0]) if self.args else None
        return None if value is None else (self.args[0], value)

    def add(
        self, make: Callable[[], Layer], *values: Value, ports: tuple[str, ...] = ("x",), suffix: str = ""
    ) -> Value:
        """A node fed by the values, in this order."""
        builder = self.recording.builder
        name = builder.unique(f"{self.name}{suffix}")
        sources = zip(values, ports if len(ports) == len(values) else ports * len(values), strict=True)
        return builder.add(name, make, values[0].lead, *sources)

    def given(self, *names: str) -> dict[str, Any] | None:
        """The arguments behind the first by their names; None where there are others."""
        found = dict(zip(names, self.args[1:], strict=False)) | self.kwargs
        return None if len(self.args) > len(names) + 1 or set(found) - set(names) else found


Rule = Callable[[Operation], Value | list[Value] | None]


def rule_of(function: str) -> Rule | None:
    """The rule of a function, by the name under which torch calls it."""
    return _RULES.get(function)


def _constant(op: Operation, constant: Any, like: Any, value: Value) -> Array | None:
    """A number or a tensor that is not traced, as one value for each feature of `like`; None where it is neither."""
    dtype, features = str(like.dtype).removeprefix("torch."), op.features(like, value)
    if isinstance(constant, bool) or not isinstance(constant, int | float | torch.Tensor):
        return None
    if not isinstance(constant, torch.Tensor):
        return np.full(features, constant, dtype)
    array = constant.detach().cpu().numpy()
    while array.ndim > len(features) and array.shape[0] == 1:
        array = array[0]
    if array.ndim > len(features) or not np.can_cast(array.dtype, dtype, "same_kind"):
        return None
    try:
        return np.broadcast_to(array.astype(dtype), features)
    except ValueError:
        return None


def _two(op: Operation) -> tuple[Any, Any] | None:
    """The operands of a binary operation; None where it has further arguments."""
    given = op.given("other")
    return None if given is None or "other" not in given or not op.args else (op.args[0], given["other"])


def _scaled(op: Operation, value: Value, factor: Array) -> Value:
    return op.add(lambda: Scale(factor), value)


def _function(op: Operation, function: str, value: Value, like: Any, **parameters: Array) -> Value:
    shape = op.features(like, value)
    return op.add(lambda: Elementwise(function, shape, parameters), value)


def _joined(op: Operation, function: str, a: Any, b: Any) -> Value | None:
    """A function of two traced values of one shape."""
    one, other = op.value(a), op.value(b)
    if one is None or other is None or one.lead != other.lead or tuple(a.shape) != tuple(b.shape):
        return None
    if one.node == other.node:  # one edge for each pair of nodes and ports; a product with itself is a square
        return (
            None
            if function != "product"
            else op.add(lambda: Elementwise("product", op.features(a, one), {}), one, other, ports=("x", "y"))
        )
    return op.add(lambda: Elementwise(function, op.features(a, one), {}), one, other, ports=("x", "y"))


def _with_constant(op: Operation, use: Callable[[Value, Any, Array, bool], Value | None]) -> Value | None:
    """A traced value and a constant. use: of (value, tensor, constant, whether the constant stands first)."""
    operands = _two(op)
    if operands is None:
        return None
    for (tensor, constant), first in ((operands, False), (operands[::-1], True)):
        value = op.value(tensor)
        if value is not None and op.value(constant) is None:
            array = _constant(op, constant, tensor, value)
            return None if array is None else use(value, tensor, array, first)
    return None


def _multiply(op: Operation) -> Value | None:
    operands = _two(op)
    if operands is not None and all(op.value(operand) is not None for operand in operands):
        return _joined(op, "product", *operands)
    return _with_constant(op, lambda value, tensor, constant, _: _scaled(op, value, constant))


def _divide(op: Operation) -> Value | None:
    def use(value: Value, tensor: Any, constant: Array, first: bool) -> Value | None:
        return None if first else _function(op, "quotient", value, tensor, divisor=constant)

    return _with_constant(op, use)


def _offset(op: Operation) -> Value | None:
    return _with_constant(op, lambda value, tensor, c, _: _function(op, "offset", value, tensor, offset=c))


def _subtract(op: Operation) -> Value | None:
    """x - c is x + (-c), and c - x is (-x) + c, exactly."""
    operands = _two(op)
    if operands is not None and all(op.value(operand) is not None for operand in operands):
        return _joined(op, "difference", *operands)

    def use(value: Value, tensor: Any, constant: Array, first: bool) -> Value | None:
        if not first:
            return _function(op, "offset", value, tensor, offset=-constant)
        minus = op.add(lambda: Scale(-np.ones_like(constant)), value, suffix=".minus")
        return _function(op, "offset", minus, tensor, offset=constant)

    return _with_constant(op, use)


def _reverse_subtract(op: Operation) -> Value | None:
    """tensor.__rsub__(c) is c - tensor."""
    return _subtract(Operation(op.recording, op.function, op.name, op.args[::-1], op.kwargs, op.result))


def _negative(op: Operation) -> Value | None:
    value = op.value(op.args[0])
    if value is None or op.given() is None:
        return None
    dtype = str(op.args[0].dtype).removeprefix("torch.")
    return _scaled(op, value, np.full(op.features(op.args[0], value), -1, dtype))


def _relu(op: Operation) -> Value | None:
    given, found = op.given("inplace"), op.first()
    if found is None or given is None or given.get("inplace"):
        return None
    return _function(op, "relu", found[1], found[0])


def _dropout(op: Operation) -> Value | None:
    given, found = op.given("p", "training", "inplace"), op.first()
    if found is None or given is None:
        return None
    value = found[1]
    if given.get("training", True) and given.get("p", 0.5) != 0:
        message = f"{op.function} in training mode is random"
        op.recording.builder.refuse("training", op.name, message, f"{_EVAL}, and pass training=self.training")
        return Value(None, value.lead)
    return value


def _pool(op: Operation, kind: str, *names: str) -> Value | None:
    given, found = op.given("kernel_size", "stride", "padding", *names), op.first()
    if given is None or found is None or found[1].lead != 1 or found[0].ndim != 4:
        return None
    x, value = found
    plain = {"dilation": 1, "ceil_mode": False, "return_indices": False, "divisor_override": None}
    if any(given.get(name, default) not in (default, (default, default)) for name, default in plain.items()):
        return None
    kernel, padding = pair(given["kernel_size"], 2), pair(given.get("padding", 0), 2)
    stride = given.get("stride") or kernel
    if kind == "avg" and not given.get("count_include_pad", True) and any(padding):
        return None
    shape = op.features(x, value)
    return op.add(lambda: Pool(kind, shape, kernel, pair(stride, 2), padding), value)  # type: ignore[arg-type]  # literal


def _max_pool(op: Operation) -> Value | None:
    return _pool(op, "max", "dilation", "ceil_mode", "return_indices")


def _avg_pool(op: Operation) -> Value | None:
    return _pool(op, "avg", "ceil_mode", "count_include_pad", "divisor_override")


def _weight(op: Operation, tensor: Any) -> Array | None:
    """A tensor of weights that is not traced."""
    if tensor is None or op.value(tensor) is not None or not isinstance(tensor, torch.Tensor):
        return None
    return op.recording.weights.array(tensor)


def _linear(op: Operation) -> Value | None:
    given, found = op.given("weight", "bias"), op.first()
    if given is None or found is None or len(op.features(*found)) != 1:
        return None
    value = found[1]
    weight, bias = _weight(op, given.get("weight")), _weight(op, given.get("bias"))
    if weight is None or (bias is None) != (given.get("bias") is None):
        return None
    return op.add(lambda: Linear(weight, bias), value)


def _conv(op: Operation) -> Value | None:
    names = ("weight", "bias", "stride", "padding", "dilation", "groups")
    given, found = op.given(*names), op.first()
    if given is None or found is None or found[1].lead != 1 or isinstance(given.get("padding", 0), str):
        return None
    x, value = found
    weight, bias = _weight(op, given.get("weight")), _weight(op, given.get("bias"))
    features, axes = op.features(x, value), len(x.shape) - 2
    if weight is None or (bias is None) != (given.get("bias") is None) or weight.ndim != axes + 2:
        return None
    stride, padding, dilation = (
        pair(given.get(name, plain), axes) for name, plain in (("stride", 1), ("padding", 0), ("dilation", 1))
    )
    groups = int(given.get("groups", 1))
    return op.add(lambda: Conv(weight, features[1:], bias, stride, padding, dilation, groups), value)


def _cat(op: Operation) -> Value | None:
    """Parts joined along a feature axis: a sum of the parts among zeros."""
    given = op.given("dim")
    if given is None or not op.args or not isinstance(op.args[0], tuple | list):
        return None
    parts, values = op.args[0], [op.value(part) for part in op.args[0]]
    known = [value for value in values if value is not None]
    dim = given.get("dim", 0)
    if len(known) < len(values) or len({value.lead for value in known}) != 1 or not isinstance(dim, int):
        return None
    lead, rank = known[0].lead, parts[0].ndim
    axis = dim % rank - lead
    if axis < 0 or len({value.node for value in known}) < len(known):
        return None
    whole, start, padded = int(op.result.shape[axis + lead]), 0, []
    for number, (part, value) in enumerate(zip(parts, known, strict=True)):
        shape = op.features(part, value)
        before, after = [0] * len(shape), [0] * len(shape)
        before[axis], after[axis] = start, whole - start - shape[axis]
        start += shape[axis]
        node = Pad(shape, tuple(before), tuple(after))
        padded.append(op.add(lambda node=node: node, value, suffix=f".{number}"))  # type: ignore[misc]  # a default
    if len(padded) == 1:
        return known[0]
    features = op.features(op.result, known[0])
    return op.add(lambda: Sum(features), *padded)


def _stack(op: Operation) -> Value | None:
    """Parts stacked along a new first axis, which only a sum over that axis can follow."""
    given = op.given("dim")
    if given is None or given.get("dim", 0) != 0 or not op.args or not isinstance(op.args[0], tuple | list):
        return None
    values = [op.value(part) for part in op.args[0]]
    known = tuple(value for value in values if value is not None)
    if len(known) < len(values) or len({value.node for value in known}) < len(known):
        return None
    op.recording.stacks[id(op.result)] = known
    return Value(None, 0)


def _sum(op: Operation) -> Value | None:
    """torch.stack((a, b)).sum(0): an addition."""
    parts = op.recording.stacks.get(id(op.args[0])) if op.args else None
    given = op.given("dim", "keepdim")
    if parts is None or given is None or given.get("dim") not in (0, (0,), [0]) or given.get("keepdim"):
        return None
    features = op.features(op.result, parts[0])
    return op.add(lambda: Sum(features), *parts)


def _slice(op: Operation, x: Any, value: Value, axis: int, start: int, stop: int, step: int = 1) -> Value:
    shape = op.features(x, value)
    starts, stops, steps = [0] * len(shape), list(shape), [1] * len(shape)
    starts[axis], stops[axis], steps[axis] = start, stop, step
    return op.add(lambda: Slice(shape, tuple(starts), tuple(stops), tuple(steps)), value)


def _narrow(op: Operation) -> Value | None:
    names = ("dim", "start", "length")
    given, found = op.given(*names), op.first()
    if given is None or found is None or not all(isinstance(given.get(name), int) for name in names):
        return None
    x, value = found
    axis = given["dim"] % x.ndim - value.lead
    return None if axis < 0 else _slice(op, x, value, axis, given["start"], given["start"] + given["length"])


def _parts(op: Operation) -> list[Value] | None:
    """torch.split and torch.chunk along a feature axis."""
    found = op.first()
    if found is None:
        return None
    x, value = found
    dim = op.kwargs.get("dim", op.args[2] if len(op.args) > 2 else 0)
    axis = dim % x.ndim - value.lead if isinstance(dim, int) else -1
    if axis < 0 or not value.lead:
        return None
    parts, start = [], 0
    for part in op.result:
        length = int(part.shape[axis + value.lead])
        parts.append(_slice(op, x, value, axis, start, start + length))
        start += length
    return parts


def _index(op: Operation) -> Value | None:
    """x[:, 3:7]: ranges of features, all of time and batch. An index that drops an axis is not one."""
    x, index = op.args
    value = op.value(x)
    if value is None or not value.lead:
        return None
    index = index if isinstance(index, tuple) else (index,)
    if Ellipsis in [i for i in index if i is Ellipsis]:
        at = next(n for n, i in enumerate(index) if i is Ellipsis)
        index = (*index[:at], *[slice(None)] * (x.ndim - len(index) + 1), *index[at + 1 :])
    if not all(isinstance(i, slice) for i in index) or len(index) > x.ndim:
        return None
    ranges = [i.indices(n) for i, n in zip((*index, *[slice(None)] * (x.ndim - len(index))), x.shape, strict=True)]
    whole = [(0, n, 1) == r for r, n in zip(ranges, x.shape, strict=True)]
    if not all(whole[: value.lead]) or any(step < 1 for *_, step in ranges):
        return None
    if all(whole):
        return value
    shape = op.features(x, value)
    starts, stops, steps = (tuple(r[k] for r in ranges[value.lead :]) for k in range(3))
    return op.add(lambda: Slice(shape, starts, stops, steps), value)


_RULES: dict[str, Rule] = {
    **dict.fromkeys(("mul", "__mul__", "__rmul__", "multiply"), _multiply),
    **dict.fromkeys(("div", "__truediv__", "true_divide", "divide"), _divide),
    **dict.fromkeys(("add", "__add__", "__radd__"), _offset),
    **dict.fromkeys(("sub", "__sub__", "subtract"), _subtract),
    **dict.fromkeys(("__rsub__", "rsub"), _reverse_subtract),
    **dict.fromkeys(("neg", "__neg__", "negative"), _negative),
    "relu": _relu,
    **dict.fromkeys(("dropout", "dropout2d", "feature_dropout"), _dropout),
    **dict.fromkeys(("max_pool2d", "_max_pool2d", "boolean_dispatch"), _max_pool),
    "avg_pool2d": _avg_pool,
    "linear": _linear,
    **dict.fromkeys(("conv1d", "conv2d"), _conv),
    **dict.fromkeys(("cat", "concat", "concatenate"), _cat),
    "stack": _stack,
    "sum": _sum,
    "narrow": _narrow,
    **dict.fromkeys(("split", "chunk", "tensor_split"), _parts),
    "__getitem__": _index,
}
