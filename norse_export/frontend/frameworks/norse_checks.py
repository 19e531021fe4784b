"""What stands against exporting a module of Norse's: every reason, each by name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export.errors import ExportError, GraphError, UnsupportedError
from norse_export.frontend.frameworks.norse_families import Form, NorseFamily
from norse_export.frontend.leaf import Call, array

Array = NDArray[Any]
# Surrogate gradients whose forward pass is Heaviside's step (norse/torch/functional/threshold.py).
HEAVISIDE = ("heaviside", "super", "triangle", "tanh", "circ", "heavi_erfc")
_OPTIONS = ("method", "alpha", "reset_method")  # fields of parameter tuples that are no numbers of the neuron


def numbers_of(p: Any) -> dict[str, Any]:
    """Every number in a tuple of parameters, of a tuple within it, too; alpha is of surrogate gradients alone."""
    found: dict[str, Any] = {}
    for name, value in p._asdict().items():
        found |= numbers_of(value) if hasattr(value, "_asdict") else {} if name in _OPTIONS else {name: value}
    return found


def state_of(result: Any) -> dict[str, Any]:
    """State variables that a Norse module returned, by name; the recurrent spikes z are the output again."""
    found: dict[str, Any] = {}
    for name, value in result[1]._asdict().items():
        found |= state_of((None, value)) if hasattr(value, "_asdict") else {} if name == "z" else {name: value}
    return found


def parameter(value: Any, rank: int) -> Array:
    """A parameter as an array, without a leading batch axis of 1; plain numbers keep their double precision."""
    found = array(value) if hasattr(value, "detach") else np.asarray(value, dtype=np.float64)
    while found.ndim > rank and found.shape[0] == 1:
        found = found[0]
    return found


def problems(call: Call, family: NorseFamily, form: Form, *, activation: Any) -> Iterator[ExportError]:
    """Everything that a rule for the module cannot or must not export.

    activation: the step that the module's class comes with; None where it has none.
    """
    if (error := _time_axis(call, family, form.lead)) is not None:
        yield error
        return
    yield from _replaced(call, activation)
    yield from _shapes_and_types(call, form.lead)
    yield from _numbers(call)


def _unsupported(call: Call, kind: str, message: str, fix: str) -> UnsupportedError:
    return UnsupportedError(f"{type(call.module).__name__} {message}", where=call.path, fix=fix, kind=kind)


def _time_axis(call: Call, family: NorseFamily, lead: int) -> UnsupportedError | None:
    name = type(call.module).__name__
    if call.x.lead == lead:
        return None
    if lead == 2:
        message = "takes a whole raster, time first, but is called once a step"
        return _unsupported(call, "time_axis", message, f"use {name}Cell, or save with time='inside'")
    message = "takes one step, but is given a whole raster"
    sequence = name.removesuffix("Cell")
    other = f"use {sequence}, or wrap" if sequence in family.classes else "wrap"
    fix = f"{other} it in Lift, or let forward take one step and save with time='outside'"
    return _unsupported(call, "time_axis", message, fix)


def _replaced(call: Call, activation: Any) -> Iterator[UnsupportedError]:
    """Parts of the module that are not the ones its class comes with."""
    from norse.torch.functional.reset import reset_subtract, reset_value

    module, p = call.module, call.module.p
    if (error := method_problem(module, call.path)) is not None:
        yield error
    elif getattr(module, "activation", None) is not activation:
        message = f"with an activation of its own: {_name(module.activation)}"
        yield _unsupported(call, "activation", message, f"use {_name(activation)}")
    reset = getattr(p, "reset_method", reset_value)
    if reset not in (reset_value, reset_subtract):
        message = f"with reset_method={_name(reset)}: resets to v_reset and by subtraction are exported"
        yield _unsupported(call, "reset_method", message, "use norse.torch.functional.reset.reset_value")
    start = getattr(module, "state_fallback", None)
    if start is not None and (
        getattr(start, "__func__", None) is not type(module).initial_state or start.__self__ is not module
    ):
        message = f"with an initial state of its own: {_name(start)}"
        yield _unsupported(call, "initial_state", message, "leave state_fallback as the class sets it")


def method_problem(module: Any, path: str) -> UnsupportedError | None:
    """What stands against the threshold function of a module of Norse's."""
    p = getattr(module, "p", None)
    inner = next((value for value in p._asdict().values() if hasattr(value, "_asdict")), p) if p is not None else p
    method = getattr(inner, "method", "super")
    if method in HEAVISIDE:
        return None
    message = f"{type(module).__name__} with method={method!r}"
    return UnsupportedError(message, where=path, fix=f"use one of {', '.join(HEAVISIDE)}", kind="threshold_method")


def _shapes_and_types(call: Call, lead: int) -> Iterator[UnsupportedError]:
    sent, p = tuple(call.result[0].shape), call.module.p
    rank = len(sent) - lead
    wide = [field for field, value in numbers_of(p).items() if parameter(value, rank).ndim > rank]
    if wide or sent[:lead] != call.x_shape[:lead]:
        message = f"has parameters with a batch axis: {', '.join(wide) or f'it gives {sent} for input {call.x_shape}'}"
        yield _unsupported(call, "parameter_shape", message, "give parameters of shape [N], or one number")
    types = {str(value.dtype).removeprefix("torch.") for value in state_of(call.result).values()}
    if types != {call.x_dtype}:
        message = f"computes in {', '.join(sorted(types))}, its input is {call.x_dtype}"
        yield _unsupported(call, "dtype", message, f"give its parameters as {call.x_dtype}")


def _numbers(call: Call) -> Iterator[GraphError]:
    """Time steps and parameters that no neuron can have."""
    module, path = call.module, call.path
    dt = module.dt if not hasattr(module.dt, "detach") else array(module.dt)
    if np.size(dt) != 1 or not (np.isfinite(dt) and dt > 0):
        yield GraphError(f"dt = {module.dt} s", where=path, fix="dt is one positive number of seconds", kind="dt")
    for name, held in numbers_of(module.p).items():
        value = parameter(held, 0)
        if not np.isfinite(value).all():
            fix = "the model is damaged: load a checkpoint from before its training diverged"
            yield GraphError(f"{name} holds NaN or infinity", where=path, fix=fix, kind="nan")
        elif name.startswith("tau") and np.any(value < 0):
            tau = name.removesuffix("_inv")
            message = f"{name} = {float(value.min()):g} is negative: the time constant {tau} must be above 0"
            yield GraphError(message, where=path, fix=f"give {name} in 1/s, 0 or above", kind="tau")


def _name(function: Any) -> str:
    return str(getattr(function, "__name__", function))
