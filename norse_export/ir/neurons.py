"""Populations of neurons in continuous time, as the user trained them: one node, and a table of kinds.

Common to all. Shapes: parameters [*shape], one value for each neuron; matrices [N, N]. Units: tau_* and dt in seconds;
v_*, i in the trained model's own unit; r, w_in dimensionless unless said. Names and equations are NIR's where NIR has
the kind, else Norse's.

Coefficients are the framework's own: a rate such as `alpha = dt/tau_mem`, rounded to the float type in which the model
computes. Where they are not given they follow from tau by the population's scheme (`schemes.py`); a front end gives
them as the framework computes them, and tau is then dt/coefficient in float64, which rounds back to a float32
coefficient exactly.

`v0` is the membrane before the first step, and so for each state; `i0` is the current after its decay (Norse's i).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import prod
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export.errors import GraphError
from norse_export.ir.arrays import FloatArray, checked, compact, first_true, per_neuron, spread
from norse_export.ir.graph import Shape
from norse_export.ir.schemes import EULER, SCHEMES, Scheme, coefficient
from norse_export.ir.shapes import KeepsShape, check_dt
from norse_export.program.counted_steps import SNNTORCH, SNNTORCH_READ, SPIKINGJELLY
from norse_export.program.families import DYNAMICS, NORSE, RECURRENT_PORT, Dynamics, Rule

_COEFFICIENT_TOLERANCE = 1e-6  # relative: further apart, tau and coefficient do not belong together
SAME_DT = 1e-9  # relative: two time steps nearer than this are the same
_STEPS = ("rho_reset",)  # levels that count steps
_OWN = ("shape", "dt", "dtype", "recurrent", "rule", "scheme")  # fields of a population that are no values of its kind
_UNIT_GAIN_ULPS = 2  # a product of gains this near to 1 is 1: it was made as tau_syn/dt * dt/tau_syn


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Kind:
    """A kind of neuron: a row of the table below.

    name: NIR's, else Norse's. dynamics: its step. rates: coefficients and the time constants that dt is divided by.
    defaults: parameters that need not be given. starts: of each state, the parameter that it starts from, or a number.
    gains: optional physical factors of what arrives, and `gain` what they come to in a step. signed: time constants
    that may be negative. free: coefficients that may be 2 or more, being no leak. linear: between spikes its equations
    are linear and each has one rate, so that it has an exponential step. Called with values, a kind gives a population.
    """

    name: str
    dynamics: Dynamics
    rates: Mapping[str, str] = field(default_factory=dict)
    defaults: Mapping[str, float] = field(default_factory=dict)
    starts: Mapping[str, str | float] = field(default_factory=dict)
    gains: tuple[str, ...] = ()
    gain: Callable[[NeuronModel], NDArray[np.float64]] | None = None
    signed: tuple[str, ...] = ()
    free: tuple[str, ...] = ()
    linear: bool = False

    def __call__(self, **values: Any) -> NeuronModel:
        """A population of this kind: shape, dt, and its parameters by name; see NeuronModel."""
        return NeuronModel(
            kind=self,
            values={n: v for n, v in values.items() if n not in _OWN},
            **{name: values[name] for name in _OWN if name in values},
        )

    @property
    def levels(self) -> tuple[str, ...]:
        """Parameters of the step that are no rates."""
        return tuple(name for name in self.dynamics.parameters if name not in self.rates)

    @property
    def initial(self) -> Mapping[str, str]:
        """Names of the initial values: state variable -> "v0" for "v"."""
        return {name: f"{name}0" for name in self.dynamics.state}

    @property
    def names(self) -> tuple[str, ...]:
        """Names of every value that a population of this kind has, in the order in which they are listed."""
        return (*self.rates.values(), *self.gains, *self.levels, *self.rates, *self.initial.values())


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class NeuronModel(KeepsShape):
    """A population: its kind, shape, time step, and values by name; `node["v_th"]` gives one of them.

    values: time constants in seconds, levels, gains, coefficients and initial states; those that the kind has a default
    for may be missing, gains may be None. dtype: the float type of its arithmetic. recurrent: with a second port, r,
    whose sum is added behind that of x. scheme: how coefficients follow from time constants.

    Raises:
        GraphError: a value is missing, unknown, impossible, or of the wrong shape.
    """

    kind: Kind
    shape: Shape
    dt: float
    dtype: str = "float32"
    values: Mapping[str, FloatArray]
    recurrent: bool = False
    rule: Rule = NORSE
    scheme: Scheme = EULER

    def __post_init__(self) -> None:
        where = self.kind.name
        check_dt(self.dt, where)
        if self.scheme not in (SCHEMES if self.kind.linear else (EULER,)):
            message = f"{where} with the scheme {self.scheme!r}: its equations have no such step"
            raise GraphError(message, where=where, fix=f"use the scheme {EULER!r}", kind="scheme")
        if self.dtype not in ("float32", "float64"):
            raise GraphError(f"dtype {self.dtype}", where=where, fix="use float32 or float64", kind="dtype")
        if any(size < 1 for size in self.shape):
            fix = "remove the empty layer"
            raise GraphError(f"a population of shape {self.shape}", where=where, fix=fix, kind="shape")
        given = {name: value for name, value in self.values.items() if value is not None}
        if unknown := [name for name in given if name not in self.kind.names]:
            raise TypeError(f"{where} has no {', '.join(unknown)}")
        made = {name: self._time_constant(given, name) for name in self.kind.rates.values()}
        made |= {
            name: self._level(given, name) for name in (*self.kind.gains, *self.kind.levels) if self._has(given, name)
        }
        made |= {name: self._coefficient(given, made, name) for name in self.kind.rates}
        made |= {name: self._start(given, made, state) for state, name in self.kind.initial.items()}
        object.__setattr__(self, "values", MappingProxyType(made))
        if self.recurrent and len(self.kind.dynamics.ports) > 1:
            message = f"a recurrent population with ports of its own ({', '.join(self.kind.dynamics.ports)})"
            raise GraphError(message, where=where, fix="feed its ports from its spikes", kind="ports")
        if self.recurrent and np.any(compact(self.gain) != 1.0):
            message = f"a recurrent population with a gain of its input ({', '.join(self.kind.gains)}) other than 1"
            raise GraphError(message, where=where, fix="fold the gain into the weights", kind="gain")

    def __getitem__(self, name: str) -> FloatArray:
        return self.values[name]

    def get(self, name: str) -> FloatArray | None:
        """A value by its name; None for a gain that is not given, and for what the kind does not have."""
        return self.values.get(name)

    def changed(self, **values: Any) -> NeuronModel:
        """The same population with other values; None: as if it were not given."""
        kept = {name: value for name, value in self.values.items() if name not in values}
        fresh = {name: value for name, value in values.items() if name not in _OWN}
        fields = {name: values.get(name, getattr(self, name)) for name in _OWN}
        return NeuronModel(kind=self.kind, values={**kept, **fresh}, **fields)

    @property
    def ports(self) -> tuple[str, ...]:
        """Those of the dynamics, and r where the population is recurrent."""
        return (*self.kind.dynamics.ports, RECURRENT_PORT) if self.recurrent else self.kind.dynamics.ports

    @property
    def spikes(self) -> bool:
        """Whether the population spikes."""
        return "v_th" in self.kind.dynamics.parameters and not self.kind.dynamics.read

    @property
    def gain(self) -> NDArray[np.float64]:
        """What an input is multiplied by in a step, [*shape]."""
        gain = np.ones(()) if self.kind.gain is None else unit_gain(self.kind.gain(self))
        return np.broadcast_to(gain, self.shape)

    def _has(self, given: Mapping[str, Any], name: str) -> bool:
        return name in given or name not in self.kind.gains or name in self.kind.defaults

    def _level(self, given: Mapping[str, Any], name: str) -> FloatArray:
        kind, matrices = self.kind, self.kind.dynamics.matrices
        if name not in given and name not in kind.defaults:
            raise TypeError(f"{kind.name} needs {name}")
        value = given[name] if name in given else np.asarray(kind.defaults[name], np.float32)
        if name in _STEPS and _is_no_count(value):
            message = f"{name} = {np.asarray(value).reshape(-1)[0]:g}: steps of rest are counted"
            raise GraphError(message, where=kind.name, fix="give a whole number of steps, 0 or more", kind="steps")
        if name not in matrices:
            return per_neuron(value, self.shape, where=kind.name, field=name)
        cells = prod(self.shape)
        matrix = checked(value, where=kind.name, field=name)
        if matrix.shape != (cells, cells):
            message = f"{name} has shape {matrix.shape}, the population has {cells} neurons"
            raise GraphError(message, where=kind.name, fix=f"give [{cells}, {cells}]", kind="shape")
        return matrix

    def _time_constant(self, given: Mapping[str, Any], name: str) -> FloatArray:
        if name not in given:
            raise TypeError(f"{self.kind.name} needs {name}")
        return _checked_tau(given[name], self.shape, self.kind.name, name, signed=name in self.kind.signed)

    def _start(self, given: Mapping[str, Any], made: Mapping[str, FloatArray], state: str) -> FloatArray:
        name, start = f"{state}0", self.kind.starts.get(state, 0.0)
        value = given.get(name)
        if value is None:
            value = made[start] if isinstance(start, str) else np.asarray(start, np.float32)
        return per_neuron(value, self.shape, where=self.kind.name, field=name)

    def _coefficient(self, given: Mapping[str, Any], made: Mapping[str, FloatArray], name: str) -> FloatArray:
        """What the scheme makes of tau where it is not given, and checked against that where it is."""
        where, tau_name, value = self.kind.name, self.kind.rates[name], given.get(name)
        tau = made[tau_name]
        with np.errstate(over="ignore", under="ignore"):  # an infinite coefficient is refused below
            derived = coefficient(self.dt, compact(tau), self.scheme)  # 0 where tau is infinite
            exact = derived if value is None else compact(per_neuron(value, self.shape, where=where, field=name))
            found = np.broadcast_to(exact.astype(self.dtype), self.shape)
        if value is not None:
            apart = np.abs(compact(found) - derived) > _COEFFICIENT_TOLERANCE * np.abs(derived)
            if (index := first_true(apart)) is not None:
                expected = float(coefficient(self.dt, tau[index], self.scheme))
                formula = f"dt/{tau_name}" if self.scheme == EULER else f"1 - exp(-dt/{tau_name})"
                message = f"{name}{list(index)} = {found[index]:g} is not {formula} = {expected:g}"
                raise GraphError(message, where=where, fix="give tau and dt that belong together", kind="coefficient")
        too_large = np.abs(compact(found)) >= (np.inf if name in self.kind.free else 2)
        if (index := first_true(too_large)) is not None:
            raise GraphError(
                f"{tau_name}{list(index)} = {tau[index]:g} s is half of dt = {self.dt:g} s or less: the step diverges",
                where=where,
                fix=f"give a {tau_name} of dt or more, in seconds (not ms): at dt, a step keeps nothing of its state; "
                "or choose a smaller dt",
                kind="tau",
            )
        return found


def _is_no_count(value: Any) -> bool:
    """Whether a finite number among the values is no whole number, or below 0."""
    found = compact(np.asarray(value))
    return bool(np.any(np.isfinite(found) & ((found != np.rint(found)) | (found < 0))))


def _checked_tau(value: Any, shape: Shape, kind: str, field: str, *, signed: bool) -> FloatArray:
    """A time constant: positive; infinite is legal and means a coefficient of exactly 0."""
    tau = np.asarray(value)
    if tau.dtype not in (np.float32, np.float64):
        raise GraphError(f"{field} has dtype {tau.dtype}", where=kind, fix="use float32 or float64", kind="dtype")
    tau = spread(tau, shape, where=kind, field=field)
    possible = compact(tau) != 0 if signed else compact(tau) > 0
    if (index := first_true(~possible | np.isnan(compact(tau)))) is not None:
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


def _resistance(node: NeuronModel) -> NDArray[np.float64]:
    return compact(node["r"]).astype(np.float64)


def _synaptic_gain(node: NeuronModel) -> NDArray[np.float64]:
    """r w_in dt/tau_syn (or what the scheme makes of dt/tau_syn); without w_in an input is added as it is."""
    w_in = node.get("w_in")
    if w_in is None:
        return _resistance(node)
    return _resistance(node) * (compact(w_in) * coefficient(node.dt, compact(node["tau_syn"]), node.scheme))


def _rate_gain(node: NeuronModel) -> NDArray[np.float64]:
    """r dt; without r an input is added as it is."""
    r = node.get("r")
    return np.ones(()) if r is None else compact(r) * np.float64(node.dt)


_MEMBRANE, _SYNAPSE = {"alpha": "tau_mem"}, {"beta": "tau_syn"}
_FROM_LEAK: dict[str, str | float] = {"v": "v_leak"}

#: Current-based leaky integrate-and-fire: tau_syn di/dt = -i + w_in x, tau_mem dv/dt = (v_leak - v) + r i; a spike when
#: v > v_th, then v = v_reset. Norse's LIF is r = 1 and w_in = tau_syn/dt, which None stands for. Source: nir.CubaLIF.
CubaLIF = Kind(
    name="CubaLIF",
    dynamics=DYNAMICS["cuba_lif"],
    rates={**_MEMBRANE, **_SYNAPSE},
    defaults={"r": 1.0},
    starts=_FROM_LEAK,
    gains=("r", "w_in"),
    gain=_synaptic_gain,
    linear=True,
)
#: Current-based leaky integrator, without a threshold; sends v. Source: nir.CubaLI, Norse's LI.
CubaLI = Kind(
    name="CubaLI",
    dynamics=DYNAMICS["cuba_li"],
    rates={**_MEMBRANE, **_SYNAPSE},
    defaults={"r": 1.0},
    starts=_FROM_LEAK,
    gains=("r", "w_in"),
    gain=_synaptic_gain,
    linear=True,
)
#: Leaky integrate-and-fire without a synapse: tau_mem dv/dt = (v_leak - v) + r x. Source: nir.LIF, Norse's LIFBox.
LIF = Kind(
    name="LIF",
    dynamics=DYNAMICS["lif"],
    rates=_MEMBRANE,
    defaults={"r": 1.0},
    starts=_FROM_LEAK,
    gains=("r",),
    gain=_resistance,
    linear=True,
)
#: Leaky integrator without a synapse; sends v. Source: nir.LI, Norse's LIBox.
LI = Kind(
    name="LI",
    dynamics=DYNAMICS["li"],
    rates=_MEMBRANE,
    defaults={"r": 1.0},
    starts=_FROM_LEAK,
    gains=("r",),
    gain=_resistance,
    linear=True,
)
#: Integrate-and-fire without a leak: dv/dt = r x, r in 1/s. Norse's IAF adds its input once a step: r = 1/dt, which
#: None stands for. Source: nir.IF.
IF = Kind(name="IF", dynamics=DYNAMICS["if"], starts={"v": "v_reset"}, gains=("r",), gain=_rate_gain, linear=True)
#: Integrator: dv/dt = r x, r in 1/s; sends v. Source: nir.I.
Integrator = Kind(name="I", dynamics=DYNAMICS["integrator"], gains=("r",), gain=_rate_gain, linear=True)
#: A spike wherever x > v_th; without a state. Source: nir.Threshold.
Threshold = Kind(name="Threshold", dynamics=DYNAMICS["threshold"], linear=True)
#: CubaLIF whose threshold b rises by b_spike with each spike: tau_ada db/dt = v_th - b. Source: Norse's LSNN.
LSNN = Kind(
    name="LSNN",
    dynamics=DYNAMICS["lsnn"],
    rates={**_MEMBRANE, **_SYNAPSE, "zeta": "tau_ada"},
    starts={**_FROM_LEAK, "b": "v_th"},
)
#: CubaLIF that rests for rho_reset steps after a spike. Source: Norse's LIFRefrac.
LIFRefrac = Kind(name="LIFRefrac", dynamics=DYNAMICS["lif_refrac"], rates={**_MEMBRANE, **_SYNAPSE}, starts=_FROM_LEAK)
#: Exponential LIF: tau_mem dv/dt = (v_leak - v) + delta_t exp((v - v_th)/delta_t) + i. Source: Norse's LIFEx.
LIFEx = Kind(name="LIFEx", dynamics=DYNAMICS["lif_ex"], rates={**_MEMBRANE, **_SYNAPSE}, starts=_FROM_LEAK)
#: LIFEx less an adaptation current: tau_ada da/dt = a_v (v - v_leak) - a, and a + a_spike with each spike. Source:
#: Norse's LIFAdEx.
LIFAdEx = Kind(
    name="LIFAdEx",
    dynamics=DYNAMICS["lif_adex"],
    rates={**_MEMBRANE, **_SYNAPSE, "zeta": "tau_ada"},
    starts=_FROM_LEAK,
)
#: LIFAdEx that rests for rho_reset steps after a spike. Source: Norse's LIFAdExRefrac.
LIFAdExRefrac = Kind(
    name="LIFAdExRefrac",
    dynamics=DYNAMICS["lif_adex_refrac"],
    rates={**_MEMBRANE, **_SYNAPSE, "zeta": "tau_ada"},
    starts=_FROM_LEAK,
)
#: CubaLIF compartments, coupled: dv/dt += g v, g [N, N] in 1/s; step is dt as a number. Source: Norse's LIFMC.
LIFMC = Kind(name="LIFMC", dynamics=DYNAMICS["lif_mc"], rates={**_MEMBRANE, **_SYNAPSE}, starts=_FROM_LEAK)
#: Coupled compartments that rest for rho_reset steps after a spike; g dimensionless. Source: Norse's LIFMCRefrac.
LIFMCRefrac = Kind(
    name="LIFMCRefrac", dynamics=DYNAMICS["lif_mc_refrac"], rates={**_MEMBRANE, **_SYNAPSE}, starts=_FROM_LEAK
)
#: Izhikevich's neuron: tau_mem dv/dt = square v^2 + linear v + constant - u + x; tau_ada du/dt = u_v v - u, and
#: u + u_spike with each spike. tau_mem = 1/tau_inv, tau_ada = 1/(tau_inv a): negative where a is. Source: Norse's
#: Izhikevich.
Izhikevich = Kind(
    name="Izhikevich",
    dynamics=DYNAMICS["izhikevich"],
    rates={**_MEMBRANE, "zeta": "tau_ada"},
    signed=("tau_ada",),
    free=("alpha", "zeta"),
)
#: Conductance-based LIF: c_m dv/dt = g_l (v_rest - v) + g_e (e_e - v) + g_i (e_i - v). Source: Norse's CobaLIF.
CobaLIF = Kind(
    name="CobaLIF",
    dynamics=DYNAMICS["coba_lif"],
    rates={"gamma": "c_m", "beta_e": "tau_syn_e", "beta_i": "tau_syn_i"},
    free=("gamma",),
)


def _counted(dynamics: Dynamics, **more: Any) -> Kind:
    """A kind whose time counts in steps, named after its dynamics: "leaky_subtract" is LeakySubtract."""
    words = (word.removeprefix("lif").capitalize() for word in dynamics.name.split("_"))
    lif = "LIF" if dynamics.name.startswith("lif") else ""
    return Kind(name=lif + "".join(words), dynamics=dynamics, **more)


#: snnTorch's neurons, by how they are reset: Leaky (decay_v = beta), Synaptic (decay_i = alpha, decay_v = beta), Alpha.
#: Their decays are dimensionless: tau = dt/(1 - decay), whatever dt is. Source: snntorch 1.0.0.
SNNTORCH_KINDS = {name: _counted(DYNAMICS[name]) for name in SNNTORCH}
#: Those of which the membrane is read, by the names of those that spike: LeakySubtractMembrane, LeakyIntegrator, ...
SNNTORCH_READ_KINDS = {name: _counted(DYNAMICS[read]) for name, read in SNNTORCH_READ.items()}
#: SpikingJelly's: LIFNode divides by tau_steps = tau_mem/dt, ParametricLIFNode multiplies by share = dt/tau_mem; Whole:
#: decay_input=False. Source: spikingjelly 2.0.0.
SPIKINGJELLY_KINDS = {name: _counted(DYNAMICS[name], starts=_FROM_LEAK) for name in SPIKINGJELLY}

KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        kind.name: kind
        for kind in (
            CubaLIF,
            CubaLI,
            LIF,
            LI,
            IF,
            Integrator,
            Threshold,
            LSNN,
            LIFRefrac,
            LIFEx,
            LIFAdEx,
            LIFAdExRefrac,
            LIFMC,
            LIFMCRefrac,
            Izhikevich,
            CobaLIF,
            *SNNTORCH_KINDS.values(),
            *SNNTORCH_READ_KINDS.values(),
            *SPIKINGJELLY_KINDS.values(),
        )
    }
)
