"""What a function or operator on traced tensors stands for. One that is not understood becomes a finding."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import numpy as np
import torch
from torch.overrides import resolve_name

from norse_export.frontend.builder import Value
from norse_export.frontend.frameworks.table import loaded
from norse_export.frontend.functions.functional import Operation, rule_of
from norse_export.frontend.readouts import read_out, read_out_behind
from norse_export.frontend.recording import Recording
from norse_export.frontend.shown import show
from norse_export.frontend.time_loop import can_enter, entered, filled, taken_apart
from norse_export.frontend.time_rows import put_together, second_axis
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
_OPERATORS = frozenset({"__iadd__", "__isub__", "__imul__", "__itruediv__"})  # that change their first argument
_READS = frozenset({
    "__bool__", "is_nonzero", "item", "__float__", "__int__", "__index__", "__complex__", "tolist", "numpy",
    "__array__", "__dlpack__", "equal", "allclose", "__contains__", "__repr__", "__format__",
    "data_ptr", "storage", "untyped_storage",
})  # fmt: skip
_PARTS = frozenset({"__getitem__", "__iter__", "unbind", "select", "split", "chunk", "narrow", "tensor_split"})
_VIEWS = frozenset({"view", "reshape", "view_as", "reshape_as", "squeeze", "unsqueeze", "unflatten"})
_REORDERS = frozenset({"permute", "transpose", "t", "swapaxes", "swapdims", "movedim", "moveaxis", "T", "mT"})


def name_of(func: Callable[..., Any]) -> tuple[str, bool]:
    """Name of an operation, and whether it only reads a property."""
    name = getattr(func, "__name__", str(func))
    if name == "__get__":
        return str(getattr(getattr(func, "__self__", None), "__name__", resolve_name(func) or name)), True
    return name, False


def before(recording: Recording, name: str, args: tuple[Any, ...]) -> None:
    """Zeros that are about to be changed in place, in step 0, stand for what came before it."""
    if _in_place(name) and args and recording.is_silence(args[0]):
        recording.track(args[0], Value(None, 1, time=0, silent=True))


def only_looks(name: str, getter: bool) -> bool:
    """Whether an operation depends on the form of its tensors and not on what they hold."""
    return name in _GETTERS if getter else name in _LOOKS


def recorded(
    recording: Recording, func: Callable[..., Any], name: str, getter: bool, args: tuple[Any, ...],
    kwargs: dict[str, Any], traced: list[Any], result: Any,
) -> Value | list[Value]:  # fmt: skip
    """What the result of an operation on traced tensors stands for; what is not understood becomes a finding.

    A list: one value for each tensor of the result.
    """
    values = [recording.values[id(tensor)] for tensor in traced]
    first = bool(args) and args[0] is traced[0]
    if not getter and first and (name in _SAME or (name in _CASTS and _is_as_before(result, traced[0]))):
        return values[0]
    if not getter and (raster := show(recording, name, traced, result)) is not None:
        return raster
    if not getter and (timed := _of_steps(recording, func, name, args, kwargs)) is not None:
        return timed
    if not getter and name not in _READS and (read := read_out(recording, name, args, kwargs, traced)) is not None:
        return read
    if not can_enter(recording, values):
        if name not in _READS and (read := read_out_behind(recording, name, values)) is not None:
            return read
        entered(recording, values, f"{recording.where}, {user_line()}")
        return Value(None, 0)
    value = None
    if not getter and not any(v.state_of for v in values):
        value = _understood(recording, name, args, kwargs, traced, result)
    if isinstance(value, list):
        return value
    if value is None and name not in _READS:
        value = read_out_behind(recording, name, values)
    if value is None:
        state_of = next((v.state_of for v in values if v.state_of), "")
        _refuse(recording, name, values, state_of, args, kwargs)
        value = Value(None, values[0].lead, state_of)
    if _changes_in_place(name, args, kwargs, result):
        recording.track(result.clone(), value)  # a later step may change it again
    return still(value, tuple(traced[0].shape), tuple(getattr(result, "shape", ())))


def _of_steps(
    recording: Recording, func: Callable[..., Any], name: str, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Value | list[Value] | None:
    """What an operation gives that takes steps out of a raster, or puts steps together; None for any other."""
    if name == "__setitem__":
        return Value(None, 0) if len(args) == 3 and filled(recording, args) else None
    return taken_apart(recording, func, name, args, kwargs) or put_together(recording, name, args, kwargs)


def _understood(
    recording: Recording, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], traced: list[Any], result: Any
) -> Value | list[Value] | None:
    """The value of an operation that there is a rule for, used as the rule knows it."""
    first = bool(args) and args[0] is traced[0]
    known = [recording.values[id(tensor)] for tensor in traced]
    rule = rule_of(_plain(name))
    if name in _READS or (rule is None and name not in _ADD):
        return None
    if _changes_in_place(name, args, kwargs, result) and not (first and not recording.shares_memory(args[0])):
        return None
    stacked = name == "sum" and id(traced[0]) in recording.stacks
    if not stacked and any(value.node is None and not value.silent for value in known):  # said where it was found
        return Value(None, min(recording.values[id(tensor)].lead for tensor in traced))
    if name in _ADD and len(traced) == 2:
        return _added(recording, name, args, kwargs, traced)
    if name in _ADD and _adds_nothing(recording, args):
        return _sum_of(recording, known[0], tuple(traced[0].shape))
    if rule is None:
        return None
    node = joined(recording, name.strip("_"))
    kwargs = {key: value for key, value in kwargs.items() if key != "inplace"}
    return rule(Operation(recording, name.strip("_"), node, args, kwargs, result))


def _adds_nothing(recording: Recording, args: tuple[Any, ...]) -> bool:
    """Whether what is added is 0: a number, or zeros, as those that stand for what a step before step 0 sent."""
    if len(args) != 2:
        return False
    for other in args:
        if isinstance(other, torch.Tensor):
            if recording.value(other) is None and other.ndim > 1 and not bool(other.any()):
                return True
        elif type(other) in (int, float) and other == 0:
            return True
    return False


def _sum_of(recording: Recording, value: Value, shape: tuple[int, ...]) -> Value:
    """A sum of one value: the others are silent."""
    builder = recording.builder
    node, features = builder.unique(joined(recording, "add")), shape[value.lead :]
    return builder.add(node, lambda: Sum(features), value.lead, (value, "x"))


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
        return _sum_of(recording, other if one.silent else one, shape)
    if one.node is None or other.node is None:  # said where it was found
        return Value(None, min(one.lead, other.lead))
    if set(kwargs) - {"other"} or len(args) > 2 or shape != tuple(b.shape) or one.lead != other.lead:
        return None
    node, features = builder.unique(joined(recording, "add")), shape[one.lead :]
    one, other = builder.settled(one), builder.settled(other)
    if one.node == other.node and not builder.replaced & {one.number, other.number}:
        two = np.full(features, 2, str(a.dtype).removeprefix("torch."))
        return builder.add(node, lambda: Scale(two), one.lead, (one, "x"))
    return builder.add(node, lambda: Sum(features), one.lead, (one, "x"), (other, "x"))


def _refuse(
    recording: Recording, name: str, values: list[Value], state_of: str, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    builder, where = recording.builder, f"{recording.where}, {user_line()}"
    if name in _READS:
        message = f"data-dependent control flow: the values of a traced tensor are read by {name}"
        builder.findings[:] = [f for f in builder.findings if (f.kind, f.where) != ("operation", where)]
        builder.refuse("control_flow", where, message, "make the forward pass the same for every input")
    elif state_of:
        message = f"the operation {name} acts on the state of {state_of!r}"
        builder.refuse("state", where, message, "pass states on as they are; what a layer gives is its first result")
    elif name in _PARTS and values[0].lead == 2 and second_axis(name, args, kwargs):
        message = "the raster is taken apart along its second axis, which is that of the batch: a raster is [T, B, ...]"
        fix = "loop over x[t]; or over axis 1 of x.transpose(0, 1), in a model that takes its batch first"
        builder.refuse("time_loop", where, message, fix)
    elif name in _PARTS and values[0].lead == 2:
        message = f"{name} takes the raster apart: and what is done with the parts is not understood"
        builder.refuse("time_loop", where, message, _LOOP_FIX)
    elif _in_place(name) and rule_of(_plain(name)) is not None:
        message = f"{name} changes in place a tensor that another layer or a state also uses, or one of another shape"
        builder.refuse("in_place", where, message, "write x = x + y instead of x += y, with both of one shape")
    else:
        function = _library_function()
        words = f"the operation {name}" if function is None else f"the function {function}"
        why, fix = "", ASK
        if name in _ADD and function is None:
            why = ": it adds two traced values of one shape only"
        elif name in _VIEWS:
            why = " as it is used here: a view may change the axes of features, and nothing else"
            fix = "leave the axes of time and batch as they are: x.flatten(1), x.unsqueeze(-1)"
        elif name in _REORDERS:
            why = ": axes of features may be put in another order, and here those of time or batch are"
            fix = "leave the axes of time and batch where they are"
        elif function is not None and function.startswith("norse.torch.functional.encode."):
            fix = "use the encoder module of norse.torch as the first layer, or encode the input before the model"
        builder.refuse("operation", where, f"{words} is not understood{why}", fix)


def _in_place(name: str) -> bool:
    """Whether a name is that of an operation that changes its first argument."""
    return (name.endswith("_") and not name.endswith("__")) or (name.startswith("__i") and name in _OPERATORS)


def _plain(name: str) -> str:
    """The name of the operation that gives a new tensor."""
    return name.removesuffix("_") if name.endswith("_") and not name.endswith("__") else name


def _changes_in_place(name: str, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> bool:
    asked = kwargs.get("inplace") is True or any(argument is True for argument in args[1:])
    return _in_place(name) or (asked and bool(args) and result is args[0])


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
