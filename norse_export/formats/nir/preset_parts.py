"""What a framework asks of a node of NIR, and what it has in the place of a field: the words that presets are made of.

Fields are those of NIR's nodes: arrays of one value, or one for each neuron.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from norse_export.ir.arrays import FloatArray
from norse_export.ir.schemes import Scheme
from norse_export.ir.schemes import coefficient as step_coefficient

Fields = Mapping[str, FloatArray]
_ALIKE = 1e-12  # relative: quotients that differ by their rounding alone


class Within(NamedTuple):
    """How near a number has to be, as in numpy.allclose."""

    rtol: float = 0.0
    atol: float = 0.0


EXACT = Within()
LOOSE = Within(1e-5, 1e-8)  # numpy.allclose as snnTorch and lava's reader call it
NEAR = Within(1e-6, 1e-12)  # spikingjelly's _is_close_finite


def _near(found: FloatArray, wanted: FloatArray | float, within: Within) -> bool:
    return bool(np.allclose(found, wanted, rtol=within.rtol, atol=within.atol))


@dataclass(frozen=True, slots=True)
class Given:
    """The fields of a node, and the step that they are read with: dt in seconds."""

    fields: Fields
    dt: float
    scheme: Scheme

    def unit(self, tau: str) -> FloatArray:
        """The gain with which a step adds an input as it is: tau/dt, or what the scheme makes of it."""
        return np.asarray(1.0 / step_coefficient(self.dt, self.fields[tau], self.scheme))

    def near(self, name: str, wanted: FloatArray | float, within: Within) -> bool:
        """Whether a field is near a value."""
        return _near(self.fields.get(name, np.zeros(())), wanted, within)


Need = Callable[[Given], str | None]  # what the framework does not take, in words; None: it takes the node
Take = Callable[[Given], FloatArray | None]  # what it has in the place of a field; None: an input is added as it is


def first(array: FloatArray) -> float:
    """The first value, for messages."""
    return float(array.reshape(-1)[0])


def number(value: float) -> Take:
    """A number in the place of the field."""
    return lambda given: np.asarray(value)


def same(name: str) -> Take:
    """Another field in the place of the field."""
    return lambda given: given.fields[name]


def added(given: Given) -> None:
    """An input is added to the membrane, or to the current, as it is."""


def unit(tau: str) -> Take:
    """What adds an input as it is, with this time constant."""
    return lambda given: given.unit(tau)


def snapped(name: str, tau: str, within: Within, *to: float) -> Take:
    """The field, but exactly what adds an input as it is, or a number of `to`, where it is near that."""

    def take(given: Given) -> FloatArray:
        for wanted in (given.unit(tau), *map(np.asarray, to)):
            if given.near(name, wanted, within):
                return wanted
        return given.fields[name]

    return take


def equals(name: str, value: float, within: Within) -> Need:
    """A field is a number."""

    def need(given: Given) -> str | None:
        return None if given.near(name, value, within) else f"{name} has to be {value:g}"

    return need


def equals_unit(name: str, tau: str, within: Within) -> Need:
    """A gain adds an input as it is."""

    def need(given: Given) -> str | None:
        fits = given.near(name, given.unit(tau), within)
        return None if fits else f"{name} has to be {tau}/dt, {first(given.unit(tau)):g} at dt = {given.dt:g} s"

    return need


def equals_rate(within: Within) -> Need:
    """The r of IF adds an input as it is."""

    def need(given: Given) -> str | None:
        fits = given.near("r", 1 / given.dt, within)
        return None if fits else f"r has to be 1/dt, {1 / given.dt:g} at dt = {given.dt:g} s"

    return need


def equals_reset(name: str, within: Within) -> Need:
    """A field is v_reset."""

    def need(given: Given) -> str | None:
        fits = given.near(name, given.fields.get("v_reset", np.zeros(())), within)
        return None if fits else f"{name} has to be v_reset"

    return need


def uniform(*names: str) -> Need:
    """Fields have one value for all neurons."""

    def need(given: Given) -> str | None:
        differing = [name for name in names if name in given.fields and np.unique(given.fields[name]).size != 1]
        return f"{', '.join(differing)} must be the same for all neurons" if differing else None

    return need


def longer(*taus: str, than_dt: bool = False) -> Need:
    """Time constants of dt or more; than_dt: of more."""

    def need(given: Given) -> str | None:
        short = [t for t in taus if np.any(given.fields[t] <= given.dt if than_dt else given.fields[t] < given.dt)]
        return f"{', '.join(short)} below dt = {given.dt:g} s" if short else None

    return need


def stable(*taus: str) -> Need:
    """Time constants with which forward Euler does not diverge."""

    def need(given: Given) -> str | None:
        short = [tau for tau in taus if np.any(given.fields[tau] <= given.dt / 2)]
        blamed = "to_nir of norse 1.1.0 writes time constants that are dt times too short"
        return f"{', '.join(short)} of half of dt = {given.dt:g} s or less diverge: {blamed}" if short else None

    return need


def scaled_alike(name: str, *, tau: str) -> Need:
    """The threshold stands for the gain of the input there, and is one number."""

    def need(given: Given) -> str | None:
        gain = given.fields.get(name, np.ones(())) / given.unit(tau)
        alike = np.ptp(gain) <= _ALIKE * np.max(np.abs(gain)) or _near(gain, 1.0, LOOSE)
        return None if alike else f"{name} dt/{tau} must be the same for all neurons"

    return need
