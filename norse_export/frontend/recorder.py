"""Records one eager run of a torch model: known modules become nodes, everything else is looked at call by call.

An operation on a traced tensor that is not understood becomes a finding with its name, the module path and the user's
source line; nothing is skipped, replaced or dropped.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

import torch
from torch.overrides import TorchFunctionMode, resolve_name

from norse_export.frontend.builder import Builder, Value
from norse_export.frontend.leaf import Call, Rule
from norse_export.frontend.torch_nn import flatten
from norse_export.ir.layers import Sum

_ASK = "rebuild this part from the modules in the table of supported layers, or ask for the operation to be added"
_LOOKS = frozenset({"size", "dim", "ndimension", "numel", "is_floating_point", "is_contiguous", "stride", "__len__"})
_GETTERS = frozenset({"shape", "ndim", "dtype", "device", "requires_grad", "is_sparse", "layout", "is_leaf", "names"})
_SAME = frozenset({"detach", "clone", "contiguous", "requires_grad_", "detach_"})
_ADD = frozenset({"add", "__add__", "__radd__", "__iadd__", "add_"})
_READS = frozenset({"__bool__", "item", "__float__", "__int__", "__index__", "tolist", "numpy", "__array__", "equal"})


@dataclass(slots=True)
class Recording:
    """What has been seen so far of one run."""

    builder: Builder
    paths: dict[int, str]
    rules: dict[type, Rule]
    carried: dict[str, Any] | None = None  # path -> state that the population returned a step ago; None at step 0
    calls: dict[str, Any] = field(default_factory=dict)  # path -> state that the population returned in this step
    values: dict[int, Value] = field(default_factory=dict)
    kept: list[Any] = field(default_factory=list)  # keeps the ids in `values` from being used again
    stack: list[str] = field(default_factory=list)
    paused: int = 0

    def track(self, tensor: Any, value: Value) -> None:
        """From now on `tensor` stands for `value`."""
        self.kept.append(tensor)
        self.values[id(tensor)] = value

    def value(self, tensor: Any) -> Value | None:
        """What a tensor stands for; None if it does not depend on the input."""
        return self.values.get(id(tensor))

    @contextmanager
    def pause(self) -> Iterator[None]:
        """Inside, calls go through unseen."""
        self.paused += 1
        try:
            yield
        finally:
            self.paused -= 1


class Recorder(TorchFunctionMode):
    """The mode under which a model is run once; see `recording_modules` for the modules."""

    def __init__(self, recording: Recording) -> None:
        super().__init__()
        self.recording = recording

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run one operation, and record it when it touches a traced tensor."""
        recording, kwargs = self.recording, kwargs or {}
        if recording.paused:
            return func(*args, **kwargs)
        traced = [t for t in _tensors((args, kwargs)) if recording.value(t) is not None]
        name, getter = _name(func)
        if not traced or name in _LOOKS or (getter and name in _GETTERS):
            return func(*args, **kwargs)
        with recording.pause():
            result = func(*args, **kwargs)
        value = self._recorded(name, getter, args, kwargs, traced)
        for tensor in _tensors(result):
            recording.track(tensor, value)
        return result

    def _recorded(
        self, name: str, getter: bool, args: tuple[Any, ...], kwargs: dict[str, Any], traced: list[Any]
    ) -> Value:
        recording = self.recording
        values = [recording.values[id(tensor)] for tensor in traced]
        lead = values[0].lead
        if not getter and name in _SAME:
            return values[0]
        if not getter and name in _ADD and len(traced) == 2 and not (set(kwargs) - {"other"}) and len(args) <= 2:
            shape = tuple(traced[0].shape)
            if shape == tuple(traced[1].shape) and lead == values[1].lead:
                node = recording.builder.unique(_join(recording.stack, "add"))
                return recording.builder.add(node, lambda: Sum(shape[lead:]), lead, *((v, "x") for v in values))
        if not getter and name == "flatten":
            axes = [*args[1:], *(kwargs.get(key) for key in ("start_dim", "end_dim") if key in kwargs)]
            start, end = (*axes, *(0, -1)[len(axes) :])[:2]
            if values[0].node is not None:
                node = recording.builder.unique(_join(recording.stack, "flatten"))
                return flatten(node, values[0], tuple(traced[0].shape), (int(start), int(end)), recording.builder)
        self._refuse(name)
        return Value(None, lead)

    def _refuse(self, name: str) -> None:
        path = ".".join(self.recording.stack) or "the model"
        where = f"{path}, {_user_line()}"
        if name in _READS:
            message = f"data-dependent control flow: the values of a traced tensor are read by {name}"
            fix = "make the forward pass the same for every input"
            self.recording.builder.refuse("control_flow", where, message, fix)
        else:
            self.recording.builder.refuse("operation", where, f"the operation {name} is not understood", _ASK)


@contextmanager
def recording_modules(recording: Recording) -> Iterator[None]:
    """Inside, each call of a known module is one node, and the stack of module paths is kept."""
    original = torch.nn.Module.__call__

    def call(module: Any, *args: Any, **kwargs: Any) -> Any:
        if recording.paused:
            return original(module, *args, **kwargs)
        path = recording.paths.get(id(module), type(module).__name__)
        if _is_lift(module):
            return _lifted(recording, original, module, path, args)
        unknown = type(module) not in recording.rules and _is_library_layer(module)
        if type(module) in recording.rules or unknown:
            with recording.pause():
                result = original(module, *args, **kwargs)
            value = _recorded_leaf(recording, module, path, args, kwargs, result, unknown=unknown)
            for tensor in _tensors(result)[:1] if value.node is not None else _tensors(result):
                recording.track(tensor, value)
            return result
        recording.stack.append(path)
        try:
            return original(module, *args, **kwargs)
        finally:
            recording.stack.pop()

    torch.nn.Module.__call__ = call  # type: ignore[method-assign]  # undone below
    try:
        yield
    finally:
        torch.nn.Module.__call__ = original  # type: ignore[method-assign]


def _recorded_leaf(
    recording: Recording,
    module: Any,
    path: str,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    result: Any,
    *,
    unknown: bool,
) -> Value:
    builder = recording.builder
    name = type(module).__name__
    if unknown:
        message = f"the module {name} is not supported"
        builder.refuse("module", path, message, _ASK)
        return Value(None, 1)
    if not args or recording.value(args[0]) is None:
        builder.refuse("constant_input", path, f"{name} is applied to something that is not the input", _ASK)
        return Value(None, 1)
    if module._forward_hooks or module._forward_pre_hooks:
        builder.refuse(
            "hooks", path, f"{name} has forward hooks, which may change what it computes", "remove the hooks"
        )
        return Value(None, 1)
    if isinstance(result, tuple) and not _check_state(recording, module, path, args, kwargs):
        return Value(None, 1)
    x = recording.values[id(args[0])]
    if isinstance(result, tuple):
        recording.calls[path] = result[1]
    if x.node is None:
        return Value(None, x.lead)
    unique = builder.unique(path)
    call = Call(module, unique, x, tuple(args[0].shape), result)
    return recording.rules[type(module)](call, builder)


def _check_state(recording: Recording, module: Any, path: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """A population starts from its own initial state, and is called once a step."""
    name = type(module).__name__
    if path in recording.calls:
        message = f"{name} is called twice in a step: populations that share their neurons are not supported"
        recording.builder.refuse("shared_neurons", path, message, "give each place its own neuron module")
        return False
    state = args[1] if len(args) > 1 else kwargs.get("state")
    if recording.carried is not None:
        if state is not None and _same_state(state, recording.carried.get(path)):
            return True
        message = f"the state of {name} is not carried from step to step as it was returned"
        fix = "return the state from forward and pass it on unchanged, as norse.torch.SequentialState does"
        recording.builder.refuse("state", path, message, fix)
        return False
    if state is not None:
        message = f"{name} starts from a state that was passed in"
        fix = "leave the state out: the exported network starts from the neuron's own initial state"
        recording.builder.refuse("initial_state", path, message, fix)
        return False
    return True


def _same_state(given: Any, returned: Any) -> bool:
    if given is returned:
        return True
    a, b = _tensors(given), _tensors(returned)
    return len(a) == len(b) > 0 and all(x is y for x, y in zip(a, b, strict=True))


def _lifted(recording: Recording, original: Callable[..., Any], module: Any, path: str, args: tuple[Any, ...]) -> Any:
    """Lift applies its module step by step: the whole raster goes through unseen, one step of it is recorded."""
    x = recording.value(args[0]) if args and isinstance(args[0], torch.Tensor) else None
    with recording.pause():
        result = original(module, *args)
        step = args[0][0].clone() if x is not None else None
    if x is None or x.lead != 2:
        message = "Lift is applied to something that is no raster with a time axis"
        recording.builder.refuse("time_axis", path, message, "save with time='inside', or take the module out of Lift")
        value = Value(None, 2)
    else:
        recording.track(step, Value(x.node, 1))
        inner = module.lifted_module(step, None) if module.is_stateful else module.lifted_module(step)
        last = recording.value(inner[0] if isinstance(inner, tuple) else inner)
        value = Value(None if last is None else last.node, 2)
        if last is None:
            recording.builder.refuse("constant_output", path, "the result does not depend on the input", _ASK)
    recording.track(result[0] if isinstance(result, tuple) else result, value)
    return result


def _is_lift(module: Any) -> bool:
    return type(module).__name__ == "Lift" and type(module).__module__.startswith("norse.torch.")


def _is_library_layer(module: Any) -> bool:
    """A layer of torch or Norse that computes something itself, rather than calling its children."""
    home = type(module).__module__
    containers = ("torch.nn.modules.container", "norse.torch.module.sequential")
    return home.startswith(("torch.nn.", "torch.ao.", "norse.torch.")) and home not in containers


def _tensors(tree: Any) -> list[Any]:
    """All tensors in nested tuples, lists and dicts, in order."""
    if isinstance(tree, torch.Tensor):
        return [tree]
    if isinstance(tree, dict):
        tree = tree.values()
    elif not isinstance(tree, tuple | list):
        return []
    return [tensor for part in tree for tensor in _tensors(part)]


def _name(func: Callable[..., Any]) -> tuple[str, bool]:
    """Name of an operation, and whether it only reads a property."""
    name = getattr(func, "__name__", str(func))
    if name == "__get__":
        return str(getattr(getattr(func, "__self__", None), "__name__", resolve_name(func) or name)), True
    return name, False


def _join(stack: list[str], name: str) -> str:
    return ".".join(part for part in (stack[-1] if stack else "", name) if part)


def _user_line() -> str:
    """File and line of the user's code that made the call: the first frame outside the libraries."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        if module.split(".")[0] not in ("torch", "norse", "norse_export"):
            return f"{frame.f_code.co_filename}:{frame.f_lineno}"
        frame = frame.f_back
    return "unknown line"
