"""Populations of neurons in continuous time, as the user trained them. Names and equations are NIR's.

Common to all. Shapes: parameters [*shape], one value for each neuron. Units: tau_* and dt in seconds; v_*, i in the
trained model's own unit; r, w_in dimensionless unless said. A neuron spikes when v > v_th (strict), then v = v_reset.

Coefficients are the framework's own: `alpha = dt/tau_mem` and `beta = dt/tau_syn`, rounded to the float type in which
the model computes. Where they are not given they follow from tau; a front end gives them as the framework computes
them, and tau is then dt/coefficient in float64, which rounds back to a float32 coefficient exactly.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export.errors import GraphError
from norse_export.ir.arrays import FloatArray, compact, first_true, per_neuron, spread
from norse_export.ir.graph import Shape
from norse_export.ir.shapes import KeepsShape, OnePort, check_dt


def _one() -> FloatArray:
    return np.ones((), np.float32)


_COEFFICIENT_TOLERANCE = 1e-6  # relative: further apart, tau and coefficient do not belong together
SAME_DT = 1e-9  # relative: two time steps nearer than this are the same
_UNIT_GAIN_ULPS = 2  # a product of gains this near to 1 is 1: it was made as tau_syn/dt * dt/tau_syn


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class _Population(OnePort, KeepsShape):
    """What all populations share: their shape, their time step, the float type of their arithmetic."""

    shape: Shape
    dt: float
    dtype: str = "float32"
    v0: FloatArray | None = None

    def _freeze(self, *names: str) -> None:
        kind = type(self).__name__
        check_dt(self.dt, kind)
        if self.dtype not in ("float32", "float64"):
            raise GraphError(f"dtype {self.dtype}", where=kind, fix="use float32 or float64", kind="dtype")
        if any(size < 1 for size in self.shape):
            raise GraphError(
                f"a population of shape {self.shape}", where=kind, fix="remove the empty layer", kind="shape"
            )
        for name in names:
            value = getattr(self, name)
            if value is None:
                continue
            object.__setattr__(self, name, per_neuron(value, self.shape, where=kind, field=name))

    def _set_coefficient(self, name: str, tau_name: str) -> None:
        """Fill in dt/tau where it is not given, and check it against tau where it is."""
        kind, given = type(self).__name__, getattr(self, name)
        tau = _checked_tau(getattr(self, tau_name), self.shape, kind, tau_name)
        object.__setattr__(self, tau_name, tau)
        with np.errstate(over="ignore", under="ignore"):  # an infinite coefficient is refused below
            derived = np.float64(self.dt) / compact(tau)  # 0 where tau is infinite
            exact = derived if given is None else compact(per_neuron(given, self.shape, where=kind, field=name))
            value = np.broadcast_to(exact.astype(self.dtype), self.shape)
        if given is not None:
            apart = np.abs(compact(value) - derived) > _COEFFICIENT_TOLERANCE * derived
            if (index := first_true(apart)) is not None:
                message = f"{name}{list(index)} = {value[index]:g} is not dt/{tau_name} = {self.dt / tau[index]:g}"
                raise GraphError(message, where=kind, fix="give tau and dt that belong together", kind="coefficient")
        if (index := first_true(compact(value) >= 2)) is not None:
            raise GraphError(
                f"{tau_name}{list(index)} = {tau[index]:g} s is half of dt = {self.dt:g} s or less: the step diverges",
                where=kind,
                fix=f"choose dt < {tau_name}, or give {tau_name} in seconds (not ms)",
                kind="tau",
            )
        object.__setattr__(self, name, value)


def _checked_tau(value: Any, shape: Shape, kind: str, field: str) -> FloatArray:
    """A time constant: positive; infinite is legal and means a coefficient of exactly 0."""
    tau = np.asarray(value)
    if tau.dtype not in (np.float32, np.float64):
        raise GraphError(f"{field} has dtype {tau.dtype}", where=kind, fix="use float32 or float64", kind="dtype")
    tau = spread(tau, shape, where=kind, field=field)
    if (index := first_true(~(compact(tau) > 0))) is not None:
        raise GraphError(
            f"{field}{list(index)} = {tau[index]}: a time constant must be above 0",
            where=kind,
            fix=f"give {field} in seconds, above 0",
            kind="tau" if not np.isnan(tau[index]) else "nan",
        )
    return tau


def unit_gain(gain: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give the gain with every value within 2 ulp of 1 set to 1 exactly."""
    near = np.abs(gain - 1.0) <= _UNIT_GAIN_ULPS * np.finfo(np.float64).eps
    return np.where(near, 1.0, gain)


def _synaptic_gain(node: CubaLIF | CubaLI) -> NDArray[np.float64]:
    gain = compact(node.r).astype(np.float64)
    if node.w_in is not None:
        gain = gain * (compact(node.w_in) * (np.float64(node.dt) / compact(node.tau_syn)))
    return np.broadcast_to(unit_gain(gain), node.shape)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class CubaLIF(_Population):
    """Current-based leaky integrate-and-fire population.

        tau_syn di/dt = -i + w_in x        tau_mem dv/dt = (v_leak - v) + r i

    Norse's LIF is r = 1 and w_in = tau_syn/dt, which None stands for: an input is added to i as it is.
    With `recurrent` there are two ports, x and r, added in this order.
    i0 is the current before the first step, after its decay (Norse's i).
    Source: nir.CubaLIF; norse.torch.functional.lif.lif_feed_forward_step and lif_step.
    """

    tau_mem: FloatArray
    tau_syn: FloatArray
    v_leak: FloatArray
    v_th: FloatArray
    v_reset: FloatArray
    r: FloatArray = field(default_factory=_one)
    w_in: FloatArray | None = None
    alpha: FloatArray | None = None
    beta: FloatArray | None = None
    i0: FloatArray | None = None
    recurrent: bool = False

    def __post_init__(self) -> None:
        _default(self, v0=self.v_leak, i0=np.zeros((), np.float32))
        self._freeze("v_leak", "v_th", "v_reset", "r", "w_in", "v0", "i0")
        self._set_coefficient("alpha", "tau_mem")
        self._set_coefficient("beta", "tau_syn")
        if self.recurrent and np.any(compact(self.gain) != 1.0):
            message = "a recurrent population with r w_in dt/tau_syn other than 1"
            raise GraphError(message, where="CubaLIF", fix="fold the gain into the weights", kind="gain")

    @property
    def ports(self) -> tuple[str, ...]:  # type: ignore[override]  # depends on `recurrent`
        """x, and r where the population is recurrent."""
        return ("x", "r") if self.recurrent else ("x",)

    @property
    def gain(self) -> NDArray[np.float64]:
        """What an input is multiplied by before it is added to the current: r w_in dt/tau_syn."""
        return _synaptic_gain(self)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class CubaLI(_Population):
    """Current-based leaky integrator; sends v.

        tau_syn di/dt = -i + w_in x        tau_mem dv/dt = (v_leak - v) + r i

    Source: nir.CubaLI; norse.torch.functional.leaky_integrator.li_feed_forward_step.
    """

    tau_mem: FloatArray
    tau_syn: FloatArray
    v_leak: FloatArray
    r: FloatArray = field(default_factory=_one)
    w_in: FloatArray | None = None
    alpha: FloatArray | None = None
    beta: FloatArray | None = None
    i0: FloatArray | None = None

    def __post_init__(self) -> None:
        _default(self, v0=self.v_leak, i0=np.zeros((), np.float32))
        self._freeze("v_leak", "r", "w_in", "v0", "i0")
        self._set_coefficient("alpha", "tau_mem")
        self._set_coefficient("beta", "tau_syn")

    @property
    def gain(self) -> NDArray[np.float64]:
        """What an input is multiplied by before it is added to the current: r w_in dt/tau_syn."""
        return _synaptic_gain(self)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class LIF(_Population):
    """Leaky integrate-and-fire population without a synapse.

        tau_mem dv/dt = (v_leak - v) + r x

    Source: nir.LIF; norse.torch.functional.lif_box.lif_box_feed_forward_step with reset_value.
    """

    tau_mem: FloatArray
    v_leak: FloatArray
    v_th: FloatArray
    v_reset: FloatArray
    r: FloatArray = field(default_factory=_one)
    alpha: FloatArray | None = None

    def __post_init__(self) -> None:
        _default(self, v0=self.v_leak)
        self._freeze("v_leak", "v_th", "v_reset", "r", "v0")
        self._set_coefficient("alpha", "tau_mem")

    @property
    def gain(self) -> NDArray[np.float64]:
        """What an input is multiplied by: r."""
        return np.broadcast_to(unit_gain(compact(self.r).astype(np.float64)), self.shape)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class LI(_Population):
    """Leaky integrator without a synapse; sends v.

        tau_mem dv/dt = (v_leak - v) + r x

    Source: nir.LI; norse.torch.functional.leaky_integrator_box.li_box_feed_forward_step.
    """

    tau_mem: FloatArray
    v_leak: FloatArray
    r: FloatArray = field(default_factory=_one)
    alpha: FloatArray | None = None

    def __post_init__(self) -> None:
        _default(self, v0=self.v_leak)
        self._freeze("v_leak", "r", "v0")
        self._set_coefficient("alpha", "tau_mem")

    @property
    def gain(self) -> NDArray[np.float64]:
        """What an input is multiplied by: r."""
        return np.broadcast_to(unit_gain(compact(self.r).astype(np.float64)), self.shape)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class IF(_Population):
    """Integrate-and-fire population without a leak.

        dv/dt = r x            r in 1/s

    Norse's IAF adds its input once a step: r = 1/dt, which None stands for.
    Source: nir.IF; norse.torch.functional.iaf.iaf_feed_forward_step.
    """

    v_th: FloatArray
    v_reset: FloatArray
    r: FloatArray | None = None

    def __post_init__(self) -> None:
        _default(self, v0=self.v_reset)
        self._freeze("v_th", "v_reset", "r", "v0")

    @property
    def gain(self) -> NDArray[np.float64]:
        """What an input is multiplied by before it is added to v: r dt."""
        gain = np.ones(()) if self.r is None else unit_gain(compact(self.r) * np.float64(self.dt))
        return np.broadcast_to(gain, self.shape)


NeuronModel = CubaLIF | CubaLI | LIF | LI | IF


def _default(node: NeuronModel, **values: FloatArray) -> None:
    for name, value in values.items():
        if getattr(node, name) is None:
            object.__setattr__(node, name, value)


def array_fields(node: NeuronModel) -> tuple[str, ...]:
    """Names of the fields that hold one value for each neuron."""
    return tuple(f.name for f in fields(node) if isinstance(getattr(node, f.name), np.ndarray))
