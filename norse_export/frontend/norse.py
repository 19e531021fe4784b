"""Norse modules -> populations. One rule a class; coefficients are taken as Norse computes them.

Source of every update: norse 1.1.0, norse/torch/module/{lif,lif_box,leaky_integrator,leaky_integrator_box,iaf}.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export.errors import MissingDependencyError
from norse_export.frontend.builder import Builder, Value
from norse_export.frontend.leaf import Call, Rule, refused_axes
from norse_export.frontend.norse_checks import parameter, problems, state_of
from norse_export.frontend.torch_save import import_norse
from norse_export.ir.layers import Linear
from norse_export.ir.neurons import IF, LI, LIF, CubaLI, CubaLIF, NeuronModel

__all__ = ["rules", "sequence_classes", "state_of"]

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class _Kind:
    """What a class of Norse's does: its node, the function of its step, and its leading axes (2: time and batch)."""

    make: Callable[[Call, tuple[int, ...]], NeuronModel]
    activation: Any
    lead: int


def rules() -> dict[type, Rule]:
    """The table: module class -> rule; empty where Norse is not installed."""
    try:
        snn = import_norse()
    except MissingDependencyError:
        return {}
    from norse.torch.functional import iaf, leaky_integrator, leaky_integrator_box, lif, lif_box

    feed_forward = {
        snn.LIFCell: _Kind(_cuba_lif, lif.lif_feed_forward_step, 1),
        snn.LIF: _Kind(_cuba_lif, lif.lif_feed_forward_step, 2),
        snn.LIFBoxCell: _Kind(_lif, lif_box.lif_box_feed_forward_step, 1),
        snn.LICell: _Kind(_cuba_li, leaky_integrator.li_feed_forward_step, 1),
        snn.LI: _Kind(_cuba_li, leaky_integrator.li_feed_forward_step, 2),
        snn.LIBoxCell: _Kind(_li, leaky_integrator_box.li_box_feed_forward_step, 1),
        snn.IAFCell: _Kind(_iaf, iaf.iaf_feed_forward_step, 1),
        snn.IAF: _Kind(_iaf, iaf.iaf_feed_forward_step, 2),
    }
    recurrent = {
        snn.LIFRecurrentCell: _Kind(_recurrent_lif, lif.lif_step, 1),
        snn.LIFRecurrent: _Kind(_recurrent_lif, lif.lif_step, 2),
    }
    table: dict[type, Rule] = {module: partial(_population, kind=kind) for module, kind in feed_forward.items()}
    return table | {module: partial(_recurrent, kind=kind) for module, kind in recurrent.items()}


def sequence_classes() -> tuple[type, ...]:
    """Modules that take the whole raster, time first; empty where Norse is not installed."""
    try:
        snn = import_norse()
    except MissingDependencyError:
        return ()
    return (snn.LIF, snn.LIFRecurrent, snn.LI, snn.IAF)


def _population(call: Call, builder: Builder, *, kind: _Kind) -> Value:
    if not _is_possible(call, builder, kind):
        return Value(None, call.x.lead)
    shape = tuple(call.result[0].shape[kind.lead :])
    return builder.add(call.path, lambda: kind.make(call, shape), kind.lead, (call.x, "x"))


def _recurrent(call: Call, builder: Builder, *, kind: _Kind) -> Value:
    """(i + W_in x) + W_rec z, with the spikes z of the step before; Norse has no bias here."""
    module, path, lead = call.module, call.path, kind.lead
    if not _is_possible(call, builder, kind):
        return Value(None, call.x.lead)
    shape = tuple(call.result[0].shape[lead:])
    if len(call.features) != 1:
        return refused_axes(call, builder)
    into = builder.add(f"{path}.input_weights", lambda: Linear(call.array(module.input_weights)), lead, (call.x, "x"))
    out = builder.add(path, lambda: kind.make(call, shape), lead, (into, "x"))
    back = builder.add(f"{path}.recurrent_weights", lambda: Linear(call.array(module.recurrent_weights)), lead)
    if out.node is not None and back.node is not None:
        builder.connect(out.node, back.node, "x", delay_steps=1)
        builder.connect(back.node, out.node, "r", delay_steps=0)
    return out


def _is_possible(call: Call, builder: Builder, kind: _Kind) -> bool:
    """Whether the rule for the module applies; all that stands against it becomes findings."""
    errors = [*problems(call, activation=kind.activation, lead=kind.lead)]
    for error in errors:
        builder.note(error)
    return not errors


def _cuba_lif(call: Call, shape: tuple[int, ...]) -> NeuronModel:
    return CubaLIF(
        **_common(call, shape),
        **_coefficients(call, ("mem", "alpha"), ("syn", "beta")),
        **_levels(call, shape, "v_leak", "v_th", "v_reset"),
    )


def _recurrent_lif(call: Call, shape: tuple[int, ...]) -> NeuronModel:
    return CubaLIF(
        **_common(call, shape),
        **_coefficients(call, ("mem", "alpha"), ("syn", "beta")),
        **_levels(call, shape, "v_leak", "v_th", "v_reset"),
        recurrent=True,
    )


def _cuba_li(call: Call, shape: tuple[int, ...]) -> NeuronModel:
    coefficients = _coefficients(call, ("mem", "alpha"), ("syn", "beta"))
    return CubaLI(**_common(call, shape), **coefficients, **_levels(call, shape, "v_leak"))


def _lif(call: Call, shape: tuple[int, ...]) -> NeuronModel:
    levels = _levels(call, shape, "v_leak", "v_th", "v_reset")
    return LIF(**_common(call, shape), **_coefficients(call, ("mem", "alpha")), **levels)


def _li(call: Call, shape: tuple[int, ...]) -> NeuronModel:
    return LI(**_common(call, shape), **_coefficients(call, ("mem", "alpha")), **_levels(call, shape, "v_leak"))


def _iaf(call: Call, shape: tuple[int, ...]) -> NeuronModel:
    return IF(**_common(call, shape), **_levels(call, shape, "v_th", "v_reset"))


def _common(call: Call, shape: tuple[int, ...]) -> dict[str, Any]:
    return {"shape": shape, "dt": float(call.module.dt), "dtype": call.x_dtype}


def _coefficients(call: Call, *names: tuple[str, str]) -> dict[str, Any]:
    """dt * tau_inv as Norse multiplies it, in the type in which it is used; and tau = dt / coefficient in float64."""
    module, found = call.module, dict[str, Array]()
    rank = len(call.result[0].shape) - call.x.lead
    for tau, coefficient in names:
        product = module.dt * getattr(module.p, f"tau_{tau}_inv")
        found[coefficient] = parameter(product, rank).astype(call.x_dtype)
        with np.errstate(divide="ignore"):  # a coefficient of exactly 0 is legal: nothing leaks
            found[f"tau_{tau}"] = np.float64(module.dt) / found[coefficient].astype(np.float64)
    return found


def _levels(call: Call, shape: tuple[int, ...], *names: str) -> dict[str, Any]:
    values = {name: parameter(getattr(call.module.p, name), len(shape)) for name in names}
    return {name: value.astype(call.x_dtype) for name, value in values.items()}
