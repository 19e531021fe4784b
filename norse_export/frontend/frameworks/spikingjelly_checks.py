"""What stands against exporting a neuron of SpikingJelly's: every reason, each by name."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module

import numpy as np

from norse_export.errors import ExportError, GraphError, UnsupportedError
from norse_export.frontend.leaf import Call, array


def problems(call: Call) -> Iterator[ExportError]:
    """Everything that a rule for the module cannot or must not export."""
    module = call.module
    multi = module.step_mode == "m"
    if call.x.lead != (2 if multi else 1):
        message = "in step mode 'm' takes a raster, but is called once a step"
        fix = "use step_mode='s', or save with time='inside'"
        if not multi:
            message = "in step mode 's' takes one step, but is given a whole raster"
            fix = "use functional.set_step_mode(model, 'm'), or let forward take one step"
        yield _unsupported(call, "time_axis", message, fix)
        return
    yield from _parts(call)
    yield from _numbers(call)


def _parts(call: Call) -> Iterator[ExportError]:
    """Parts of the neuron that are not the ones it comes with."""
    module, surrogate = call.module, import_module("spikingjelly.activation_based.surrogate")
    function = module.surrogate_function
    if type(function).__module__ != surrogate.__name__ or not getattr(function, "spiking", True):
        name = getattr(type(function), "__name__", str(function))
        message = (
            f"with surrogate_function={name}, spiking={getattr(function, 'spiking', 'unknown')}: it sends no spikes"
        )
        if type(function).__module__ != surrogate.__name__:
            message = f"with surrogate_function={name}: what it does in the forward pass is not known to be a threshold"
        yield _unsupported(call, "threshold_method", message, f"use one of {surrogate.__name__}, with spiking=True")
    if module._neuron_precision is not None:
        message = "with a precision of its own for its membrane"
        yield _unsupported(call, "dtype", message, "leave the precision of neurons as it is")
    if not isinstance(module.v, float) and (made := str(module.v.dtype).removeprefix("torch.")) != call.x_dtype:
        message = f"computes in {made}, its input is {call.x_dtype}"
        yield _unsupported(call, "dtype", message, f"give it an input of {made}")


def _numbers(call: Call) -> Iterator[ExportError]:
    """Parameters that no neuron can have."""
    module, path = call.module, call.path
    values = {"v_threshold": module.v_threshold, "v_reset": module.v_reset or 0.0, "tau": getattr(module, "tau", 2.0)}
    if (w := getattr(module, "w", None)) is not None:
        values["w"] = array(w)
    for name, value in values.items():
        if np.size(value) != 1:
            message = f"has {name} of shape {np.shape(value)}"
            yield _unsupported(call, "parameter_shape", message, f"give {name} as one number")
        elif not np.isfinite(value).all():
            fix = "the model is damaged: load a checkpoint from before its training diverged"
            yield GraphError(f"{name} holds NaN or infinity", where=path, fix=fix, kind="nan")
    if isinstance(values["tau"], float) and values["tau"] <= 0.5:
        message = f"tau = {values['tau']:g} steps: the step diverges"
        yield GraphError(message, where=path, fix="give tau in steps, above 1", kind="tau")


def _unsupported(call: Call, kind: str, message: str, fix: str) -> UnsupportedError:
    return UnsupportedError(f"{type(call.module).__name__} {message}", where=call.path, fix=fix, kind=kind)
