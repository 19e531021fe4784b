"""What other frameworks make of a .nir file: for each its time step, its rules, and how it takes the fields of neurons.

A preset is how the framework's own importer runs a file: what it leaves out is left out, what it refuses is refused,
and where it does more than one step of ours can say, that is told. Sources, read and run (tests/unit/formats):

- norse 1.1.0, norse/torch/utils/import_nir.py
- snntorch 1.0.0, snntorch/import_nir.py, snntorch/_neurons/{leaky,synaptic}.py with reset_delay=False
- spikingjelly 2.0.0, spikingjelly/activation_based/nir_exchange/from_nir.py, functional/neuron.py
- sinabs 3.1.3, sinabs/nir.py, sinabs/layers/functional/lif.py: time constants are counted in steps
- lava: docs/source/examples/lava/nir_to_lava.py of the repository neuromorphs/NIR, which is the only reader there is:
  LIF as a process of lava-nc 0.10, CubaLIF and IF as blocks of lava-dl 0.6; here in real numbers

Fields are those of NIR's nodes: arrays of one value, or one for each neuron.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from norse_export.errors import Finding, UnsupportedError
from norse_export.ir.arrays import FloatArray
from norse_export.ir.schemes import Scheme
from norse_export.ir.schemes import coefficient as step_coefficient

Fields = Mapping[str, FloatArray]


class _Within(NamedTuple):
    """How near a number has to be, as in numpy.allclose."""

    rtol: float = 0.0
    atol: float = 0.0


_EXACT = _Within()
_LOOSE = _Within(1e-5, 1e-8)  # numpy.allclose as snnTorch and lava's reader call it
_NEAR = _Within(1e-6, 1e-12)  # spikingjelly's _is_close_finite
_ALIKE = 1e-12  # relative: quotients that differ by their rounding alone
_OWN_FLAGS = "leave --as out, and give --dt, --scheme, --order, --threshold and --reset"


def _near(found: FloatArray, wanted: FloatArray | float, within: _Within) -> bool:
    return bool(np.allclose(found, wanted, rtol=within.rtol, atol=within.atol))


@dataclass(frozen=True, slots=True)
class _Given:
    """The fields of a node, and the step that they are read with: dt in seconds."""

    fields: Fields
    dt: float
    scheme: Scheme

    def unit(self, tau: str) -> FloatArray:
        """The gain with which a step adds an input as it is: tau/dt, or what the scheme makes of it."""
        return np.asarray(1.0 / step_coefficient(self.dt, self.fields[tau], self.scheme))

    def near(self, name: str, wanted: FloatArray | float, within: _Within) -> bool:
        return _near(self.fields.get(name, np.zeros(())), wanted, within)


Need = Callable[[_Given], str | None]  # what the framework does not take, in words; None: it takes the node
Take = Callable[[_Given], FloatArray | None]  # what it has in the place of a field; None: an input is added as it is


@dataclass(frozen=True, slots=True)
class Reading:
    """How a framework takes one kind of neuron.

    needs: what has to hold. takes: fields that it replaces. ignores: fields it does not look at, with the value that it
    has instead. start: the membrane before the first step, None: where NIR's kind starts.
    """

    needs: tuple[Need, ...] = ()
    takes: Mapping[str, Take] = field(default_factory=dict)
    ignores: Mapping[str, float] = field(default_factory=dict)
    start: Take | None = None


@dataclass(frozen=True, slots=True)
class Preset:
    """A framework's reading of .nir files.

    title: its name. dt: its time step in seconds where nothing else is said. words: its choices, as in `CHOICES`.
    kinds: how it takes NIR's neurons; it has none for the others. limits: by kind, what it does beyond one step of
    ours; told wherever such a node is read.
    """

    title: str
    dt: float
    words: Mapping[str, str]
    kinds: Mapping[str, Reading]
    limits: Mapping[str, str] = field(default_factory=dict)

    def read(
        self, kind: str, fields: Fields, dt: float, scheme: Scheme, where: str
    ) -> tuple[dict[str, FloatArray | None], FloatArray | None, tuple[Finding, ...]]:
        """Give the fields as the framework has them, where the membrane starts, and what should be told.

        Of the fields, None is a gain with which an input is added as it is; of the start, where NIR's kind starts.

        Raises:
            UnsupportedError: the framework does not take such a node; every reason is listed.
        """
        given = _Given({name: np.asarray(value, np.float64) for name, value in fields.items()}, dt, scheme)
        reading = self.kinds.get(kind)
        if reading is None:
            message = f"{self.title} does not read NIR's {kind}"
            raise UnsupportedError(message, where=where, fix=_OWN_FLAGS, kind="as")
        reasons = [reason for need in reading.needs if (reason := need(given)) is not None]
        if reasons:
            found = [Finding("as", "error", where, f"{self.title} does not take it: {r}", _OWN_FLAGS) for r in reasons]
            raise UnsupportedError.of(found)
        taken: dict[str, FloatArray | None] = dict(fields)
        taken |= {name: np.asarray(value) for name, value in reading.ignores.items() if name in fields}
        taken |= {name: take(given) for name, take in reading.takes.items()}
        start = None if reading.start is None else reading.start(given)
        return taken, start, tuple(self._ignored(reading, given, where))

    def _ignored(self, reading: Reading, given: _Given, where: str) -> Iterator[Finding]:
        for name, value in reading.ignores.items():
            found = given.fields.get(name)
            if found is not None and np.any(found != value):
                message = f"{self.title} does not look at {name} ({_first(found):g}): it is {value:g} there, and here"
                yield Finding("as", "warning", where, message, "leave --as out to have the file's own value")


def _first(array: FloatArray) -> float:
    return float(array.reshape(-1)[0])


def _number(value: float) -> Take:
    return lambda given: np.asarray(value)


def _same(name: str) -> Take:
    return lambda given: given.fields[name]


def _added(given: _Given) -> None:
    """An input is added to the membrane, or to the current, as it is."""


def _unit(tau: str) -> Take:
    return lambda given: given.unit(tau)


def _snapped(name: str, tau: str, within: _Within, *to: float) -> Take:
    """The field, but exactly what adds an input as it is, or a number of `to`, where it is near that."""

    def take(given: _Given) -> FloatArray:
        for wanted in (given.unit(tau), *map(np.asarray, to)):
            if given.near(name, wanted, within):
                return wanted
        return given.fields[name]

    return take


def _is(name: str, value: float, within: _Within) -> Need:
    def need(given: _Given) -> str | None:
        return None if given.near(name, value, within) else f"{name} has to be {value:g}"

    return need


def _is_unit(name: str, tau: str, within: _Within) -> Need:
    def need(given: _Given) -> str | None:
        fits = given.near(name, given.unit(tau), within)
        return None if fits else f"{name} has to be {tau}/dt, {_first(given.unit(tau)):g} at dt = {given.dt:g} s"

    return need


def _is_rate(within: _Within) -> Need:
    def need(given: _Given) -> str | None:
        fits = given.near("r", 1 / given.dt, within)
        return None if fits else f"r has to be 1/dt, {1 / given.dt:g} at dt = {given.dt:g} s"

    return need


def _is_leak(name: str, within: _Within) -> Need:
    def need(given: _Given) -> str | None:
        fits = given.near(name, given.fields.get("v_reset", np.zeros(())), within)
        return None if fits else f"{name} has to be v_reset"

    return need


def _uniform(*names: str) -> Need:
    def need(given: _Given) -> str | None:
        differing = [name for name in names if name in given.fields and np.unique(given.fields[name]).size != 1]
        return f"{', '.join(differing)} must be the same for all neurons" if differing else None

    return need


def _longer(*taus: str, than_dt: bool = False) -> Need:
    """Time constants of dt or more; than_dt: of more."""

    def need(given: _Given) -> str | None:
        short = [t for t in taus if np.any(given.fields[t] <= given.dt if than_dt else given.fields[t] < given.dt)]
        return f"{', '.join(short)} below dt = {given.dt:g} s" if short else None

    return need


def _stable(*taus: str) -> Need:
    """Time constants with which forward Euler does not diverge."""

    def need(given: _Given) -> str | None:
        short = [tau for tau in taus if np.any(given.fields[tau] <= given.dt / 2)]
        blamed = "to_nir of norse 1.1.0 writes time constants that are dt times too short"
        return f"{', '.join(short)} of half of dt = {given.dt:g} s or less diverge: {blamed}" if short else None

    return need


def _scaled_alike(name: str, *, tau: str) -> Need:
    """The threshold stands for the gain of the input there, and is one number."""

    def need(given: _Given) -> str | None:
        gain = given.fields.get(name, np.ones(())) / given.unit(tau)
        alike = np.ptp(gain) <= _ALIKE * np.max(np.abs(gain)) or _near(gain, 1.0, _LOOSE)
        return None if alike else f"{name} dt/{tau} must be the same for all neurons"

    return need


_NORSE = Preset(
    title="norse.torch.from_nir",
    dt=1e-3,
    words={"scheme": "euler", "order": "synapse-first", "threshold": "gt", "reset": "zero"},
    kinds={
        "IF": Reading(takes={"r": _added}, ignores={"v_reset": 0.0}, start=_number(0.0)),
        "LIF": Reading(needs=(_stable("tau"),), ignores={"r": 1.0, "v_reset": 0.0}),
        "CubaLIF": Reading(needs=(_stable("tau_syn", "tau_mem"), _is("v_leak", 0.0, _EXACT)), ignores={"v_reset": 0.0}),
    },
    limits={"IF": "it adds an input as it is, whatever r and dt are"},
)

_ONE_THRESHOLD = _uniform("v_threshold")
_SNNTORCH = Preset(
    title="snnTorch",
    dt=1e-4,
    words={"scheme": "euler", "order": "synapse-first", "threshold": "gt", "reset": "zero"},
    kinds={
        "LIF": Reading(
            needs=(_is("v_leak", 0.0, _LOOSE), _ONE_THRESHOLD, _scaled_alike("r", tau="tau"), _longer("tau")),
            takes={"v_leak": _number(0.0), "r": _snapped("r", "tau", _LOOSE)},
            ignores={"v_reset": 0.0},
        ),
        "CubaLIF": Reading(
            needs=(
                _is("v_leak", 0.0, _LOOSE),
                _is_unit("r", "tau_mem", _LOOSE),
                _ONE_THRESHOLD,
                _scaled_alike("w_in", tau="tau_syn"),
                _longer("tau_syn", "tau_mem"),
            ),
            takes={
                "v_leak": _number(0.0),
                "r": _unit("tau_mem"),
                "w_in": _snapped("w_in", "tau_syn", _LOOSE),
            },
            ignores={"v_reset": 0.0},
        ),
    },
    limits=dict.fromkeys(
        ("LIF", "CubaLIF"),
        "its export writes neurons that reset by subtraction, or a step late, as ones that reset to zero at once; that "
        "is also how it reads them back",
    ),
)

_SPIKINGJELLY = Preset(
    title="SpikingJelly",
    dt=1e-4,
    words={"scheme": "euler", "order": "synapse-first", "threshold": "ge", "reset": "value"},
    kinds={
        "IF": Reading(needs=(_uniform("r", "v_threshold", "v_reset"), _is_rate(_NEAR)), takes={"r": _added}),
        "LIF": Reading(
            needs=(
                _uniform("tau", "r", "v_leak", "v_threshold", "v_reset"),
                _longer("tau", than_dt=True),
                _is_leak("v_leak", _NEAR),
                lambda given: (
                    None
                    if given.near("r", 1.0, _NEAR) or given.near("r", given.unit("tau"), _NEAR)
                    else f"r has to be 1, or tau/dt, {_first(given.unit('tau')):g} at dt = {given.dt:g} s"
                ),
            ),
            takes={"r": _snapped("r", "tau", _NEAR, 1.0), "v_leak": _same("v_reset")},
        ),
        "CubaLIF": Reading(
            needs=(
                _uniform("tau_syn", "tau_mem", "r", "w_in", "v_leak", "v_threshold", "v_reset"),
                _longer("tau_syn", "tau_mem"),
                _is_unit("r", "tau_mem", _NEAR),
                _is_unit("w_in", "tau_syn", _NEAR),
                _is("v_leak", 0.0, _NEAR),
            ),
            takes={"r": _unit("tau_mem"), "w_in": _unit("tau_syn"), "v_leak": _number(0.0)},
            start=_same("v_reset"),
        ),
    },
)

_MANY = "it sends several spikes in a step that takes v to several times its threshold; here it is one a step"
_SINABS = Preset(
    title="sinabs",
    dt=1.0,
    words={"scheme": "exponential", "order": "synapse-first", "threshold": "ge", "reset": "subtract"},
    kinds={
        "IF": Reading(takes={"r": _added}, start=_number(0.0)),
        "LIF": Reading(needs=(_is("v_leak", 0.0, _EXACT),), takes={"r": _unit("tau")}),
        "LI": Reading(
            needs=(_is("v_leak", 0.0, _EXACT), _is("r", 1.0, _EXACT)),
            takes={"r": _unit("tau")},
        ),
    },
    limits={
        "IF": f"{_MANY}; and it keeps v above -v_threshold, here v has no bound",
        "LIF": f"{_MANY}; and it adds an input as it is (norm_input=False), whatever r is",
        "LI": "it adds an input as it is (norm_input=False)",
    },
)

_ROUNDED = (
    "lava-dl rounds decays to 1/4096 and states to 1/64, and Loihi computes with integers; here it is real numbers"
)
_LAVA = Preset(
    title="Lava",
    dt=1e-4,
    words={"scheme": "euler", "order": "synapse-first", "threshold": "gt", "reset": "zero"},
    kinds={
        "LIF": Reading(ignores={"r": 1.0, "v_leak": 0.0, "v_reset": 0.0}),
        "IF": Reading(
            needs=(_uniform("v_threshold"), _is("r", 1.0, _EXACT)),
            takes={"r": _added},
            ignores={"v_reset": 0.0},
            start=_number(0.0),
        ),
        "CubaLIF": Reading(
            needs=(
                _is("v_leak", 0.0, _LOOSE),
                _is_unit("r", "tau_mem", _LOOSE),
                _uniform("tau_syn", "tau_mem", "v_threshold"),
            ),
            takes={
                "v_leak": _number(0.0),
                "r": _unit("tau_mem"),
                "w_in": _snapped("w_in", "tau_syn", _LOOSE),
            },
            ignores={"v_reset": 0.0},
        ),
    },
    limits={
        "LIF": "each of Lava's synapses takes a step: what it sends is as many steps later there as there are synapses",
        "IF": _ROUNDED,
        "CubaLIF": _ROUNDED,
    },
)

PRESETS: Mapping[str, Preset] = MappingProxyType(
    {"norse": _NORSE, "snntorch": _SNNTORCH, "spikingjelly": _SPIKINGJELLY, "sinabs": _SINABS, "lava": _LAVA}
)
