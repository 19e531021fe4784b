"""What a function or operator on traced tensors stands for. One that is not understood becomes a finding."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from math import prod
from types import FrameType
from typing import Any

import numpy as np
from torch.overrides import resolve_name

from norse_export.frontend.builder import Value
from norse_export.frontend.frameworks.table import loaded
from norse_export.frontend.frameworks.torch_nn import flatten
from norse_export.frontend.functions.functional import Operation, rule_of
from norse_export.frontend.recording import Recording
from norse_export.frontend.time_loop import entered, filled, start, taken_apart
from norse_export.ir.layers import Scale, Sum

ASK = "rebuild this part from the modules in the table of supported layers, or ask for the operation to be added"
_LOOP_FIX = (
    "use modules that take the whole raster (norse.torch.LIF, LI, IAF, LIFRecurrent, and Lift for layers), or let "
    "forward take one step and the state, and save with time='outside'"
)
# What looks at nothing but the form of a tensor, or makes a new one of that form.
_LOOKS = frozenset({
    "size", "dim", "ndimension", "numel", "nelement", "stride", "__len__", "is_contiguous", "is_floating_point",
    "is_complex", "is_inference", "get_device", "element_size", "zeros_like", "ones_like", "full_like", "empty_like",
    "new_zeros", "new_ones", "new_full", "new_empty", "new_tensor", "__hash__",
})  # fmt: skip
_GETTERS = frozenset({
    "shape", "ndim", "dtype", "device", "requires_grad", "is_sparse", "is_cuda", "is_quantized", "is_meta", "layout",
    "is_leaf", "names", "itemsize", "nbytes", "grad_fn",
})  # fmt: skip
_SAME = frozenset({"detach", "clone", "contiguous", "requires_grad_", "detach_"})
_CASTS = frozenset({"to", "float", "double", "type", "type_as", "cpu"})  # the same where the type stays
_ADD = frozenset({"add", "__add__", "__radd__", "__iadd__", "add_"})
_IN_PLACE = frozenset({"__iadd__", "add_"})
_READS = frozenset({
    "__bool__", "is_nonzero", "item", "__float__", "__int__", "__index__", "__complex__", "tolist", "numpy",
    "__array__", "__dlpack__", "equal", "allclose", "__contains__", "__repr__", "__format__",
    "data_ptr", "storage", "untyped_storage",
})  # fmt: skip
_PARTS = frozenset({"__getitem__", "__iter__", "unbind", "select", "split", "chunk", "narrow", "tensor_split"})
_JOINS = frozenset({"stack"})  # what ends a time loop
_VIEWS = frozenset({"view", "reshape"})
_RESHAPES = _VIEWS | frozenset({"view_as", "reshape_as", "squeeze", "unsqueeze", "unflatten"})


def name_of(func: Callable[..., Any]) -> tuple[str, bool]:
    """Name of an operation, and whether it only reads a property."""
    name = getattr(func, "__name__", str(func))
    if name == "__get__":
        return str(getattr(getattr(func, "__self__", None), "__name__", resolve_name(func) or name)), True
    return name, False


def only_looks(name: str, getter: bool) -> bool:
    """Whether an operation depends on the form of its tensors and not on what they hold."""
    return name in _GETTERS if getter else name in _LOOKS


def recorded(
    recording: Recording, name: str, getter: bool, args: tuple[Any, ...], kwargs: dict[str, Any], traced: list[Any],
    result: Any,
) -> Value | list[Value]:  # fmt: skip
    """What the result of an operation on traced tensors stands for; what is not understood becomes a finding.

    A list: one value for each tensor of the result.
    """
    values = [recording.values[id(tensor)] for tensor in traced]
    first = bool(args) and args[0] is traced[0]
    if not getter and first and (name in _SAME or (name in _CASTS and _is_as_before(result, traced[0]))):
        return values[0]
    if not getter and (steps := taken_apart(recording, name, args, kwargs)) is not None:
        start(recording, len(traced[0]))
        return [replace(values[0], lead=1, time=time) for time in steps]
    if name == "__setitem__" and len(args) == 3 and filled(recording, args):
        return Value(None, 0)
    if name in _JOINS and recording.loop is not None and (whole := _put_together(recording, args, kwargs)) is not None:
        return whole
    if not entered(recording, values, f"{recording.where}, {user_line()}"):
        return Value(None, values[0].lead)
    value = None
    if not getter and not any(v.state_of for v in values):
        value = _understood(recording, name, args, kwargs, traced, result)
    if isinstance(value, list):
        return value
    if value is None:
        state_of = next((v.state_of for v in values if v.state_of), "")
        _refuse(recording, name, values, state_of)
        value = Value(None, values[0].lead, state_of)
    return still(value, tuple(traced[0].shape), tuple(getattr(result, "shape", ())))


def _understood(
    recording: Recording, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], traced: list[Any], result: Any
) -> Value | list[Value] | None:
    """The value of an operation that there is a rule for, used as the rule knows it."""
    first = bool(args) and args[0] is traced[0]
    known = [recording.values[id(tensor)] for tensor in traced]
    rule = None if name.endswith("_") and not name.endswith("__") else rule_of(name)
    if name in _READS or (rule is None and name not in {*_ADD, *_VIEWS, "flatten"}):
        return None
    stacked = name == "sum" and id(traced[0]) in recording.stacks
    if not stacked and any(value.node is None and not value.silent for value in known):  # said where it was found
        return Value(None, min(recording.values[id(tensor)].lead for tensor in traced))
    if name in _ADD and len(traced) == 2:
        return _added(recording, name, args, kwargs, traced)
    if name == "flatten" and first:
        return _flattened(recording, args, kwargs, traced[0])
    if name in _VIEWS and first:
        return _viewed(recording, traced[0], result)
    if name in _ADD and (value := _before_the_first(recording, args, known[0])) is not None:
        return value
    if rule is None:
        return None
    node = joined(recording, name.strip("_"))
    return rule(Operation(recording, name, node, args, kwargs, result))


def _before_the_first(recording: Recording, args: tuple[Any, ...], value: Value) -> Value | None:
    """The value itself, where zeros are added to it that stand for what a step before step 0 would have sent."""
    others = [argument for argument in args if recording.is_silence(argument)]
    return value if len(args) == 2 and len(others) == 1 else None


def _put_together(recording: Recording, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Value | None:
    """torch.stack of what each step of a loop gave."""
    parts = args[0] if args else None
    dim = kwargs.get("dim", args[1] if len(args) > 1 else 0)
    if recording.loop is None or dim != 0 or not isinstance(parts, tuple | list):
        return None
    values = [recording.value(part) for part in parts]
    known = [value for value in values if value is not None]
    return recording.loop.whole(known) if len(known) == len(values) else None


def _is_as_before(result: Any, tensor: Any) -> bool:
    """Whether a cast changed nothing, or only told the type."""
    same = ("dtype", "device", "layout")
    return isinstance(result, str) or all(getattr(result, key) == getattr(tensor, key) for key in same)


def still(value: Value, before: tuple[int, ...], after: tuple[int, ...]) -> Value:
    """The value of something not understood keeps its axes only where the result has the leading axes of the input."""
    if value.node is None and value.lead and after[: value.lead] != before[: value.lead]:
        return Value(None, 0, value.state_of)
    return value


def _added(
    recording: Recording, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], traced: list[Any]
) -> Value | None:
    """A residual connection. A value that is added to itself is doubled, which is exact."""
    builder, (a, b) = recording.builder, traced
    one, other = recording.values[id(a)], recording.values[id(b)]
    shape = tuple(a.shape)
    if one.silent or other.silent:
        return other if one.silent else one
    if one.node is None or other.node is None:  # said where it was found
        return Value(None, min(one.lead, other.lead))
    if set(kwargs) - {"other"} or len(args) > 2 or shape != tuple(b.shape) or one.lead != other.lead:
        return None
    if name in _IN_PLACE and recording.shares_memory(a):
        return None
    node, features = builder.unique(joined(recording, "add")), shape[one.lead :]
    if one.node == other.node and not builder.replaced & {id(one), id(other)}:
        two = np.full(features, 2, str(a.dtype).removeprefix("torch."))
        return builder.add(node, lambda: Scale(two), one.lead, (one, "x"))
    return builder.add(node, lambda: Sum(features), one.lead, (one, "x"), (other, "x"))


def _flattened(recording: Recording, args: tuple[Any, ...], kwargs: dict[str, Any], tensor: Any) -> Value | None:
    axes = dict(zip(("start_dim", "end_dim"), args[1:], strict=False)) | kwargs
    start, end = axes.pop("start_dim", 0), axes.pop("end_dim", -1)
    value = recording.values[id(tensor)]
    if axes or len(args) > 3 or not (isinstance(start, int) and isinstance(end, int)) or not value.lead:
        return None
    name = recording.builder.unique(joined(recording, "flatten"))
    return flatten(name, value, tuple(tensor.shape), (start, end), recording.builder)


def _viewed(recording: Recording, tensor: Any, result: Any) -> Value | None:
    """A view that joins all features and leaves time and batch alone, as x.view(len(x), -1): a flatten."""
    value, shape = recording.values[id(tensor)], tuple(tensor.shape)
    flat = (*shape[: value.lead], prod(shape[value.lead :]))
    if not value.lead or len(shape) == value.lead or tuple(result.shape) != flat or result.dtype != tensor.dtype:
        return None
    name = recording.builder.unique(joined(recording, "flatten"))
    return flatten(name, value, shape, (value.lead, -1), recording.builder)


def _refuse(recording: Recording, name: str, values: list[Value], state_of: str) -> None:
    builder, where = recording.builder, f"{recording.where}, {user_line()}"
    if name in _READS:
        message = f"data-dependent control flow: the values of a traced tensor are read by {name}"
        builder.findings[:] = [f for f in builder.findings if (f.kind, f.where) != ("operation", where)]
        builder.refuse("control_flow", where, message, "make the forward pass the same for every input")
    elif state_of:
        message = f"the operation {name} acts on the state of {state_of!r}"
        builder.refuse("state", where, message, "pass states on as they are; what a layer gives is its first result")
    elif name in _PARTS and values[0].lead == 2:
        message = f"{name} takes the raster apart: and what is done with the parts is not understood"
        builder.refuse("time_loop", where, message, _LOOP_FIX)
    elif name in _IN_PLACE and len(values) == 2:
        message = f"{name} changes in place a tensor that another layer or a state also uses, or one of another shape"
        builder.refuse("in_place", where, message, "write x = x + y instead of x += y, with both of one shape")
    else:
        function = _library_function()
        words = f"the operation {name}" if function is None else f"the function {function}"
        only = ": it adds two traced values of one shape only" if name in _ADD and function is None else ""
        fix = "use torch.nn.Flatten or x.flatten(1), which keep the batch" if name in _RESHAPES else ASK
        builder.refuse("operation", where, f"{words} is not understood{only}", fix)


def joined(recording: Recording, name: str) -> str:
    """Name of an operation in the module that is running; at the root, which has no path, the name alone."""
    inner = recording.stack[-1] if recording.stack else recording.root
    return name if inner == recording.root else f"{inner}.{name}"


def user_line() -> str:
    """File and line of the user's code that made the call: the first frame outside the libraries."""
    frame = _user_frame()[0]
    return "unknown line" if frame is None else f"{frame.f_code.co_filename}:{frame.f_lineno}"


def _library_function() -> str | None:
    """The function of norse.torch.functional that the user's line calls, where there is one: it names more."""
    inner = _user_frame()[1]
    home = "" if inner is None else str(inner.f_globals.get("__name__", ""))
    return f"{home}.{inner.f_code.co_name}" if inner and home.startswith("norse.torch.functional") else None


def _user_frame() -> tuple[FrameType | None, FrameType | None]:
    """The first frame outside the libraries, and the frame of the library that it called."""
    inner: FrameType | None = None
    frame: FrameType | None = sys._getframe(1)
    libraries = {"torch", "norse_export", *(framework.package for framework in loaded())}
    while frame is not None:
        if frame.f_globals.get("__name__", "").split(".")[0] not in libraries:
            return frame, inner
        inner, frame = frame, frame.f_back
    return None, None
