"""What stands against exporting a neuron of snnTorch's: every reason, each by name."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from norse_export.errors import ExportError, GraphError, UnsupportedError
from norse_export.frontend.frameworks.counted import per_sample_batch
from norse_export.frontend.leaf import Call, array

# Surrogate gradients whose forward pass is Heaviside's step (snntorch/surrogate.py).
_HEAVISIDE = (
    "atan", "fast_sigmoid", "sigmoid", "heaviside", "triangular", "SFS", "SSO", "spike_rate_escape",
    "custom_surrogate", "straight_through_estimator",
)  # fmt: skip


def problems(call: Call) -> Iterator[ExportError]:
    """Everything that a rule for the module cannot or must not export."""
    module = call.module
    if call.x.lead != 1:
        message = "takes one step, but is given a whole raster"
        fix = (
            "loop over time in forward (lif(x[step], mem)), let forward take one step, or give images, [B, ...], where "
            "the model shows one at every step"
        )
        yield _unsupported(call, "time_axis", message, fix)
        return
    if (error := problem(module, call.path)) is not None:
        yield error
    if module.inhibition:
        message = "with inhibition=True lets only one neuron of a layer spike"
        yield _unsupported(call, "inhibition", message, "use inhibition=False")
    if module.state_quant:
        yield _unsupported(call, "state_quant", "with state_quant rounds its states", "train without state_quant")
    if bool((module.graded_spikes_factor != 1).any()):
        factor = array(module.graded_spikes_factor).reshape(-1)[0]
        message = f"with graded_spikes_factor={factor:g} sends no spikes of 0 and 1"
        yield _unsupported(call, "graded_spikes", message, "use 1, and scale the weights of the next layer")
    if "state_function" in vars(module) and module.state_function.__func__ is not _own(module):
        name = getattr(module.state_function, "__name__", str(module.state_function))
        message = f"with a step that is not the one of reset_mechanism={module.reset_mechanism!r}: {name}"
        yield _unsupported(call, "state_function", message, "give reset_mechanism when the neuron is made")
    yield from _numbers(call)


def _own(module: Any) -> Any:
    name = {"subtract": "_base_sub", "zero": "_base_zero", "none": "_base_int"}[module.reset_mechanism]
    return getattr(type(module), name)


def problem(module: Any, path: str) -> UnsupportedError | None:
    """What stands against the threshold function of a neuron of snnTorch's, and why one raises."""
    function = getattr(module, "spike_grad", None)
    home, name = getattr(function, "__module__", ""), str(getattr(function, "__qualname__", function))
    known = home == "snntorch.surrogate" and name.removesuffix(".<locals>.inner") in _HEAVISIDE
    bypass = name == "SpikingNeuron._surrogate_bypass"
    who = type(module).__name__
    if not known and not bypass:
        message = f"{who} with spike_grad={name}: what it does in the forward pass is not known to be a threshold"
        fix = f"use one of snntorch.surrogate: {', '.join(_HEAVISIDE[:4])}"
        return UnsupportedError(message, where=path, fix=fix, kind="threshold_method")
    if who == "RSynaptic" and not module.reset_delay and module.reset_mechanism != "none":
        message = "RSynaptic with reset_delay=False: snnTorch itself cannot run it"
        return UnsupportedError(message, where=path, fix="use reset_delay=True", kind="reset_delay")
    return None


def _unsupported(call: Call, kind: str, message: str, fix: str) -> UnsupportedError:
    return UnsupportedError(f"{type(call.module).__name__} {message}", where=call.path, fix=fix, kind=kind)


def _numbers(call: Call) -> Iterator[ExportError]:
    """Parameters that no neuron can have, or that are not those of single neurons."""
    module, rank = call.module, len(call.features)
    for name in ("alpha", "beta", "threshold"):
        if (held := getattr(module, name, None)) is None:
            continue
        value = per_sample_batch(array(held), call)
        if not np.isfinite(value).all():
            fix = "the model is damaged: load a checkpoint from before its training diverged"
            yield GraphError(f"{name} holds NaN or infinity", where=call.path, fix=fix, kind="nan")
        elif value.ndim > rank or np.broadcast_shapes(value.shape, call.features) != call.features:
            message = f"has {name} of shape {tuple(held.shape)}, its input has features of shape {call.features}"
            yield _unsupported(call, "parameter_shape", message, "give one number, or one for each neuron")
    threshold = array(module.threshold)
    if call.x_dtype == "float64" and threshold.ndim == 0 and threshold != threshold.astype(np.float32):
        message = "resets by a float32 number, for spikes are float32 in snnTorch, and its threshold is none"
        yield _unsupported(call, "dtype", message, "give the threshold as a float32 number, or one for each neuron")
    if (made := str(module.mem.dtype).removeprefix("torch.")) != call.x_dtype:
        message = f"computes in {made}, its input is {call.x_dtype}"
        yield _unsupported(call, "dtype", message, f"give its parameters as {call.x_dtype}")
