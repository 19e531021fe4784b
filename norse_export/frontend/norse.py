"""Norse modules -> populations. One rule a class; coefficients are taken as Norse computes them.

Source of every update: norse 1.1.0, norse/torch/module/{lif,lif_box,leaky_integrator,leaky_integrator_box,iaf}.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export.errors import GraphError
from norse_export.frontend.builder import Builder, Value
from norse_export.frontend.leaf import Call, Rule, array, refused
from norse_export.ir.layers import Linear
from norse_export.ir.neurons import IF, LI, LIF, CubaLI, CubaLIF, NeuronModel

Array = NDArray[Any]
# Surrogate gradients whose forward pass is Heaviside's step (norse/torch/functional/threshold.py).
_HEAVISIDE = ("heaviside", "super", "triangle", "tanh", "circ", "heavi_erfc")


def rules() -> dict[type, Rule]:
    """The table: module class -> rule; empty where Norse is not installed."""
    try:
        import norse.torch as snn
        from norse.torch.functional import iaf, leaky_integrator, leaky_integrator_box, lif, lif_box
    except ImportError:
        return {}
    cells: dict[type, tuple[Any, Any, int]] = {
        snn.LIFCell: (_cuba_lif, lif.lif_feed_forward_step, 1),
        snn.LIF: (_cuba_lif, lif.lif_feed_forward_step, 2),
        snn.LIFBoxCell: (_lif, lif_box.lif_box_feed_forward_step, 1),
        snn.LICell: (_cuba_li, leaky_integrator.li_feed_forward_step, 1),
        snn.LI: (_cuba_li, leaky_integrator.li_feed_forward_step, 2),
        snn.LIBoxCell: (_li, leaky_integrator_box.li_box_feed_forward_step, 1),
        snn.IAFCell: (_iaf, iaf.iaf_feed_forward_step, 1),
        snn.IAF: (_iaf, iaf.iaf_feed_forward_step, 2),
    }
    recurrent = {snn.LIFRecurrentCell: (lif.lif_step, 1), snn.LIFRecurrent: (lif.lif_step, 2)}
    table: dict[type, Rule] = {
        kind: partial(_population, make=make, activation=activation, lead=lead)
        for kind, (make, activation, lead) in cells.items()
    }
    for kind, (activation, lead) in recurrent.items():
        table[kind] = partial(_recurrent, activation=activation, lead=lead)
    return table


def sequence_classes() -> tuple[type, ...]:
    """Modules that take the whole raster, time first."""
    import norse.torch as snn

    return (snn.LIF, snn.LIFRecurrent, snn.LI, snn.IAF)


def state_of(result: Any) -> Mapping[str, Any]:
    """State variables that a Norse module returned, by name; the recurrent spikes z are the output again."""
    return {name: value for name, value in result[1]._asdict().items() if name != "z"}


def _population(call: Call, builder: Builder, *, make: Any, activation: Any, lead: int) -> Value:
    if (value := _check(call, builder, activation, lead)) is not None:
        return value
    shape = tuple(call.result[0].shape[lead:])
    return builder.add(call.path, lambda: make(call, shape), lead, (call.x, "x"))


def _recurrent(call: Call, builder: Builder, *, activation: Any, lead: int) -> Value:
    """(i + W_in x) + W_rec z, with the spikes z of the step before; Norse has no bias here."""
    if (value := _check(call, builder, activation, lead)) is not None:
        return value
    module, path = call.module, call.path
    shape = tuple(call.result[0].shape[lead:])
    if len(call.features) != 1:
        message = f"{type(module).__name__} on features of shape {call.features}"
        return refused(call, builder, "linear_axes", message, "put a Flatten before it")
    into = builder.add(f"{path}.input_weights", lambda: Linear(array(module.input_weights)), lead, (call.x, "x"))
    out = builder.add(path, lambda: _cuba_lif(call, shape, recurrent=True), lead, (into, "x"))
    back = builder.add(f"{path}.recurrent_weights", lambda: Linear(array(module.recurrent_weights)), lead)
    if out.node is not None and back.node is not None:
        builder.connect(out.node, back.node, "x", delay_steps=1)
        builder.connect(back.node, out.node, "r", delay_steps=0)
    return out


def _check(call: Call, builder: Builder, activation: Any, lead: int) -> Value | None:
    module = call.module
    name = type(module).__name__
    p = module.p
    if call.x.lead != lead:
        if lead == 2:
            message = f"{name} takes a whole raster, time first, but is called once a step"
            return refused(call, builder, "time_axis", message, f"use {name}Cell, or save with time='inside'")
        message = f"{name} takes one step, but is given a whole raster"
        return refused(call, builder, "time_axis", message, f"use {name.removesuffix('Cell')}, or wrap it in Lift")
    method = getattr(p, "method", "super")
    if method not in _HEAVISIDE:
        message = f"{name} with method={method!r}"
        return refused(call, builder, "threshold_method", message, f"use one of {', '.join(_HEAVISIDE)}")
    reset = getattr(p, "reset_method", None)
    if reset is not None and getattr(reset, "__name__", "") != "reset_value":
        message = f"{name} with reset_method={getattr(reset, '__name__', reset)}: a reset by subtraction"
        return refused(call, builder, "reset_method", message, "use norse.torch.functional.reset.reset_value")
    if module.activation is not activation:
        message = f"{name} with an activation of its own: {getattr(module.activation, '__name__', module.activation)}"
        return refused(call, builder, "activation", message, f"use {activation.__name__}")
    if tuple(call.result[0].shape[:lead]) != call.x_shape[:lead]:
        message = (
            f"{name} gives shape {tuple(call.result[0].shape)} for input {call.x_shape}: a parameter has a batch axis"
        )
        return refused(call, builder, "parameter_shape", message, "give parameters of shape [N] or a single number")
    return None


def _cuba_lif(call: Call, shape: tuple[int, ...], *, recurrent: bool = False) -> NeuronModel:
    return CubaLIF(
        **_common(call, shape),
        **_coefficients(call, ("mem", "alpha"), ("syn", "beta")),
        **_levels(call, shape, "v_leak", "v_th", "v_reset"),
        recurrent=recurrent,
    )


def _cuba_li(call: Call, shape: tuple[int, ...]) -> NeuronModel:
    coefficients = _coefficients(call, ("mem", "alpha"), ("syn", "beta"))
    return CubaLI(**_common(call, shape), **coefficients, **_levels(call, shape, "v_leak"))


def _lif(call: Call, shape: tuple[int, ...]) -> NeuronModel:
    levels = _levels(call, shape, "v_leak", "v_th", "v_reset")
    return LIF(**_common(call, shape), **_coefficients(call, ("mem", "alpha")), **levels)


def _li(call: Call, shape: tuple[int, ...]) -> NeuronModel:
    return LI(
        **_common(call, shape), **_coefficients(call, ("mem", "alpha")), **_levels(call, shape, "v_leak")
    )


def _iaf(call: Call, shape: tuple[int, ...]) -> NeuronModel:
    return IF(**_common(call, shape), **_levels(call, shape, "v_th", "v_reset"))


def _common(call: Call, shape: tuple[int, ...]) -> dict[str, Any]:
    return {"shape": shape, "dt": float(call.module.dt), "dtype": _dtype(call)}


def _dtype(call: Call) -> str:
    """The float type in which the membrane is computed, as seen in the state that the module returned."""
    return str(state_of(call.result)["v"].dtype).removeprefix("torch.")


def _coefficients(call: Call, *names: tuple[str, str]) -> dict[str, Array]:
    """dt * tau_inv as Norse multiplies it, in the type in which it is used; and tau = dt / coefficient in float64."""
    module, found = call.module, dict[str, Array]()
    for tau, coefficient in names:
        product = module.dt * getattr(module.p, f"tau_{tau}_inv")
        value = _trimmed(product, len(call.result[0].shape) - call.x.lead).astype(_dtype(call))
        if np.any(~np.isfinite(value)):
            raise GraphError(
                f"tau_{tau}_inv holds NaN or infinity",
                where=call.path,
                fix="the model is damaged: load a checkpoint from before its training diverged",
                kind="nan",
            )
        if np.any(value < 0):
            raise GraphError(
                f"tau_{tau}_inv is negative: the time constant tau_{tau} must be above 0",
                where=call.path,
                fix=f"give tau_{tau}_inv in 1/s, 0 or above",
                kind="tau",
            )
        with np.errstate(divide="ignore"):
            found[f"tau_{tau}"] = np.float64(module.dt) / value.astype(np.float64)
        found[coefficient] = value
    return found


def _levels(call: Call, shape: tuple[int, ...], *names: str) -> dict[str, Array]:
    values = {name: _trimmed(getattr(call.module.p, name), len(shape)) for name in names}
    return {name: value.astype(_dtype(call)) for name, value in values.items()}


def _trimmed(value: Any, rank: int) -> Array:
    """A parameter as an array, without a leading batch axis of 1; plain numbers keep their double precision."""
    found = array(value) if hasattr(value, "detach") else np.asarray(value, dtype=np.float64)
    while found.ndim > rank and found.shape[0] == 1:
        found = found[0]
    return found
