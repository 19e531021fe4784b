"""NIR neurons -> populations: parameters for each neuron; dt, coefficients and initial state from the metadata."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from norse_export.errors import Finding
from norse_export.ir.arrays import FloatArray
from norse_export.ir.delay import Delay, whole_steps
from norse_export.ir.graph import Shape
from norse_export.ir.neurons import IF, KINDS, Integrator, NeuronModel, Threshold
from norse_export.ir.schemes import EULER

from .document import NIRNode
from .gains import UNIT_W_IN, coefficient, unit_rate, unit_w_in
from .notes import Notes
from .steps import Step, Steps
from .to_layers import numbers

NEURONS = frozenset({"CubaLIF", "CubaLI", "LIF", "LI", "IF", "I", "Threshold"})


def step_of(node: NIRNode, notes: Notes, steps: Steps) -> Step:
    """Decide how a population is stepped, of what its metadata says and of what was asked for.

    Raises:
        UsageError: neither says a time step, or they contradict one another and are not to.
    """
    v_reset = node.fields.get("v_reset")
    to_zero = v_reset is None or not np.any(numbers(v_reset, notes.where))
    return steps.of(node.type, notes, resets_to_zero=to_zero)


def shape_of_neuron(node: NIRNode) -> Shape | None:
    """Shape of a population as far as its own fields tell: None where all of them are single numbers."""
    shape = max((np.shape(value) for value in node.fields.values()), key=len)
    return shape or None


def neuron_of(
    node: NIRNode, notes: Notes, shape: Shape, step: Step, *, ports: bool
) -> tuple[NeuronModel, tuple[Finding, ...]]:
    """Give a node as a population of `shape`, and what should be told about it.

    ports: whether the file tells which edges go to a second port.

    Raises:
        GraphError: impossible parameters. UnsupportedError: the framework as which it is read does not take it.
    """
    fields: dict[str, Any] = {name: numbers(value, notes.where) for name, value in node.fields.items()}
    start: FloatArray | None = None
    told: tuple[Finding, ...] = ()
    if step.preset is not None:
        fields, start, told = step.preset.read(node.type, fields, step.dt, step.scheme, notes.where)
    return _population(node, fields, start, notes, shape, step, ports=ports), told


def _population(
    node: NIRNode, fields: dict[str, Any], start: Any, notes: Notes, shape: Shape, step: Step, *, ports: bool
) -> NeuronModel:
    dtype = notes.choice("dtype", "float32", "float64") or "float64"
    v0 = notes.array("v0", dtype)
    values: dict[str, Any] = {"shape": shape, "dt": step.dt, "dtype": dtype, "v0": start if v0 is None else v0}
    values |= {"rule": step.rule, "scheme": step.scheme}

    def add_coefficient(tau: FloatArray, tau_name: str, name: str) -> None:
        noted = notes.array(name, dtype) if step.own else None
        values[tau_name] = tau
        values[name] = coefficient(tau, step.dt, dtype, step.scheme) if noted is None else noted

    kind, values["recurrent"] = KINDS[node.type], ports and notes.integer("recurrent") == 1
    if kind is Threshold:
        values.pop("v0")
        return kind(**values, v_th=fields["threshold"])
    if "v_threshold" in fields:
        values["v_th"] = fields["v_threshold"]
        v_reset = fields.get("v_reset", np.zeros((), fields["v_threshold"].dtype))  # as nir takes it
        values["v_reset"] = np.zeros_like(v_reset) if step.rule.reset == "zero" else v_reset
    if kind in (IF, Integrator):
        return kind(**values, r=_rate(fields["r"], notes, step))
    values |= {"v_leak": fields["v_leak"], "r": fields["r"]}
    if "tau_syn" not in kind.rates.values():
        add_coefficient(fields["tau"], "tau_mem", "alpha")
        return kind(**values)
    add_coefficient(fields["tau_mem"], "tau_mem", "alpha")
    add_coefficient(fields["tau_syn"], "tau_syn", "beta")
    return kind(**values, w_in=_w_in(fields, notes, step), i0=notes.array("i0", dtype))


def delay_of(node: NIRNode, notes: Notes, shape: Shape, step: Step, *, lasting: bool) -> Delay:
    """Give a node as a delay of `shape`. lasting: its cells take at least a step, since a loop closes through it.

    Raises:
        GraphError: a delay is no whole number of steps.
    """
    delay, least = np.asarray(node.fields["delay"]), notes.integer("least_steps") or 0
    if delay.dtype == np.float16:  # too coarse for the rounding of a float32 to be told from a fraction of a step
        delay = whole_steps(delay, step.dt) * step.dt
    return Delay(np.broadcast_to(numbers(delay, notes.where), shape), step.dt, max(least, int(lasting)))


def changed(node: NIRNode, notes: Notes) -> Iterator[Finding]:
    """Warn of a gain that does not agree with the metadata any more: the field is what counts."""
    dt = notes.number("dt")
    for field in ("w_in", "r"):
        if dt is None or (meant := notes.text(field)) is None:
            continue
        scheme = next((scheme for scheme, text in UNIT_W_IN.items() if text == meant), EULER)
        tau_syn = numbers(node.fields.get("tau_syn", np.ones(())), notes.where)
        expected = unit_rate(dt) if field == "r" else unit_w_in(tau_syn, dt, scheme)
        if field not in node.fields or not _equal(np.asarray(node.fields[field]), expected):
            message = f"{field} was changed after norse-export wrote the file: it is not {meant} any more"
            yield Finding("metadata", "warning", notes.where, message, "export again, if this was not intended")


def _w_in(fields: dict[str, Any], notes: Notes, step: Step) -> FloatArray | None:
    """None where the input is added as it is and the metadata says so; a w_in that is missing is 1, as in nir.

    It stays so with another step, as in Norse: there the gain of an input does not depend on dt.
    """
    w_in: FloatArray | None = fields.get("w_in", np.ones((), fields["r"].dtype))
    if w_in is None or step.noted is None or (meant := notes.choice("w_in", *UNIT_W_IN.values())) is None:
        return w_in
    scheme = next(scheme for scheme, text in UNIT_W_IN.items() if text == meant)
    return None if _equal(w_in, unit_w_in(fields["tau_syn"], step.noted, scheme)) else w_in


def _rate(r: FloatArray | None, notes: Notes, step: Step) -> FloatArray | None:
    if r is None or step.noted is None or notes.choice("r", "1/dt") is None:
        return r
    return None if _equal(r, unit_rate(step.noted)) else r


def _equal(a: FloatArray, b: FloatArray) -> bool:
    return bool(np.all(a == b))
