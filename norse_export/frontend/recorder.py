"""Records one eager run of a torch model: known modules become nodes, everything else is looked at call by call.

An operation on a traced tensor that is not understood becomes a finding with its name, the module path and the user's
source line; nothing is skipped, replaced or dropped.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from norse_export.frontend.builder import Value
from norse_export.frontend.call_checks import check_state, explained, has_hooks, known_base, other_place, refused_call
from norse_export.frontend.encoders import encode, is_encoder
from norse_export.frontend.frameworks import norse
from norse_export.frontend.frameworks.step_functions import StepCall, watched
from norse_export.frontend.frameworks.table import Outcome
from norse_export.frontend.functions import operations
from norse_export.frontend.leaf import Call, Rule
from norse_export.frontend.lifted import is_lift, lifted
from norse_export.frontend.readouts import read_by
from norse_export.frontend.recording import Recording, tensors_in
from norse_export.frontend.shown import begin_step
from norse_export.frontend.step_starts import Parts
from norse_export.frontend.time_loop import entered, out_of_order

__all__ = ["Recorder", "Recording", "recording_modules", "recording_steps"]

_CONTAINERS = ("torch.nn.modules.container",)
_LIBRARIES = ("torch.nn.", "torch.ao.", "torch.jit.", "torch._dynamo.")


_recording = threading.RLock()  # torch.nn.Module.__call__ is one for all threads: recordings take turns


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
        name, getter = operations.name_of(func)
        with recording.pause():
            operations.before(recording, name, args)
        traced = [t for t in tensors_in((args, kwargs)) if recording.value(t) is not None]
        if not traced or operations.only_looks(name, getter):
            return func(*args, **kwargs)
        with recording.pause():
            result = func(*args, **kwargs)
        if name == "__iter__":
            result = list(result)
        value = operations.recorded(recording, func, name, getter, args, kwargs, traced, result)
        tensors = tensors_in(result)
        for number, tensor in enumerate(tensors):
            recording.track(tensor, value[number] if isinstance(value, list) else value)
        if recording.begins and name in ("__iter__", "unbind"):
            result = Parts(recording, result)
        return iter(result) if name == "__iter__" else result


@contextmanager
def recording_modules(recording: Recording) -> Iterator[None]:
    """Inside, each call of a known module in this thread is one node, and the stack of module paths is kept."""
    thread = threading.get_ident()

    def call(module: Any, *args: Any, **kwargs: Any) -> Any:
        if recording.paused or threading.get_ident() != thread:
            return original(module, *args, **kwargs)
        path = recording.paths.get(id(module), type(module).__name__)
        with _running(recording, path):
            if is_encoder(module):
                return encode(recording, original, module, path, (*args, *kwargs.values()))
            if is_lift(module):
                has_hooks(recording, module, path)
                return lifted(recording, original, module, path, args, kwargs)
            if (special := recording.tables.special.get(type(module))) is not None:
                has_hooks(recording, module, path)
                return special(recording, original, module, path, args, kwargs)
            if type(module) in recording.tables.rules or _is_closed(module, recording):
                x = next((t for t in (*args, *kwargs.values()) if isinstance(t, torch.Tensor)), None)
                home = recording.tables.home(module)
                with recording.pause(), explained(recording, module, path):
                    given = None if home is None else home.given(module, args, kwargs, x)
                    result = original(module, *args, **kwargs)
                    outcome = _two(result) if home is None else home.outcome(module, result)
                _record_module(recording, module, path, _Called(type(module).__name__, x, given, outcome, result))
                return result
            return original(module, *args, **kwargs)

    with _recording:
        original = torch.nn.Module.__call__
        torch.nn.Module.__call__ = call  # type: ignore[method-assign]  # undone below
        try:
            yield
        finally:
            torch.nn.Module.__call__ = original  # type: ignore[method-assign]


@contextmanager
def _running(recording: Recording, path: str) -> Iterator[None]:
    recording.stack.append(path)
    try:
        yield
    except Exception:
        recording.failed = recording.failed or path
        raise
    finally:
        recording.stack.pop()


def _is_closed(module: Any, recording: Recording) -> bool:
    """A module that is not supported and not looked into: it computes something itself, or changes what it inherits."""
    kept, opened = list(_LIBRARIES), list(_CONTAINERS)
    for framework in recording.tables.frameworks:
        kept += framework.library
        opened += framework.inside
    home = f"{type(module).__module__}."
    user_like = home.startswith(tuple(f"{name.removesuffix('.')}." for name in opened))
    library = home.startswith(tuple(kept)) and not user_like
    return library or known_base(module, recording) is not None


@dataclass(frozen=True, slots=True)
class _Called:
    """One call of a module or function: its name, its input, the state it started from, and what it gave."""

    name: str
    x: Any
    given: Any
    outcome: Outcome
    result: Any

    def shapes(self) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Of the input, and of what is sent on."""
        before, after = (tuple(getattr(tensor, "shape", ())) for tensor in (self.x, self.outcome.sent))
        return before, after


def _two(result: Any) -> Outcome:
    """What a module that no table knows gave: something, or that and a state."""
    return Outcome(*result) if isinstance(result, tuple) and len(result) == 2 else Outcome(result)


def _record_module(recording: Recording, module: Any, path: str, called: _Called) -> None:
    """Record the call of a known or closed module, and what its results stand for."""
    value = _heard(recording, called.x)
    if value is not None and (read := read_by(value, module, called.name)) is not None:
        _give(recording, called, path, read)
        return
    made = Value(None, 0 if value is None else value.lead)
    if value is not None and recording.tables.is_population(module):
        begin_step(recording, value, path, called.given)
    in_step = value is None or bool(value.state_of) or entered(recording, [value], path)
    if in_step and not refused_call(recording, module, path, called.x, value) and value is not None:
        population = recording.tables.is_population(module)
        rule = recording.tables.rules[type(module)]
        place = other_place(recording, path, module, called.given) if population else path
        named, path = place == path, place
        made = _recorded(recording, called, path, rule, module, value, population=population, named=named)
    _give(recording, called, path, made)


def _record_step(recording: Recording, call: StepCall, result: Any) -> None:
    """Record a step that the model called by itself: a population, named after the function."""
    name = call.function.name
    called = _Called(name, call.x, call.state, Outcome(*result), result)
    value = _heard(recording, call.x)
    made = Value(None, 0 if value is None else value.lead)
    path = short = operations.joined(recording, name.removesuffix("_step").removesuffix("_feed_forward"))
    if value is None or value.state_of:
        what = "something that is not the input of this step" if value is None else f"the state of {value.state_of!r}"
        fix = "feed it the input, or what a layer gives"
        recording.builder.refuse("constant_input", short, f"{name} is applied to {what}", fix)
        _give(recording, called, path, made)
        return
    begin_step(recording, value, short, call.state)
    if entered(recording, [value], short):
        path = recording.builder.unique(short)
        while path in recording.calls:  # of a population that could not be added
            path = f"{path}@"
        recording.functional.append(path)
        rule, module = norse.step_rule(call.function), call.as_module()
        made = _recorded(recording, called, path, rule, module, value, population=True, named=False)
    _give(recording, called, path, made)


def _heard(recording: Recording, x: Any) -> Value | None:
    """What an input stands for; zeros in step 0 may be what came before it."""
    if x is None:
        return None
    with recording.pause():
        if recording.is_silence(x):
            recording.track(x, Value(None, 1, time=0, silent=True))
    return recording.value(x)


def _recorded(
    recording: Recording,
    called: _Called,
    path: str,
    rule: Rule,
    module: Any,
    value: Value,
    *,
    population: bool,
    named: bool = True,
) -> Value:
    """What the rule makes of a call that is in order. named: the path is that of a module of the model."""
    unknown = (value.node is None and not value.silent) or out_of_order(recording)  # said where it was found
    right = (
        not population or not value.lead or unknown or check_state(recording, called.name, called.given, path, module)
    )
    if population:
        recording.calls[path] = called.outcome.state
    if not right or not value.lead:
        return Value(None, value.lead)
    if population and recording.carried is None and not unknown:
        recording.starts[path] = called.given
    return _ruled(recording, rule, module, path, called, recording.starts.get(path), named=named)


def _give(recording: Recording, called: _Called, path: str, made: Value) -> None:
    """From now on what the call gave stands for what was made of it."""
    recording.track_state(called.outcome.state, path)
    for tensor in tensors_in(called.outcome.sent):
        recording.track(tensor, operations.still(made, *called.shapes()))
    if (membrane := recording.builder.membranes.get(path)) is not None and called.outcome.membrane is not None:
        recording.track(called.outcome.membrane, Value(membrane, 1, time=recording.builder.now))


def _ruled(
    recording: Recording, rule: Rule, module: Any, path: str, called: _Called, start: Any, *, named: bool
) -> Value:
    builder, x = recording.builder, called.x
    with recording.pause():
        shared = bool(getattr(module, "inplace", False)) and recording.shares_memory(x)
    call = Call(
        module=module,
        path=builder.unique(path, module=True) if named else path,
        x=recording.values[id(x)],
        x_shape=tuple(x.shape),
        result=called.result,
        x_dtype=str(x.dtype).removeprefix("torch."),
        weights=recording.weights,
        start=start,
        shared=shared,
    )
    with recording.pause():
        made = rule(call, builder)
    if call.x.lead == 2 and not recording.tables.is_population(module) and _adds_up(module):
        recording.over_time.append(call.path)
    return made


@contextmanager
def recording_steps(recording: Recording) -> Iterator[None]:
    """Inside, each step of Norse's that the model calls by itself is one node."""
    seen: list[bool] = []

    def begin(_: StepCall) -> None:
        recording.stepped = True
        seen.append(not recording.paused)
        recording.paused += 1

    def end(call: StepCall, result: Any) -> None:
        recording.paused -= 1
        if seen.pop() and result is not None:
            _record_step(recording, call, result)

    with watched(begin, end):
        yield


def _adds_up(module: Any) -> bool:
    """Whether a layer has weights: its float sums depend on whether it takes a raster or a step."""
    return getattr(module, "weight", None) is not None
