"""NIR neurons -> populations: parameters for each neuron; dt, coefficients and initial state from the metadata."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from norse_export.errors import Finding, UsageError
from norse_export.ir.arrays import FloatArray
from norse_export.ir.graph import Shape
from norse_export.ir.neurons import IF, KINDS, SAME_DT, NeuronModel

from .document import NIRNode
from .gains import coefficient, unit_rate, unit_w_in
from .notes import Notes
from .to_layers import numbers

NEURONS = frozenset({"CubaLIF", "CubaLI", "LIF", "LI", "IF"})


@dataclass(frozen=True, slots=True)
class Step:
    """The time step of a population: `dt`, and `noted`, the one that the file's metadata was written for, if any."""

    dt: float
    noted: float | None

    @property
    def own(self) -> bool:
        """Whether it is the file's own."""
        return self.dt == self.noted


def step_of(notes: Notes, dt: float | None, *, override: bool) -> Step:
    """Decide on the time step of a population, of what its metadata says and of what was asked for.

    Raises:
        UsageError: neither says anything, or they contradict one another and `override` is not set.
    """
    own = notes.number("dt", positive=True)
    if own is None:
        if dt is None:
            message = "the file does not say with which time step it is meant: NIR has no field for it"
            fix = "pass --dt SECONDS, for example --dt 1e-3"
            raise UsageError(message, where=notes.where, fix=fix, kind="dt_missing")
        return Step(dt, noted=None)
    if dt is None or abs(dt - own) <= SAME_DT * own:
        return Step(own, noted=own)
    if override:
        return Step(dt, noted=own)
    message = f"the file says dt = {own:g} s, --dt says {dt:g} s"
    raise UsageError(message, where=notes.where, fix="leave --dt out, or add --override", kind="dt_conflict")


def shape_of_neuron(node: NIRNode) -> Shape | None:
    """Shape of a population as far as its own fields tell: None where all of them are single numbers."""
    shape = max((np.shape(value) for value in node.fields.values()), key=len)
    return shape or None


def neuron_of(node: NIRNode, notes: Notes, shape: Shape, step: Step, *, ports: bool) -> NeuronModel:
    """Give a node as a population of `shape`. ports: whether the file tells which edges go to a second port.

    Raises:
        GraphError: impossible parameters.
    """
    dtype = notes.choice("dtype", "float32", "float64") or "float64"
    fields = {name: numbers(value, notes.where) for name, value in node.fields.items()}
    values: dict[str, Any] = {"shape": shape, "dt": step.dt, "dtype": dtype, "v0": notes.array("v0", dtype)}

    def add_coefficient(tau: FloatArray, tau_name: str, name: str) -> None:
        noted = notes.array(name, dtype) if step.own else None
        values[tau_name] = tau
        values[name] = coefficient(tau, step.dt, dtype) if noted is None else noted

    if "v_threshold" in fields:
        values["v_th"] = fields["v_threshold"]
        values["v_reset"] = fields.get("v_reset", np.zeros((), fields["v_threshold"].dtype))  # as nir takes it
    kind, values["recurrent"] = KINDS[node.type], ports and notes.integer("recurrent") == 1
    if kind is IF:
        return kind(**values, r=_rate(fields["r"], notes, step))
    values |= {"v_leak": fields["v_leak"], "r": fields["r"]}
    if "tau_syn" not in kind.rates.values():
        add_coefficient(fields["tau"], "tau_mem", "alpha")
        return kind(**values)
    add_coefficient(fields["tau_mem"], "tau_mem", "alpha")
    add_coefficient(fields["tau_syn"], "tau_syn", "beta")
    return kind(**values, w_in=_w_in(fields, notes, step), i0=notes.array("i0", dtype))


def changed(node: NIRNode, notes: Notes) -> Iterator[Finding]:
    """Warn of a gain that does not agree with the metadata any more: the field is what counts."""
    dt = notes.number("dt")
    for field in ("w_in", "r"):
        if dt is None or (meant := notes.text(field)) is None:
            continue
        expected = unit_rate(dt) if field == "r" else unit_w_in(numbers(node.fields["tau_syn"], notes.where), dt)
        if field not in node.fields or not _equal(np.asarray(node.fields[field]), expected):
            message = f"{field} was changed after norse-export wrote the file: it is not {meant} any more"
            yield Finding("metadata", "warning", notes.where, message, "export again, if this was not intended")


def _w_in(fields: dict[str, FloatArray], notes: Notes, step: Step) -> FloatArray | None:
    """None where the input is added as it is and the metadata says so; a w_in that is missing is 1, as in nir.

    It stays so with another step, as in Norse: there the gain of an input does not depend on dt.
    """
    w_in = fields.get("w_in", np.ones((), fields["r"].dtype))
    if step.noted is None or notes.choice("w_in", "tau_syn/dt") is None:
        return w_in
    return None if _equal(w_in, unit_w_in(fields["tau_syn"], step.noted)) else w_in


def _rate(r: FloatArray, notes: Notes, step: Step) -> FloatArray | None:
    if step.noted is None or notes.choice("r", "1/dt") is None:
        return r
    return None if _equal(r, unit_rate(step.noted)) else r


def _equal(a: FloatArray, b: FloatArray) -> bool:
    return bool(np.all(a == b))
